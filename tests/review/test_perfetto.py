"""The trace is what the format asks for: slices nest, times are exact, arrows lead from a cause to its orders."""

import json
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.layout import ABSENT, MessageKind, StampFlag, TxEvent
from journal.reader import Rows
from review.packet_comments import packet_comments
from review.perfetto import RECEIVED_HOPS, SENT_HOPS, perfetto_trace
from review.stamps import RowLogs, WireColumns

START_NS = 1_700_000_000_123_456_789
MARKET, ORDER, SESSION = MessageKind.MARKET, MessageKind.ORDER, MessageKind.SESSION
MakeRows = Callable[..., Rows]
Event = dict[str, Any]


def at(*after_ns: int) -> list[int]:
    """Return times after the start, ABSENT where negative."""
    return [START_NS + after if after >= 0 else ABSENT for after in after_ns]


@pytest.fixture
def logs(rows: MakeRows) -> RowLogs:
    """Two market messages of one read, of which the second caused an order; a log-on; the order's reply."""
    return RowLogs(
        rows(
            "received",
            trace=[5, 6, 7], kind=[MARKET, MARKET, ORDER], order=[0, 0, 1], conn=[3, 3, 2], size=[100, 200, 300],
            off=[1100, 1300, 900], flags=[StampFlag.RX_SHARED, 0, 0],
            exchange=at(0, 0, 0), kernel_rx=at(150, 150, 9_000), read=at(1_000, 1_000, 9_500),
            decoded=at(2_000, 3_001, 9_900),
        ),
        rows(
            "sent",
            trace=[0, 6], kind=[SESSION, ORDER], order=[0, 1], conn=[2, 2], size=[50, 160], off=[50, 210],
            decided=at(-1, 4_000), encoded=at(-1, 5_000), written=at(500, 6_000), sent=at(700, 8_000),
        ),
        rows(
            "transmitted",
            conn=2, off=210, event=[TxEvent.SCHED, TxEvent.DRIVER, TxEvent.ACK], time=at(6_500, 6_500, 9_600),
        ),
    )  # fmt: skip


@pytest.fixture
def wire() -> WireColumns:
    """The capture saw the second market message and the order; its clock is 1 s ahead."""
    seen_in, seen_out = np.array(at(-1, 100, 8_800)), np.array(at(-1, 6_400))

    there = [np.where(column == ABSENT, ABSENT, column + 10**9) for column in (seen_in, seen_out)]
    return WireColumns(there[0], seen_in, there[1], seen_out)


def read(logs: RowLogs, wire: WireColumns | None = None) -> dict[str, Any]:
    """Return the trace, its times as exact fractions."""
    text = "".join(perfetto_trace(logs, wire, {3: 'the "feed"'}))
    found: dict[str, Any] = json.loads(text, parse_float=Fraction)
    return found


def slices(trace: dict[str, Any], **wanted: int) -> list[Event]:
    """Return the slices of these connections or threads."""
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    return [event for event in events if all(event[name] == value for name, value in wanted.items())]


def spans(events: list[Event]) -> list[tuple[str, int, int]]:
    """Return name, start and end, ns."""
    return [(event["name"], int(event["ts"] * 1000), int((event["ts"] + event["dur"]) * 1000)) for event in events]


def test_a_message_and_its_hops(logs: RowLogs) -> None:
    """A shared kernel stamp is left out; times count from the first stamp that is shown."""
    expected = [
        ("trace 6 market", 0, 2_851),
        ("kernel_rx → read", 0, 850),
        ("read → decoded", 850, 2_851),
        ("trace 5 market", 850, 1_850),
        ("read → decoded", 850, 1_850),
    ]
    trace = read(logs)
    assert expected == spans(slices(trace, pid=3))
    assert str(START_NS + 150) == trace["otherData"]["start_ns"]
    assert "2023-11-14T22:13:20+00:00" == trace["otherData"]["start"]
    assert "none" == trace["otherData"]["wire"]


def test_an_order_with_the_wire(logs: RowLogs, wire: WireColumns) -> None:
    """Stamps follow one another as their times do; two of the same nanosecond have no slice between them."""
    expected = [
        ("trace 7 order 1", 8_700, 9_800),
        ("wire_in → kernel_rx", 8_700, 8_900),
        ("kernel_rx → read", 8_900, 9_400),
        ("read → decoded", 9_400, 9_800),
        ("session", 400, 400),
        ("trace 6 order 1", 3_900, 9_500),
        ("decided → encoded", 3_900, 4_900),
        ("encoded → written", 4_900, 5_900),
        ("written → wire_out", 5_900, 6_300),
        ("wire_out → kernel_sched", 6_300, 6_400),
        ("kernel_tx → reply_wire_in", 6_400, 8_700),
        ("reply_wire_in → reply_kernel_rx", 8_700, 8_900),
        ("reply_kernel_rx → reply_read", 8_900, 9_400),
        ("reply_read → kernel_ack", 9_400, 9_500),
    ]
    trace = read(logs, wire)
    assert expected == spans(slices(trace, pid=2))
    order = slices(trace, pid=2)[5]["args"]
    assert 6_300 == order["tick_to_trade_wire_ns"]
    assert (5_000, 6_350) == (order["tick_to_trade_process_ns"], order["tick_to_trade_kernel_ns"])
    assert (6, 1, 160, 210) == (order["trace"], order["order"], order["size_bytes"], order["stream_off"])


def test_names_are_those_of_packet_comments(logs: RowLogs, wire: WireColumns) -> None:
    """Whoever looks for a message by its name finds it in both; a reply to a log-on concerns no order."""
    logs.received["order"][2] = 0
    packets = np.arange(3), np.array([3, 4])
    heads = {line.split(" · ")[0] for _, text in packet_comments(logs, wire, *packets) for line in text.splitlines()}
    assert heads == {event["name"] for event in slices(read(logs, wire)) if "args" in event}
    assert "trace 7 order" in heads


def test_arrows(logs: RowLogs) -> None:
    """From the message that caused the order to the order, from no other."""
    arrows = [event for event in slices(read(logs)) if "bind_id" in event]
    assert [("trace 6 market", "flow_out"), ("trace 6 order 1", "flow_in")] == [
        (event["name"], next(name for name in ("flow_in", "flow_out") if event.get(name))) for event in arrows
    ]
    assert {"0x6"} == {event["bind_id"] for event in arrows}


def test_tracks_have_names(logs: RowLogs) -> None:
    """A connection is a process, its lanes are threads of numbers of their own."""
    named = {
        (event["name"], event["pid"], event["tid"]): event["args"]["name"]
        for event in read(logs)["traceEvents"]
        if event["ph"] == "M"
    }
    processes = {pid: name for (what, pid, _), name in named.items() if what == "process_name"}
    assert {2: "connection 2", 3: 'connection 3 the "feed"'} == processes
    threads = [(pid, name) for (what, pid, _), name in sorted(named.items()) if what == "thread_name"]
    expected = [(2, "received, lane 1"), (2, "sent, lane 1"), (3, "received, lane 1"), (3, "received, lane 2")]
    assert expected == sorted(threads)
    tids = [tid for what, _, tid in named if what == "thread_name"]
    assert len(tids) == len(set(tids))


def test_nothing_received(rows: MakeRows) -> None:
    """A run without a message is a trace without an event."""
    empty = RowLogs(*(rows(log, off=[]) for log in ("received", "sent", "transmitted")))
    assert ["otherData", "traceEvents"] == list(read(empty))
    assert [] == read(empty)["traceEvents"]


def test_pieces_are_bounded(rows: MakeRows) -> None:
    """However many messages there are, a piece of text holds some thousands."""
    count = 20_000
    times = START_NS + np.arange(count) * 1_000
    received = rows("received", trace=np.arange(count) + 1, kind=MARKET, conn=3, read=times, decoded=times + 500)
    logs = RowLogs(received, rows("sent", off=[]), rows("transmitted", off=[]))
    pieces = list(perfetto_trace(logs, None, {}))
    assert max(map(len, pieces)) < 1_000_000
    assert 2 * count == len(slices(json.loads("".join(pieces))))


_TIME = st.integers(0, 40) | st.just(-1)


@given(
    received=st.lists(st.tuples(st.integers(2, 3), *[_TIME] * len(RECEIVED_HOPS)), max_size=12),
    sent=st.lists(st.tuples(st.integers(2, 3), *[_TIME] * 3), max_size=8),
)
def test_slices_nest(rows: MakeRows, received: list[tuple[int, ...]], sent: list[tuple[int, ...]]) -> None:
    """On every thread, whatever the stamps: a slice lies within another one or beside it; none is negative."""
    conn, *hops = np.array(received, np.int64).reshape(-1, 1 + len(RECEIVED_HOPS)).T
    wire_in, kernel_rx, read_at, decoded = (np.where(hop < 0, ABSENT, hop + START_NS) for hop in hops)
    sent_conn, *hops = np.array(sent, np.int64).reshape(-1, 4).T
    decided, encoded, written = (np.where(hop < 0, ABSENT, hop + START_NS) for hop in hops)
    logs = RowLogs(
        rows("received", conn=conn, kind=MARKET, kernel_rx=kernel_rx, read=read_at, decoded=decoded),
        rows("sent", conn=sent_conn, kind=ORDER, decided=decided, encoded=encoded, written=written),
        rows("transmitted", off=[]),
    )
    nowhere = np.full(len(sent), ABSENT)
    trace = read(logs, WireColumns(wire_in, wire_in, nowhere, nowhere))
    threads = defaultdict(list)
    for event in slices(trace):
        threads[event["tid"]].append(event)
    for events in threads.values():
        open_until: list[int] = []
        for _, begin, end in sorted(spans(events), key=lambda span: span[1]):  # a reader's sort by time is stable
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert begin <= end
            assert not open_until or end <= open_until[-1]
            open_until.append(end)
    stamped = sum(any(time >= 0 for time in times) for _, *times in [*received, *sent])
    assert stamped == sum("args" in event for event in slices(trace))


def test_hops_are_the_journals(rows: MakeRows) -> None:
    """Every hop that is shown exists, and is of the trader's clock or the capture's."""
    known = {*(rows("received", off=[]).dtype.names or ()), *(rows("sent", off=[]).dtype.names or ())}
    of_the_kernel = {"kernel_sched", "kernel_tx", "kernel_ack"}
    shown = {hop.removeprefix("reply_") for hop in (*RECEIVED_HOPS, *SENT_HOPS)}
    assert {"wire_in", "wire_out"} == shown - known - of_the_kernel
    assert "exchange" not in shown
