"""A run's folder becomes the object that DESIGN.md states, with nothing made up."""

import json
from pathlib import Path
from typing import Any

import msgspec

from journal.layout import RecordType, StampFlag
from review.hops import MESSAGE_HOPS, ORDER_HOPS, hop_name
from review.summary import summarise

# What conftest makes, and test folders are not packages to import it from:
RunWriter = Any


def as_json(run: Path) -> dict[str, Any]:
    """Return the review as its JSON says it."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(summarise(run)))
    return found


def flat(duration_ns: int, n: int) -> dict[str, int]:
    """Return the percentiles of n equal durations."""
    return {"n": n} | dict.fromkeys(("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"), duration_ns)


def test_the_published_keys_are_there(ended_run: Path) -> None:
    """Exactly these names; others may be added."""
    found = as_json(ended_run)
    counts = {"messages": 4, "trades": 3, "orders": 2, "fills": 2, "rejects": 1, "gaps": 1, "dropped": 1}
    assert counts == {name: found[name] for name in counts}
    assert {hop_name(*hop) for hop in (*MESSAGE_HOPS, *ORDER_HOPS)} == set(found["hops"])
    assert {"process", "kernel", "wire"} == set(found["tick_to_trade"])
    assert (None, None, None) == (found["wire"], found["clock"], found["tick_to_trade"]["wire"])


def test_hops_and_tick_to_trade_are_the_joined_differences(ended_run: Path) -> None:
    """The journal was written with hops of known length."""
    found = as_json(ended_run)
    lengths = {
        "exchange_to_kernel_rx": flat(10, 4),
        "kernel_rx_to_read": flat(10, 4),
        "read_to_decoded": flat(10, 4),
        "decoded_to_decided": flat(10, 2),
        "decided_to_encoded": flat(10, 2),
        "encoded_to_written": flat(10, 2),
        "written_to_sent": flat(10, 2),
        "written_to_kernel_sched": flat(5, 2),
        "kernel_sched_to_kernel_tx": flat(10, 2),
        "kernel_tx_to_kernel_ack": flat(10, 2),
        "reply_kernel_rx_to_reply_read": flat(10, 2),
    }
    assert lengths == {name: found["hops"][name] for name in lengths}
    assert {"process": flat(40, 2), "kernel": flat(65, 2), "wire": None} == found["tick_to_trade"]
    assert 2950 == found["hops"]["written_to_reply_kernel_rx"]["p50_ns"]  # 4 µs - 1.05 µs, then 5 µs - 2.05 µs
    assert 2960 == found["hops"]["written_to_reply_read"]["p50_ns"]


def test_a_shared_stamp_is_in_no_kernel_figure(writer: RunWriter) -> None:
    """Neither in the message's hops nor in its order's tick-to-trade; everything else of it counts."""
    writer.begin()
    own, shared = writer.message(), writer.message(flags=StampFlag.RX_SHARED, kernel_rx=1)
    for cause in (own, shared):
        writer.order(cause)
    found = as_json(writer.end())
    assert (1, 2) == (found["hops"]["kernel_rx_to_read"]["n"], found["hops"]["read_to_decoded"]["n"])
    assert (flat(65, 1), flat(40, 2)) == (found["tick_to_trade"]["kernel"], found["tick_to_trade"]["process"])
    stamps = found["stamps"]
    assert (1, 1, 0) == (stamps["kernel_rx_own"], stamps["kernel_rx_shared"], stamps["kernel_rx_absent"])


def test_an_order_of_a_timer_has_no_tick(writer: RunWriter) -> None:
    """It is an order, and no message made it."""
    writer.begin()
    writer.message()
    writer.order(77)
    found = as_json(writer.end())
    assert (1, None, None) == (found["orders"], found["tick_to_trade"]["process"], found["tick_to_trade"]["kernel"])
    assert (None, flat(10, 1)) == (found["hops"]["decoded_to_decided"], found["hops"]["decided_to_encoded"])


def test_an_order_that_a_report_caused_has_no_tick(writer: RunWriter) -> None:
    """Its way through the strategy counts, but no market data led to it."""
    writer.begin()
    report = writer.reply(writer.order(writer.message()))
    writer.order(report)
    found = as_json(writer.end())
    assert 1 == found["tick_to_trade"]["process"]["n"] == found["tick_to_trade"]["kernel"]["n"]
    assert 2 == found["hops"]["decoded_to_decided"]["n"]


def test_a_run_that_ended_at_once_is_all_missing(writer: RunWriter) -> None:
    """Counts are 0, figures are None."""
    found = as_json(writer.begin().kill())
    assert (0, 0, 0) == (found["messages"], found["trades"], found["orders"])
    assert {None} == set(found["hops"].values()) | set(found["tick_to_trade"].values())


def test_a_killed_run_says_the_same_as_an_ended_one(writer: RunWriter) -> None:
    """But for its end."""
    writer.begin()
    writer.reply(writer.order(writer.message()))
    writer.execution(1, 15)
    killed = as_json(writer.kill())
    ended = as_json(writer.end())
    assert (None, "asked to stop") == (killed["run"]["ended"], ended["run"]["ended"])
    assert {name: part for name, part in ended.items() if name != "run"} == {
        name: part for name, part in killed.items() if name != "run"
    }


def test_an_order_that_nobody_answered_is_counted(writer: RunWriter) -> None:
    """Silence after a send is unknown, not rejected."""
    writer.begin()
    cause = writer.message()
    writer.order(cause)
    writer.record(
        RecordType.ORDER, {"action": "place", "ordinal": 2}, trace=cause
    )  # killed before its send was written
    found = as_json(writer.end())
    assert (2, 2, 1) == (found["orders"], found["unanswered"], found["stamps"]["orders_sent"])


def test_a_violation_is_counted_once_and_named(writer: RunWriter) -> None:
    """Here `written` of the second order is 1 ms late, so two later stamps lie before it."""
    writer.begin()
    writer.order(writer.message())
    late = 1_700_000_000_000_000_000 + 2_000 + 50 + 1_000_000
    writer.order(writer.message(), written=late)
    stamps = as_json(writer.end())["stamps"]
    assert 1 == stamps["order_violations"]
    violation = {"trace": 2, "order": 2, "earlier": "written", "later": "kernel_sched", "by_ns": 999_995}
    assert [violation] == stamps["violations"]


def test_a_clock_step_suspends_the_test_around_it(writer: RunWriter) -> None:
    """The same wrong stamps, but the clock was set meanwhile."""
    writer.begin()
    begin = 1_700_000_000_000_000_000
    writer.record(RecordType.CLOCK, {"realtime_ns": begin, "monotonic_ns": 0})
    writer.message(decoded=begin)
    writer.record(RecordType.CLOCK, {"realtime_ns": begin + 10**9 - 10**6, "monotonic_ns": 10**9})
    stamps = as_json(writer.end())["stamps"]
    assert (0, 1, 1) == (stamps["order_violations"], stamps["clock_steps"], stamps["suspended"])


def test_the_header_says_which_run_it_was(ended_run: Path) -> None:
    """When, how long, what with."""
    run = as_json(ended_run)["run"]
    assert (str(ended_run), "t", "2023-11-14T22:13:20.000+00:00", 2.0) == (
        run["folder"], run["name"], run["started"], run["seconds"],
    )  # fmt: skip
    assert (["binance"], ["BTC-USDT"], ["VolumeModulo"], "uvloop") == (
        run["venues"], run["symbols"], run["strategies"], run["loop"],
    )  # fmt: skip
