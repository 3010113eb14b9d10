"""Clock probes between real processes, over loopback and between two network namespaces: the true θ is 0."""

import contextlib
import ipaddress
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from capture.clocks import udp_stamps
from capture.clocks.probe import DATAGRAM, ProbeSocket
from capture.clocks.responder import serve
from capture.errors import CannotCapture
from crosscheck.clock import estimate_clock
from journal.layout import ABSENT
from journal.wire import PROBE

MS = 10**6
RATE = 150  # probes a second
SECONDS = 2.0

RESPONDER = """
import dataclasses, ipaddress, json, sys
from capture.clocks.responder import serve
host, port, *allow = sys.argv[1:]
networks = {"allow": tuple(map(ipaddress.ip_network, allow))} if allow else {}
told = lambda address, port: print(json.dumps({"address": address, "port": port}), flush=True)
print(json.dumps(dataclasses.asdict(serve(host, int(port), on_bound=told, **networks))), flush=True)
"""
PROBER = """
import json, select, sys, time
from capture.clocks.probe import ProbeSocket
host, port, rate, seconds = sys.argv[1:]
probe = ProbeSocket(host, int(port), rate=float(rate))
poll = select.poll()
poll.register(probe.fileno(), select.POLLIN)
rows, until = [], time.monotonic() + float(seconds)
while time.monotonic() < until:
    poll.poll(probe.on_timer(time.time_ns()) / 1e6)
    rows += probe.on_readable()
while probe.counts["answered"] < probe.counts["sent"] and time.monotonic() < until + 5:
    poll.poll(50)
    rows += probe.on_readable()
rows += probe.finish()
print(json.dumps({"rows": rows, "counts": probe.counts, "stamped": probe.stamped}))
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")


def python(program: str, *arguments: object, within: Sequence[str] = ()) -> list[str]:
    return [*within, sys.executable, "-c", program, *map(str, arguments)]


@contextlib.contextmanager
def responder(host: str, *allow: str, within: Sequence[str] = ()) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a responder's process and its port; ended by the test, else killed."""
    command = python(RESPONDER, host, 0, *allow, within=within)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            bound = json.loads(process.stdout.readline())
            assert host == bound["address"]
            yield process, bound["port"]
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> dict[str, int]:
    """Return a responder's counts once SIGTERM has ended it."""
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=10)
    assert 0 == process.returncode
    return json.loads(said)


@contextlib.contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    """Yield two network namespaces joined by veth: 10.231.7.1 and 10.231.7.2."""
    names = [f"ws-probe-{os.getpid()}-{side}" for side in ("monitor", "trader")]
    commands = [f"netns add {name}" for name in names]
    commands += [f"-n {names[0]} link add link0 type veth peer name link0 netns {names[1]}"]
    for number, name in enumerate(names, 1):
        commands += [f"-n {name} address add 10.231.7.{number}/24 dev link0", f"-n {name} link set link0 up"]
    try:
        for command in commands:
            made = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"network namespaces cannot be made here: ip {command}: {made.stderr.strip()}")
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def check(probing: subprocess.CompletedProcess[str], said: dict[str, int]) -> None:
    """Every probe was answered, and the interval holds 0 within less than 1 ms."""
    found = json.loads(probing.stdout)
    counts = found["counts"]
    assert found["stamped"]
    assert counts["answered"] > RATE * SECONDS / 3
    assert {"sent": counts["sent"], "answered": counts["sent"]} == {
        name: count for name, count in counts.items() if count
    }
    assert {"answered": counts["sent"]} == {name: count for name, count in said.items() if count}
    rows = np.array([(0, *row) for row in found["rows"]], PROBE)
    assert [len(rows)] == rows["number"][rows["t3"] == ABSENT].tolist()  # no reply came after the last
    estimate = estimate_clock(rows)
    assert () == estimate.steps + estimate.alarms
    times = np.linspace(rows["t1"][0], rows["t4"][-1], 100).astype(np.int64)
    lower, upper = estimate.bounds(times)
    assert (lower <= 0).all()
    assert (upper >= 0).all()
    assert (upper - lower).max() < MS


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_over_loopback(host: str) -> None:
    """IPv4 and IPv6."""
    with responder(host) as (process, port):
        command = python(PROBER, host, port, RATE, SECONDS)
        probing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        check(probing, ended(process))


@linux
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip of iproute2")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")
def test_between_two_namespaces() -> None:
    """A veth pair between them, as in `demo --mirror`."""
    with two_namespaces() as (monitor, trader):
        within = ["ip", "netns", "exec"]
        with responder("10.231.7.2", within=[*within, trader]) as (process, port):
            command = python(PROBER, "10.231.7.2", port, RATE, SECONDS, within=[*within, monitor])
            probing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
            check(probing, ended(process))


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_kernels_stamps_lie_on_the_safe_side(host: str) -> None:
    """Clock before the send ≤ departure ≤ arrival ≤ clock after the read, each stamp with the datagram it is of."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as near, socket.socket(family, socket.SOCK_DGRAM) as far:
        far.bind((host, 0))
        near.connect(far.getsockname())
        assert udp_stamps.enable(near)
        assert udp_stamps.enable(far)
        stamped = 0
        for number in range(500):
            data = number.to_bytes(DATAGRAM.size, "big")
            before = time.time_ns()
            near.send(data)
            departed = list(udp_stamps.departures(near, DATAGRAM.size))
            received, arrival, _ = udp_stamps.receive(far, DATAGRAM.size + 1)
            after = time.time_ns()
            assert data == received
            if departed and arrival != ABSENT:  # the kernel switches on in its own time
                [(sent, departure)] = departed
                assert data == sent
                assert before <= departure <= arrival <= after
                stamped += 1
        assert stamped > 100


def test_a_responder_that_is_not_there_is_counted() -> None:
    """Probes go on; the network's refusals are no exception."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with contextlib.closing(ProbeSocket("127.0.0.1", port, rate=1000)) as probe:
        until = time.monotonic() + 20
        while probe.counts["refused"] < 3 and time.monotonic() < until:
            select.select([probe.fileno()], [], [], probe.on_timer(time.time_ns()) / 1e9)
            assert [] == probe.on_readable()
        assert probe.counts["refused"] >= 3
        assert [] == probe.finish()
        assert probe.counts["sent"] == probe.counts["lost"]


def test_a_responder_answers_only_whom_it_may() -> None:
    """Told to answer another network, it counts us and is silent."""
    with contextlib.ExitStack() as parts:
        process, port = parts.enter_context(responder("127.0.0.1", "203.0.113.0/24"))
        probe = parts.enter_context(contextlib.closing(ProbeSocket("127.0.0.1", port, rate=1000)))
        while probe.counts["sent"] < 20:
            select.select([], [], [], probe.on_timer(time.time_ns()) / 1e9)
        said = ended(process)
        assert [] == probe.finish()
    assert 0 < said.pop("refused") <= 20  # a few may still lie in its queue
    assert {0} == set(said.values())


def test_a_name_without_an_address_is_said() -> None:
    """Before anything is captured."""
    with pytest.raises(CannotCapture, match=r"clock responder nowhere\.invalid port 9460 has no address"):
        ProbeSocket("nowhere.invalid", 9460)


def test_a_port_that_is_taken_is_said() -> None:
    """And an address that is not ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(CannotCapture, match="cannot answer at 127"):
            serve("127.0.0.1", taken.getsockname()[1], allow=(ipaddress.ip_network("127.0.0.0/8"),))
    with pytest.raises(CannotCapture, match=r"cannot answer at 203\.0\.113\.1"):
        serve("203.0.113.1", 0)
