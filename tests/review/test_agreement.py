"""What a capture adds to a review, on sound journals and on odd ones: whatever can be said is, and nothing more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from journal.layout import ABSENT, RecordType
from journal.wire import PacketFlag
from review.model import Review
from review.notes import remarks, warnings
from review.summary import summarise

# What conftest makes, and test folders are not packages to import it from:
MonitorWriter = Any
MonitorAt = Callable[..., MonitorWriter]
RunWriter = Any

MESSAGES = 20
UNTOLD = ("exchange_to_wire_in", "wire_in_to_kernel_rx", "written_to_wire_out")


@pytest.fixture
def trader(writer: RunWriter) -> Path:
    """A run on machine `here`: messages, each of which causes an order."""
    writer.begin("here")
    for _ in range(MESSAGES):
        order = writer.order(writer.message())
        writer.execution(order, 15)
    return writer.end()


def matched(review: Review) -> tuple[int, int, int, int]:
    """Return matched and unmatched, in and out."""
    wire = review.wire
    assert wire is not None
    return wire.matched_rx, wire.unmatched_rx, wire.matched_tx, wire.unmatched_tx


def all_of(capture: MonitorWriter) -> Path:
    """End a capture of every message and order."""
    return capture.feed(MESSAGES).route(MESSAGES).end()


def test_one_machine(trader: Path, monitor_at: MonitorAt) -> None:
    """One clock: every figure is exact, and every stamp of an order was tested."""
    review = summarise(trader, [all_of(monitor_at(boot_id="here"))])
    assert (MESSAGES, 0, MESSAGES, 0) == matched(review)
    wire, clock, hops = review.wire, review.clock, review.hops
    assert wire is not None
    assert clock is not None
    assert (1.0, {"rx": {}, "tx": {}}) == (wire.match_ratio, wire.unmatched)
    assert ("one clock", 0, 0) == (clock.basis, clock.lower_ns, clock.upper_ns)
    assert (0, 2 * MESSAGES, MESSAGES) == (wire.causality_violations, wire.unrefuted, wire.not_refutable)
    expected = {"wire_in_to_kernel_rx": 5, "written_to_wire_out": 5}
    assert expected == {name: hops[name].p50_ns for name in expected}
    assert 60 == review.tick_to_trade.wire.p50_ns
    assert 0 == wire.jitter_ns
    assert [] == list(warnings(review))


def test_another_machine_without_probes(trader: Path, monitor_at: MonitorAt) -> None:
    """Figures between two packets remain, those between a packet and a stamp do not exist, nothing can be refuted."""
    review = summarise(trader, [all_of(monitor_at(boot_id="there", ahead_ns=123_000_000))])
    assert (MESSAGES, 0, MESSAGES, 0) == matched(review)
    assert review.clock is not None
    assert ("none", None, None, 0) == (
        review.clock.basis, review.clock.lower_ns, review.clock.upper_ns, review.clock.probes,
    )  # fmt: skip
    assert 60 == review.tick_to_trade.wire.p50_ns
    assert [None] * len(UNTOLD) == [review.hops[name] for name in UNTOLD]
    assert (0, 0, 3 * MESSAGES) == (
        review.wire.causality_violations, review.wire.unrefuted, review.wire.not_refutable,
    )  # fmt: skip
    assert any("without clock probes the wire's times stand for themselves" in text for text in remarks(review))


def test_another_machine_with_probes(trader: Path, monitor_at: MonitorAt) -> None:
    """θ is the middle of the interval that they leave: here the truth, to a few ns."""
    capture = monitor_at(boot_id="there", ahead_ns=123_000_000)
    for at_ns in range(-10_000, 60_000, 1_000):
        capture.probe(at_ns)
    review = summarise(trader, [all_of(capture)])
    assert "probes" == review.clock.basis
    assert review.clock.lower_ns <= 123_000_000 <= review.clock.upper_ns
    assert 5 == pytest.approx(review.hops["wire_in_to_kernel_rx"].p50_ns, abs=5)
    assert 0 == review.wire.causality_violations
    assert any("are known to ± " in text for text in remarks(review))


@pytest.mark.parametrize(("out_ns", "back_ns", "side"), [(100, None, "lower_ns"), (None, 100, "upper_ns")])
def test_probes_that_bound_one_side_only(
    trader: Path, monitor_at: MonitorAt, out_ns: int | None, back_ns: int | None, side: str
) -> None:
    """The bound is told, the other is absent, and no figure is made of half an interval."""
    capture = monitor_at(boot_id="there", ahead_ns=123_000_000)
    for at_ns in range(-10_000, 60_000, 1_000):
        capture.probe(at_ns, out_ns, back_ns)
    review = summarise(trader, [all_of(capture)])
    assert (MESSAGES, 0, MESSAGES, 0) == matched(review)
    known = {name: getattr(review.clock, name) for name in ("lower_ns", "upper_ns")}
    assert [side] == [name for name, bound in known.items() if bound is not None]
    assert None is review.clock.widest_ns
    assert [None] * len(UNTOLD) == [review.hops[name] for name in UNTOLD]
    assert 60 == review.tick_to_trade.wire.p50_ns
    assert not any("known to ±" in text for text in remarks(review))


def test_a_capture_of_nothing(trader: Path, monitor_at: MonitorAt) -> None:
    """Every message says why it has no packet."""
    capture = monitor_at(boot_id="here")
    review = summarise(trader, [capture.end(passed_over={"ARP": 10**12})])
    assert (0, MESSAGES, 0, MESSAGES) == matched(review)
    nothing = {"the capture saw no packet of the connection": MESSAGES}
    assert {"rx": nothing, "tx": nothing} == review.wire.unmatched
    assert (0.0, None, 0) == (review.wire.match_ratio, review.wire.jitter_ns, review.wire.inbound.packets)
    assert f"the capture {capture.run} holds no packet of lo" in list(warnings(review))
    assert "packets that the capture passed over: ARP (1.00 T)" in list(remarks(review))


def test_a_trader_without_messages(writer: RunWriter, monitor_at: MonitorAt) -> None:
    """There is no ratio of nothing."""
    review = summarise(writer.begin("here").end(), [all_of(monitor_at(boot_id="here"))])
    assert (0, 0, 0, 0) == matched(review)
    assert None is review.wire.match_ratio


def test_a_run_that_tells_no_ends(writer: RunWriter, monitor_at: MonitorAt) -> None:
    """Its connections cannot be found in a capture."""
    writer.begin("here")
    for conn in (2, 3):
        writer.record(RecordType.CONNECTION, {"event": "open", "role": "route", "name": "main"}, conn)
    writer.order(writer.message())
    review = summarise(writer.end(), [all_of(monitor_at(boot_id="here"))])
    assert (0, 1, 0, 1) == matched(review)


def test_two_captures_that_shared_the_connections(trader: Path, monitor_at: MonitorAt) -> None:
    """Each has one connection, together they have all."""
    feed = monitor_at("one", boot_id="here").feed(MESSAGES, number=1).end()
    route = monitor_at("two", boot_id="here").route(MESSAGES, number=1).end()
    assert (MESSAGES, 0, 0, MESSAGES) == matched(summarise(trader, [feed]))
    assert (0, MESSAGES, MESSAGES, 0) == matched(summarise(trader, [route]))
    review = summarise(trader, [feed, route])
    assert (MESSAGES, 0, MESSAGES, 0) == matched(review)
    assert [str(feed), str(route)] == [capture.folder for capture in review.wire.captures]


def test_a_capture_that_ended_in_between(trader: Path, monitor_at: MonitorAt) -> None:
    """What came later is called so; why it ended is a warning."""
    review = summarise(trader, [monitor_at(boot_id="here").feed(5).end("eth1 went away")])
    assert {"after the capture ended, or not captured yet": MESSAGES - 5} == review.wire.unmatched["rx"]
    (capture,) = review.wire.captures
    assert f"the capture {capture.folder} ended early: eth1 went away" in list(warnings(review))


def test_a_stamp_that_cannot_be_true(writer: RunWriter, monitor_at: MonitorAt) -> None:
    """An order that was written after its packet had passed is named."""
    writer.begin("here")
    for trace in range(1, MESSAGES + 1):
        base = 1_700_000_000_000_000_000 + trace * 1000
        late = {"written": base + 900, "sent": base + 950} if trace == 7 else {}
        writer.order(writer.message(), **late)
    review = summarise(writer.end(), [all_of(monitor_at(boot_id="here"))])
    assert [(7, 7, "written", 845)] == [(each.trace, each.order, each.hop, each.by_ns) for each in review.wire.refuted]
    assert 1 == review.wire.causality_violations
    said = [text for text in warnings(review) if "cannot be true" in text]
    assert ["written of trace 7, order 7 cannot be true: its packet had passed 845 ns before"] == said


def test_stamps_of_a_nic_are_a_third_clock(trader: Path, monitor_at: MonitorAt) -> None:
    """Without a reading of that clock they meet no stamp of the trader's."""
    capture = monitor_at(boot_id="here", ahead_ns=37_000_000_000)
    append = capture.journal.rows["packets"].append
    capture.journal.rows["packets"].append = lambda *row: append(*row[:-1], row[-1] | PacketFlag.HARDWARE)
    review = summarise(trader, [all_of(capture)])
    assert (MESSAGES, 0, MESSAGES, 0) == matched(review)
    assert [None] * len(UNTOLD) == [review.hops[name] for name in UNTOLD]
    assert 60 == review.tick_to_trade.wire.p50_ns
    assert 0 == review.wire.causality_violations


def test_without_the_venues_time_there_is_no_jitter(writer: RunWriter, monitor_at: MonitorAt) -> None:
    """It is made of the venue's times and the capture's."""
    writer.begin("here")
    for _ in range(3):
        writer.message(exchange=ABSENT)
    review = summarise(writer.end(), [monitor_at(boot_id="here").feed(3).end()])
    assert None is review.wire.jitter_ns
