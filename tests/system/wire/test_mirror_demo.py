"""`wirestamp demo --mirror`: every message meets its packet, the clocks are bounded, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from journal.layout import ABSENT, StampFlag
from journal.reader import read_rows

# What conftest makes, and test folders are not packages to import it from:
WireRun = Any
Check = Callable[[Path, Path], Any]

NAMES = Path("/run/netns")
TIMEOUT_S = 30
POLL_S = 0.002
VXLAN_BYTES = 50
LOSSES = {
    "lost by the mirror",
    "lost by the network; a retransmission was seen",
    "sent again before it was acknowledged; which copy arrived is not known",
}


@pytest.fixture(params=[pytest.param("minute", marks=pytest.mark.slow), "unsegmented"])
def run(request: pytest.FixtureRequest) -> WireRun:
    """A finished demo."""
    return request.getfixturevalue(request.param)


def test_every_message_and_order_is_accounted_for(run: WireRun) -> None:
    """Thousands of messages and hundreds of orders: 999 in 1,000 have a packet, the others a named loss."""
    review, wire = run.review, run.review["wire"]
    assert review["messages"] >= 5000
    assert review["orders"] >= 200
    for direction, log in (("rx", "received"), ("tx", "sent")):
        unmatched = wire[f"unmatched_{direction}"]
        assert sum(map(len, read_rows(run.trader, log))) == wire[f"matched_{direction}"] + unmatched
        assert unmatched == sum(wire["unmatched"][direction].values())
        assert set(wire["unmatched"][direction]) <= LOSSES
    assert wire["match_ratio"] >= 0.999
    assert 0 == wire["captures"][0]["counters"]["drops"]


def test_nothing_is_refuted(run: WireRun) -> None:
    """Both stamps of every order with a packet were tested, and none cannot be true."""
    wire = run.review["wire"]
    assert (0, 0, []) == (wire["causality_violations"], wire["order_violations"], wire["refuted"])
    assert wire["unrefuted"] >= 2 * run.review["orders"] * 0.99


def test_the_interval_holds_the_truth(run: WireRun, check_together: Check) -> None:
    """One kernel has one clock: its offset, 0, is inside at every second, and the interval is narrow."""
    clock = run.review["clock"]
    assert ("probes", [], []) == (clock["basis"], clock["steps"], clock["alarms"])
    assert clock["lower_ns"] <= 0 <= clock["upper_ns"]
    assert clock["widest_ns"] <= 20_000
    probes = read_rows(run.monitor, "probes")[0]
    seconds = np.arange(probes["t1"][0], probes["t4"][-1], 1_000_000_000)
    lower, upper = check_together(run.trader, run.monitor).clock.bounds(seconds)
    assert np.all(lower != ABSENT)
    assert np.all((lower <= 0) & (0 <= upper))


def test_wire_in_is_near_the_kernel_stamp(run: WireRun, check_together: Check) -> None:
    """A packet's copy comes with the packet: half of the messages differ by less than a tenth of a millisecond."""
    received = np.concatenate(read_rows(run.trader, "received"))
    wire_in = check_together(run.trader, run.monitor).inbound.time
    own = (received["kernel_rx"] != ABSENT) & ((received["flags"] & StampFlag.RX_SHARED) == 0) & (wire_in != ABSENT)
    assert np.count_nonzero(own) > 1000
    assert np.median(np.abs(wire_in[own] - received["kernel_rx"][own])) < 100_000


def test_frames_are_as_long_as_was_asked_for(run: WireRun) -> None:
    """Frames longer than the link's MTU, unless segmentation offload is off."""
    longest = int(read_rows(run.monitor, "packets")[0]["frame"].max())
    whole = 1514 + VXLAN_BYTES
    assert longest <= whole if "unsegmented" in str(run.trader) else longest > whole


def left_by(pid: int) -> list[str]:
    """Return the namespaces of a process that have a name."""
    return sorted(path.name for path in NAMES.glob(f"wirestamp-{pid}-*"))


def children(pid: int) -> set[int]:
    """Return the processes that a process has started and that still run."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return {int(child) for task in tasks for child in (task / "children").read_text().split()}
    except FileNotFoundError:
        return set()


MOMENTS: dict[str, Callable[[int, Path], bool]] = {
    "first namespace": lambda pid, _: len(left_by(pid)) >= 1,
    "last namespace": lambda pid, _: len(left_by(pid)) >= 3,
    "exchange": lambda _, data: (data / "exchange.log").exists(),
    "capture": lambda _, data: any(data.glob("monitor/*/packets-*.wsj")),
    "messages": lambda _, data: any(received(run) > 50 for run in data.glob("demo/*/")),
}


def received(run: Path) -> int:
    """Return how many messages a run has received, whose log may not have been made yet."""
    return sum(map(len, read_rows(run, "received"))) if any(run.glob("received-*.wsj")) else 0


@pytest.mark.usefixtures("mirror_possible")
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c(moment: str, tmp_path: Path) -> None:
    """During set-up and in the middle of a run: namespaces and processes are gone, the status tells of it."""
    command = [sys.executable, "-m", "wirestamp", "demo", "--mirror", "--data", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        give_up = time.monotonic() + TIMEOUT_S
        while not MOMENTS[moment](process.pid, tmp_path):
            assert time.monotonic() < give_up, f"waited in vain for: {moment}"
            time.sleep(POLL_S)
        started = children(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the whole group
        _, error = process.communicate(timeout=TIMEOUT_S)
    assert 1 == process.returncode
    assert "stopped; " in error
    assert [] == left_by(process.pid)
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


def test_the_review_of_the_same_journals(run: WireRun) -> None:
    """`wirestamp review TRADER MONITOR` says afterwards what the demo said."""
    command = [sys.executable, "-m", "wirestamp", "review", str(run.trader), str(run.monitor), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    again = json.loads(done.stdout)
    again["run"]["folder"] = run.review["run"]["folder"]
    again["wire"]["captures"] = run.review["wire"]["captures"]
    assert run.review == again


def test_no_namespace_is_left(run: WireRun) -> None:
    """The demo has ended: what it made is gone."""
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"wirestamp-{run.pid}-" not in listed
    assert [] == left_by(run.pid)
