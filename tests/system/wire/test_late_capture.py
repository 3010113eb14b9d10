"""A capture that began in mid-stream against one of the same packets that was there from the beginning."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from crosscheck.model import Unmatched
from journal.layout import MessageKind
from journal.reader import read_rows

# What conftest makes, and test folders are not packages to import it from:
Check = Callable[[Path, Path], Any]

SECOND_NS = 1_000_000_000
BEFORE, SINCE, ORDERS = 500, 4000, 12  # messages, messages and orders


class Captured(NamedTuple):
    """Runs of two traders, and of two captures of both."""

    full: Path
    quotes: Path
    early: Path
    late: Path


@pytest.fixture(scope="module")
def captured(start_parts: Callable[[str], Any]) -> Captured:
    """One trader with every channel and one with quotes alone, whose messages are of equal size."""
    with start_parts("8") as parts, parts.capture("early") as early, contextlib.ExitStack() as traders:
        full = traders.enter_context(parts.trader("full"))
        quotes = traders.enter_context(parts.trader("quotes", ["quote"]))
        parts.wait_until(lambda: min(received(full), received(quotes)) > BEFORE, "some messages")
        orders = sent(full)
        with parts.capture("late") as late:
            goal = received(quotes) + SINCE
            parts.wait_until(lambda: received(quotes) > goal and sent(full) > orders + ORDERS, "more messages")
            traders.close()
    return Captured(full, quotes, early, late)


def received(run: Path) -> int:
    """Return how many messages a run has received."""
    return sum(map(len, read_rows(run, "received", verify=False)))


def sent(run: Path) -> int:
    """Return how many messages a run has sent."""
    return sum(map(len, read_rows(run, "sent", verify=False)))


@pytest.mark.parametrize("trader", ["full", "quotes"])
def test_no_match_is_wrong(trader: str, captured: Captured, check_together: Check) -> None:
    """Whatever the late capture matches has the time that the early one gave it."""
    run = getattr(captured, trader)
    early, late = check_together(run, captured.early), check_together(run, captured.late)
    for whole, part in ((early.inbound, late.inbound), (early.outbound, late.outbound)):
        assert whole.matched >= 0.999 * len(whole.time)
        both = (part.reason == Unmatched.MATCHED) & (whole.reason == Unmatched.MATCHED)
        assert part.matched == np.count_nonzero(both)
        assert np.array_equal(whole.time[both], part.time[both])
    assert 0 == late.causality.refuted


@pytest.mark.parametrize("trader", ["full", "quotes"])
def test_nearly_all_match_after_the_beginning(trader: str, captured: Captured, check_together: Check) -> None:
    """The capture finds out where the feed's stream began; what passed before is called so."""
    run = getattr(captured, trader)
    inbound = check_together(run, captured.late).inbound
    (rows,) = read_rows(run, "received")
    market = rows["kind"] == MessageKind.MARKET
    began_ns = int(read_rows(captured.late, "packets")[0]["time"][0])
    since = market & (rows["read"] > began_ns + SECOND_NS)  # one kernel: one clock
    assert np.count_nonzero(since) > SINCE // 2
    assert inbound.matched > 0
    assert np.count_nonzero(inbound.reason[since] == Unmatched.MATCHED) >= 0.99 * np.count_nonzero(since)
    passed = market & (rows["read"] < began_ns)
    assert {Unmatched.BEFORE_CAPTURE} == set(inbound.reason[passed].tolist())


def test_orders_match_in_mid_stream(captured: Captured, check_together: Check) -> None:
    """Once there are enough of them to tell where their stream began."""
    outbound = check_together(captured.full, captured.late).outbound
    (rows,) = read_rows(captured.full, "sent")
    began_ns = int(read_rows(captured.late, "packets")[0]["time"][0])
    since = (rows["kind"] == MessageKind.ORDER) & (rows["order"] != 0) & (rows["written"] > began_ns + SECOND_NS)
    assert np.count_nonzero(since) >= ORDERS // 2
    assert {Unmatched.MATCHED} == set(outbound.reason[since].tolist())
