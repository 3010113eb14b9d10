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
SAME_PACKET_NS = 5_000_000  # two sockets stamp it one after the other; a retransmission comes later
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
        count = parts.rows_in
        full = traders.enter_context(parts.trader("full"))
        quotes = traders.enter_context(parts.trader("quotes", ["quote"]))
        parts.wait_until(lambda: min(count(full, "received"), count(quotes, "received")) > BEFORE, "some messages")
        orders = count(full, "sent")
        with parts.capture("late") as late:
            goal = count(quotes, "received") + SINCE
            parts.wait_until(
                lambda: count(quotes, "received") > goal and count(full, "sent") > orders + ORDERS, "more messages"
            )
            traders.close()
    return Captured(full, quotes, early, late)


@pytest.mark.parametrize("trader", ["full", "quotes"])
def test_no_match_is_wrong(trader: str, captured: Captured, check_together: Check) -> None:
    """Whatever the late capture matches is the packet that the early one found; each stamped it by itself."""
    run = getattr(captured, trader)
    early, late = check_together(run, captured.early), check_together(run, captured.late)
    number_early, number_late = sequence_numbers(captured.early), sequence_numbers(captured.late)
    for whole, part in ((early.inbound, late.inbound), (early.outbound, late.outbound)):
        assert set(whole.reason.tolist()) <= {Unmatched.MATCHED, Unmatched.RESENT}
        both = np.flatnonzero(part.reason == Unmatched.MATCHED)
        assert set(whole.reason[both].tolist()) <= {Unmatched.MATCHED}
        assert np.array_equal(number_early[whole.packet[both]], number_late[part.packet[both]])
        assert np.abs(whole.time[both] - part.time[both]).max(initial=0) < SAME_PACKET_NS
    assert 0 == late.causality.refuted


def sequence_numbers(capture: Path) -> np.ndarray:
    """Return the TCP sequence number of every packet of a capture (`journal.wire`)."""
    return np.concatenate(read_rows(capture, "packets"))["position"] % (1 << 32)


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
