"""One stamp of a real run moved by a millisecond: exactly that message is told, or nothing is claimed at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from journal.layout import ABSENT, MessageKind, StampFlag, TxEvent
from journal.reader import read_rows
from review.model import Review
from review.summary import summarise

# What conftest makes, and test folders are not packages to import it from:
WireRun = Any
Movable = Any
Check = Callable[[Path, Path], Any]

MS = 1_000_000

pytestmark = pytest.mark.slow


class Order(NamedTuple):
    """An order: its rows in the sent log and, of its kernel_sched, in the transmitted log."""

    trace: int
    ordinal: int
    rows: dict[str, int]


def spread(rows: np.ndarray) -> list[int]:
    """Return the first, the middle and the last."""
    assert len(rows) >= 3
    return [int(rows[at]) for at in (0, len(rows) // 2, -1)]


@pytest.fixture(scope="module")
def orders(minute: WireRun, check_together: Check) -> list[Order]:
    """Three orders that were on the wire well within a millisecond of being written."""
    (sent,), (transmitted,) = read_rows(minute.trader, "sent"), read_rows(minute.trader, "transmitted")
    wire_out = check_together(minute.trader, minute.monitor).outbound.time
    soon = (wire_out != ABSENT) & (wire_out - sent["written"] < 0.8 * MS)
    found = []
    for row in spread(np.flatnonzero((sent["kind"] == MessageKind.ORDER) & (sent["order"] != 0) & soon)):
        same = (transmitted["conn"] == sent["conn"][row]) & (transmitted["off"] == sent["off"][row])
        (scheduled,) = np.flatnonzero(same & (transmitted["event"] == TxEvent.SCHED))
        rows = {"sent": row, "transmitted": int(scheduled)}
        found.append(Order(int(sent["trace"][row]), int(sent["order"][row]), rows))
    return found


@pytest.fixture(scope="module")
def messages(minute: WireRun) -> list[int]:
    """Three rows of market data that were read and decoded well within a millisecond of their own kernel stamp."""
    (received,) = read_rows(minute.trader, "received")
    own = (received["kernel_rx"] != ABSENT) & ((received["flags"] & StampFlag.RX_SHARED) == 0)
    soon = received["decoded"] - received["kernel_rx"] < 0.8 * MS
    return spread(np.flatnonzero((received["kind"] == MessageKind.MARKET) & own & soon))


@pytest.fixture(scope="module", params=["minute", "warped"])
def monitor(request: pytest.FixtureRequest) -> Path:
    """The capture, by the same clock or by another one."""
    run = request.getfixturevalue(request.param)
    return Path(run.monitor if request.param == "minute" else run.folder)


@pytest.fixture(scope="module")
def before(movable: Movable, monitor: Path) -> Review:
    """The review of what really happened."""
    review = summarise(movable.folder, [monitor])
    assert review.wire is not None
    assert (0, 0) == (review.wire.causality_violations, review.wire.order_violations)
    return review


@pytest.mark.parametrize(
    ("log", "field", "hop"), [("sent", "written", "written"), ("transmitted", "time", "kernel_sched")]
)
def test_a_stamp_that_cannot_be_true(
    log: str, field: str, hop: str, movable: Movable, monitor: Path, before: Review, orders: list[Order]
) -> None:
    """Later than its packet: this message alone is refuted, by name, and the interval is what it was."""
    for order in orders:
        with movable.moved(log, order.rows[log], field, MS):
            review = summarise(movable.folder, [monitor])
        (refuted,) = review.wire.refuted
        assert (order.trace, order.ordinal, hop) == (refuted.trace, refuted.order, refuted.hop)
        assert 0 < refuted.by_ns < MS
        assert (1, 1) == (review.wire.causality_violations, review.wire.order_violations)
        assert before.wire.unrefuted - 1 == review.wire.unrefuted
        assert before.clock == review.clock
        assert before.wire.unmatched == review.wire.unmatched


@pytest.mark.parametrize("by_ns", [MS, -MS])
@pytest.mark.parametrize("hop", ["read", "written"])
def test_stamps_out_of_order(
    hop: str, by_ns: int, movable: Movable, minute: WireRun, orders: list[Order], messages: list[int]
) -> None:
    """Earlier than the hop before it or later than the next: one violation, which names the message."""
    (received,) = read_rows(minute.trader, "received")
    of_read = [("received", row, int(received["trace"][row]), int(received["order"][row])) for row in messages]
    of_written = [("sent", order.rows["sent"], order.trace, order.ordinal) for order in orders]
    for log, row, trace, ordinal in of_read if hop == "read" else of_written:
        with movable.moved(log, row, hop, by_ns):
            review = summarise(movable.folder, [minute.monitor])
        (violation,) = review.stamps.violations
        assert (trace, ordinal) == (violation.trace, violation.order)
        assert hop in (violation.earlier, violation.later)
        assert (1, 1) == (review.stamps.order_violations, review.wire.order_violations)
        assert int(hop == "written" and by_ns > 0) == review.wire.causality_violations


def test_what_cannot_be_refuted(movable: Movable, monitor: Path, before: Review, messages: list[int]) -> None:
    """A kernel stamp that is too early: nothing contradicts it, and nothing is said but that it was not tested."""
    kernel_rx = read_rows(movable.folder, "received")[0]["kernel_rx"].copy()
    for row in messages:
        with movable.moved("received", row, "kernel_rx", -MS):
            review = summarise(movable.folder, [monitor])
        assert before.wire == review.wire
        assert before.clock == review.clock
        assert before.stamps == review.stamps
        assert before.hops["kernel_rx_to_read"] != review.hops["kernel_rx_to_read"]
    assert before.wire.not_refutable >= len(kernel_rx)


def test_a_copy_that_was_moved_back_is_the_original(movable: Movable, monitor: Path, before: Review) -> None:
    """The tests above leave nothing behind."""
    assert msgspec.json.encode(before) == msgspec.json.encode(summarise(movable.folder, [monitor]))
