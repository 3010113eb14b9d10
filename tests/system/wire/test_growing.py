"""Reviews of a trader and a capture that are still at work, and of a trader that was restarted under one capture."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# What conftest makes, and test folders are not packages to import it from:
StartParts = Callable[[str], Any]

RESENT = "sent again before it was acknowledged; which copy arrived is not known"
NOT_YET = "after the capture ended, or not captured yet"
LOOKS = 3


class Growth(NamedTuple):
    """What was seen of two runs of a trader and a capture.

    Attributes:
        looks: reviews of the first run while it grew.
        killed, ended: the runs.
        monitor: the capture of both.
    """

    looks: list[dict[str, Any]]
    killed: Path
    ended: Path
    monitor: Path


def review(trader: Path, monitor: Path) -> dict[str, Any]:
    """Run `wirestamp review TRADER MONITOR --json`."""
    command = [sys.executable, "-m", "wirestamp", "review", str(trader), str(monitor), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def growth(start_parts: StartParts) -> Growth:
    """A trader that is reviewed as it runs, is killed, and starts again."""
    looks = []
    with start_parts("5") as parts, parts.capture("monitor") as monitor:
        with parts.trader("trader", kill=True) as killed:
            for _ in range(LOOKS):
                goal = parts.rows_in(killed, "received") + 300
                parts.wait_until(lambda goal=goal: parts.rows_in(killed, "received") > goal, "more messages")
                looks.append(review(parts.data / "trader", parts.data / "monitor"))
        with parts.trader("trader") as ended:
            parts.wait_until(lambda: parts.rows_in(ended, "received") > 1000, "messages of the second run")
    return Growth(looks, killed, ended, monitor)


def test_a_review_of_what_still_grows(growth: Growth) -> None:
    """Each look sees more; what has no packet has not been captured yet."""
    for look in growth.looks:
        wire = look["wire"]
        assert (str(growth.killed), None) == (look["run"]["folder"], look["run"]["ended"])
        assert None is wire["captures"][0]["ended"]
        assert wire["matched_rx"] > 0
        assert set(wire["unmatched"]["rx"]) | set(wire["unmatched"]["tx"]) <= {NOT_YET, RESENT}
        assert (0, 0) == (wire["causality_violations"], wire["order_violations"])
        assert look["clock"]["lower_ns"] <= 0 <= look["clock"]["upper_ns"]
    matched = [look["wire"]["matched_rx"] for look in growth.looks]
    assert sorted(set(matched)) == matched


@pytest.mark.parametrize("which", ["killed", "ended"])
def test_a_trader_restarted_in_mid_capture(which: str, growth: Growth) -> None:
    """Both of its runs meet their packets in the one capture."""
    found = review(getattr(growth, which), growth.monitor)
    wire = found["wire"]
    assert found["messages"] > 900
    assert set(wire["unmatched"]["rx"]) <= {RESENT}
    assert {} == wire["unmatched"]["tx"]
    assert (0, 0) == (wire["causality_violations"], wire["order_violations"])
