"""A monitor whose clock is another one, 123 ms ahead and 20 ppm fast: the crosscheck finds that out by itself."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from journal.layout import ABSENT
from journal.reader import read_rows

# What conftest makes, and test folders are not packages to import it from:
WireRun = Any
Warped = Any
Check = Callable[[Path, Path], Any]

SECOND_NS = 1_000_000_000

pytestmark = pytest.mark.slow


def seconds_of(run: WireRun) -> np.ndarray:
    """Return every second of the true time between the first probe and the last."""
    probes = np.concatenate(read_rows(run.monitor, "probes"))
    return np.arange(probes["t1"][0], probes["t4"][-1], SECOND_NS)


def test_the_interval_holds_the_truth_at_every_second(minute: WireRun, warped: Warped, check_together: Check) -> None:
    """Offset and drift are inside for a minute, and the interval is no wider than with one clock."""
    clock = check_together(minute.trader, warped.folder).clock
    true_ns = seconds_of(minute)
    shown_ns = warped.clock(true_ns)
    lower, upper = clock.bounds(shown_ns)
    assert len(true_ns) >= 60
    assert not np.any((lower == ABSENT) | (upper == ABSENT))
    assert np.all(lower <= shown_ns - true_ns)
    assert np.all(shown_ns - true_ns <= upper)
    assert (upper - lower).max() <= 20_000
    assert (upper - lower).max() <= minute.review["clock"]["widest_ns"] + 10


def test_the_drift_is_found(minute: WireRun, warped: Warped, check_together: Check) -> None:
    """All drifts that the probes allow lie within 1 ppm of the truth, at every second."""
    clock = check_together(minute.trader, warped.folder).clock
    slow, fast = clock.drift(warped.clock(seconds_of(minute)))
    assert 19 < slow.min()
    assert fast.max() < 21
    assert ((), ()) == (clock.steps, clock.alarms)


def test_the_review_is_the_same_but_for_the_clock(minute: WireRun, warped: Warped) -> None:
    """Every message has the packet that it had; no stamp is refuted."""
    command = [sys.executable, "-m", "wirestamp", "review", str(minute.trader), str(warped.folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    review = json.loads(done.stdout)
    wire, clock = review["wire"], review["clock"]
    assert wire["match_ratio"] >= 0.999
    for name in ("matched_rx", "matched_tx", "unmatched", "causality_violations", "order_violations", "unrefuted"):
        assert minute.review["wire"][name] == wire[name], name
    assert 0 == wire["causality_violations"]
    assert "probes" == clock["basis"]
    assert abs(clock["drift_ppm"] - 20) < 1


def test_the_same_packets(minute: WireRun, warped: Warped, check_together: Check) -> None:
    """A clock that differs changes no match: each message's packet is that of the true capture."""
    true, other = (check_together(minute.trader, monitor) for monitor in (minute.monitor, warped.folder))
    assert np.array_equal(true.inbound.packet, other.inbound.packet)
    assert np.array_equal(true.outbound.packet, other.outbound.packet)
