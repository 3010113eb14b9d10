"""`wirestamp capture` as a process, in a network of the test's own: signals, full disks, lost interfaces, fanout."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scapy.all import IP, TCP, Ether

from capture.files import FileSource
from capture.wire_journal import _SEGMENT_BYTES
from journal.layout import ABSENT, MessageKind, RecordType
from journal.reader import RecordReader
from journal.runs import create_run
from journal.wire import WIRE_LOGS
from journal.writer import Journal
from review.model import Review
from review.monitor import MonitorRun, read_monitor
from review.notes import warnings
from review.summary import summarise

TIMEOUT_S = 15.0
MESSAGE = bytes(200)
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
JOURNAL_BYTES = 2 * (1 + len(WIRE_LOGS)) * _SEGMENT_BYTES  # what a capture takes beforehand
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


pytestmark = pytest.mark.usefixtures("own_network")


def ip(arguments: str) -> None:
    """Run the `ip` command."""
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def segment(number: int) -> bytes:
    """The TCP segment of this number, 100 bytes, of one connection."""
    packet = (
        Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=443, dport=40_000, flags="A", seq=100 * number)
    )
    return bytes(packet / bytes(100))


class CaptureProcess:
    """A running `wirestamp capture`."""

    def __init__(self, data: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "wirestamp", "capture", "--data", str(data), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate(timeout=TIMEOUT_S)
        self.run = Path(json.loads(line)["run"])

    def wait_for(self, packets: int) -> None:
        """Wait until so many packets are journalled."""
        until(lambda: len(read_monitor(self.run).packets) >= packets, f"{packets} packets")

    def most_resident_bytes(self) -> int:
        """Return how much of its memory was resident at once, the ring and the journal's segments included."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def end(self, number: int | None = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, None for no signal at all; return the exit status and what was said on standard error."""
        if number is not None:
            self._process.send_signal(number)
        _, said = self._process.communicate(timeout=TIMEOUT_S)
        return self._process.returncode, said

    def close(self) -> None:
        """Leave nothing running."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate(timeout=TIMEOUT_S)


Start = Callable[..., CaptureProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start captures; their runs lie in `capture` unless told otherwise."""
    with contextlib.ExitStack() as running:

        def begin(*arguments: str, data: Path | None = None) -> CaptureProcess:
            process = CaptureProcess(data or tmp_path / "capture", *arguments)
            running.callback(process.close)
            return process

        yield begin


def until(done: Callable[[], bool], what: str) -> None:
    """Ask again and again."""
    give_up = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < give_up, f"waited in vain for {what}"


class Talker:
    """Something like a trader: sends messages over connections to an echo on loopback, and journals every one."""

    def __init__(self, folder: Path) -> None:
        self.run = create_run(folder, time.time_ns())
        self._journal = Journal(self.run, record_segment_bytes=1 << 16, row_segment_bytes=1 << 20)
        config = {"trader": {"name": "talker", "loop": "none"}, "feed": [], "strategy": []}
        self._record(RecordType.CONFIG, {"config": config, "boot_id": BOOT_ID.read_text().strip()})
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends: list[tuple[socket.socket, socket.socket]] = []
        self._offs: list[int] = []

    @property
    def port(self) -> int:
        """The echo's port."""
        return int(self._server.getsockname()[1])

    def connect(self) -> int:
        """Open a connection; return its number."""
        client = socket.create_connection(self._server.getsockname())
        self._ends.append((client, self._server.accept()[0]))
        self._offs.append(0)
        names = ["{}:{}".format(*name) for name in (client.getsockname(), client.getpeername())]
        number = len(self._ends)
        opened = {"event": "open", "role": "route", "name": "main", "local": names[0], "remote": names[1]}
        self._record(RecordType.CONNECTION, opened, number)
        return number

    def talk(self, number: int, messages: int) -> None:
        """Send messages, each once the one before has come back."""
        client, echo = self._ends[number - 1]
        rows = self._journal.rows
        for _ in range(messages):
            self._offs[number - 1] += len(MESSAGE)
            place = (0, self._offs[number - 1] - 1, 0, number, 0, len(MESSAGE), MessageKind.SESSION, 0)
            written = time.time_ns()
            client.sendall(MESSAGE)
            rows["sent"].append(*place, ABSENT, ABSENT, written, time.time_ns())
            echo.sendall(echo.recv(len(MESSAGE), socket.MSG_WAITALL))
            client.recv(len(MESSAGE), socket.MSG_WAITALL)
            now = time.time_ns()
            rows["received"].append(*place, ABSENT, ABSENT, ABSENT, now, now)

    def _record(self, kind: RecordType, payload: dict[str, Any], conn: int = 0) -> None:
        self._journal.records.append(kind, 0, time.time_ns(), conn, json.dumps(payload).encode())

    def close(self) -> None:
        """End the run."""
        for end in [self._server, *(end for ends in self._ends for end in ends)]:
            end.close()
        self._record(RecordType.END, {"reason": "asked to stop"})
        self._journal.close()


@pytest.fixture
def talker(tmp_path: Path) -> Iterator[Talker]:
    """A trader of sorts."""
    talking = Talker(tmp_path / "trader")
    yield talking
    talking.close()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of this size for a `with` block."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def matched(review: Review) -> tuple[int, int]:
    """Return how many messages met their packet, and how many did not."""
    wire = review.wire
    assert wire is not None
    return wire.matched_rx + wire.matched_tx, wire.unmatched_rx + wire.unmatched_tx


def sound(run: Path) -> MonitorRun:
    """Read all of a capture's journal; whatever is committed is intact."""
    assert any(record.type is RecordType.CONFIG for record in RecordReader(run))
    return read_monitor(run)


def test_sigterm_loses_nothing(start: Start, talker: Talker) -> None:
    """What came just before the signal is journalled and stored; the journal ends with the reason, the status is 0."""
    capture = start("-i", "lo", "--port", str(talker.port), "--store", "4M")
    talker.talk(talker.connect(), 100)
    assert capture.most_resident_bytes() < 300_000_000
    status, said = capture.end()
    assert 0 == status
    monitor = sound(capture.run)
    assert "asked to stop" == monitor.ended
    review = summarise(talker.run, [capture.run])
    assert (200, 0) == matched(review)
    assert [] == [each for each in warnings(review) if "capture" in each]
    packets = len(monitor.packets)
    assert f"{monitor.counts.packets:,} packets, {packets:,} journalled of 1 connection, 0 dropped\n" == said
    stored = [len(batch) for batch in FileSource(sorted(capture.run.glob("packets-*.pcapng"))).batches()]
    assert packets == sum(stored)


def test_sigkill_leaves_what_was_journalled(start: Start, talker: Talker) -> None:
    """Every committed row reads, and the review says that there is no end."""
    capture = start("-i", "lo", "--port", str(talker.port))
    talker.talk(talker.connect(), 100)
    capture.wait_for(200)
    assert -signal.SIGKILL == capture.end(signal.SIGKILL)[0]
    assert None is sound(capture.run).ended
    review = summarise(talker.run, [capture.run])
    assert (200, 0) == matched(review)
    assert f"the capture {capture.run} has no end: it was killed, or it still runs" in list(warnings(review))


def test_a_growing_journal_is_reviewed_again_and_again(start: Start, talker: Talker) -> None:
    """Each look sees no less than the one before; in the end all is there."""
    capture = start("-i", "lo", "--port", str(talker.port))
    connection, seen = talker.connect(), [0]
    for _ in range(20):
        talker.talk(connection, 50)
        seen.append(matched(summarise(talker.run, [capture.run]))[0])
    assert sorted(seen) == seen
    until(lambda: matched(summarise(talker.run, [capture.run])) == (2000, 0), "the last packets")
    assert 0 == capture.end()[0]


def test_a_fanout_group_shares_the_connections(start: Start, talker: Talker, tmp_path: Path) -> None:
    """Each connection is one agent's, both directions; the two journals together hold every packet."""
    captures = [
        start("-i", "lo", "--port", str(talker.port), "--fanout", "7", data=tmp_path / name) for name in ("one", "two")
    ]
    for number in [talker.connect() for _ in range(24)]:
        talker.talk(number, 5)
    assert [0, 0] == [capture.end()[0] for capture in captures]
    shares = [{(met.a, met.b) for met in sound(capture.run).connections.values()} for capture in captures]
    assert all(shares)
    assert (24, set()) == (len(shares[0] | shares[1]), shares[0] & shares[1])
    review = summarise(talker.run, [capture.run for capture in captures])
    assert (240, 0) == matched(review)
    assert 0 == review.wire.causality_violations if review.wire else None


def test_a_full_disk_ends_the_capture(start: Start, talker: Talker, tmp_path: Path) -> None:
    """The first segments fit, some of the next do not: status 1, the reason in words, a journal that reviews."""
    with small_disk(tmp_path / "disk", f"{JOURNAL_BYTES - _SEGMENT_BYTES // 2}") as disk:
        capture = start("-i", "lo", "--port", str(talker.port), data=disk)
        status, said = capture.end(None)
        assert 1 == status
        assert "wirestamp capture: " in said
        assert "No space left on device" in said
        assert "Traceback" not in said
        monitor = sound(capture.run)
        assert monitor.ended is not None
        assert monitor.ended in said
        review = summarise(talker.run, [capture.run])
        assert f"the capture {capture.run} ended early: {monitor.ended}" in list(warnings(review))


def test_a_disk_without_room_for_a_journal(tmp_path: Path) -> None:
    """Then the capture does not start."""
    with small_disk(tmp_path / "disk", "8m") as disk:
        command = [sys.executable, "-m", "wirestamp", "capture", "-i", "lo", "--data", str(disk)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (3, "") == (done.returncode, done.stdout)
    assert "No space left on device" in done.stderr
    assert 1 == done.stderr.count("\n")


def test_a_full_disk_only_ends_the_packet_store(start: Start, talker: Talker, tmp_path: Path) -> None:
    """The journal, whose room is taken beforehand, goes on; what was stored can be read."""
    with small_disk(tmp_path / "disk", f"{JOURNAL_BYTES + (1 << 20)}") as disk:
        capture = start("-i", "lo", "--port", str(talker.port), "--store", "64M", data=disk)
        connection = talker.connect()
        talker.talk(connection, 4000)
        capture.wait_for(8000)
        status, said = capture.end()
        assert 0 == status
        assert "packets are no longer stored (No space left on device)" in said
        assert (8000, 0) == matched(summarise(talker.run, [capture.run]))
        source = FileSource(sorted(capture.run.glob("packets-*.pcapng")))
        assert 1000 < sum(len(batch) for batch in source.batches()) < len(read_monitor(capture.run).packets)
        assert [] == source.troubles


def test_an_interface_that_goes_away(start: Start, cable: socket.socket) -> None:
    """Status 1, which one it was, and all packets until then."""
    capture = start("-i", "mirror")
    for number in range(300):
        cable.send(segment(number))
    ip("link delete mirror")
    status, said = capture.end(None)
    assert (1, "wirestamp capture: mirror went away") == (status, said.splitlines()[-1])
    monitor = sound(capture.run)
    assert ("mirror went away", 300) == (monitor.ended, len(monitor.packets))


def test_an_interface_that_goes_down_and_comes_up(start: Start, cable: socket.socket) -> None:
    """The capture goes on, and says that it was so."""
    capture = start("-i", "mirror")
    for number in range(100):
        cable.send(segment(number))
    capture.wait_for(100)
    ip("link set mirror down")
    ip("link set mirror up")
    until(lambda: operational("mirror"), "the link")
    for number in range(100, 200):
        cable.send(segment(number))
    capture.wait_for(200)
    status, said = capture.end()
    assert 0 == status
    assert "wirestamp capture: mirror was down for" in said
    monitor = sound(capture.run)
    assert (200, "asked to stop") == (len(monitor.packets), monitor.ended)
    assert [1] == np.unique(monitor.packets["stream"] // 2).tolist()


def operational(interface: str) -> bool:
    """Tell whether frames pass."""
    shown = subprocess.run(["ip", "-json", "link", "show", interface], check=True, capture_output=True)
    return bool(json.loads(shown.stdout)[0]["operstate"] == "UP")


def test_clock_probes_are_answered(start: Start, talker: Talker) -> None:
    """Beside a capture; a second responder at the same port cannot start and says so."""
    command = [sys.executable, "-m", "wirestamp", "responder", "--host", "127.0.0.1"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--port", "0"], **options) as responder:
        try:
            assert responder.stdout is not None
            port = json.loads(responder.stdout.readline())["port"]
            second = subprocess.run([*command, "--port", str(port)], capture_output=True, text=True, check=False)
            assert (3, "") == (second.returncode, second.stdout)
            assert f"cannot answer at 127.0.0.1 port {port}" in second.stderr
            target = f"127.0.0.1:{port}"
            capture = start("-i", "lo", "--port", str(talker.port), "--probe", target, "--probe-rate", "100")
            until(lambda: len(read_monitor(capture.run).probes) >= 50, "clock probes")
            status, said = capture.end()
            assert 0 == status
            assert "clock probes answered" in said
        finally:
            responder.send_signal(signal.SIGTERM)
            _, told = responder.communicate(timeout=TIMEOUT_S)
    assert 0 == responder.returncode
    assert "answered" in told.splitlines()[-1]


def test_a_right_that_is_missing_is_named(tmp_path: Path) -> None:
    """Status 3; no run is made for nothing."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed (package util-linux)")
    command = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", sys.executable, "-m", "wirestamp"]
    command += ["capture", "-i", "lo", "--data", str(tmp_path / "capture")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (3, "") == (done.returncode, done.stdout)
    assert "CAP_NET_RAW" in done.stderr
    assert not (tmp_path / "capture").exists()
