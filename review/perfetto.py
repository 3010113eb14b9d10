"""The messages of a run as a trace for the Perfetto UI: one slice per message, its hops within. Pure.

The format is the Trace Event Format, as a JSON object
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): times are µs, written here with three
decimals so that no nanosecond is lost, and counted from the first stamp, so that a binary float holds them for weeks. A
process is a connection, a thread one of its lanes: slices of one thread must nest
(https://perfetto.dev/docs/faq), so a message that begins before another has ended goes to the next lane. An arrow
(`bind_id`) leads from a message to the orders that it caused.

A message is called as in the comments of packets: `trace 1234 market`; `trace 1234 order 7` when it concerns the
seventh order, `trace 1 order` when it is order entry for none; `session` alone when no message caused it: then it
has no trace.

Within a message its stamps follow one another as their times do, and a slice `a → b` is between two neighbours. So
`kernel_ack → reply_kernel_rx` and the reverse both occur, and two stamps of the same nanosecond have no slice between
them. `wire_…` stamps are on the trader's clock, as well as θ is known; `exchange` is another clock and left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, pairwise

import msgspec
import numpy as np

from journal.layout import ABSENT, MessageKind
from journal.reader import Rows
from review.hops import MONITOR_CLOCK, tick_to_trade
from review.stamps import (
    Column,
    Index,
    Mask,
    RowLogs,
    Stamps,
    WireColumns,
    caused_by_market,
    is_order,
    received_stamps,
    sent_stamps,
)

RECEIVED_HOPS = ("wire_in", "kernel_rx", "read", "decoded")
SENT_HOPS = (
    "decided", "encoded", "written", "kernel_sched", "kernel_tx", "wire_out", "kernel_ack",
    "reply_wire_in", "reply_kernel_rx", "reply_read",
)  # fmt: skip

_BATCH = 2048  # messages in a piece of text
_FIRST_LANE = 1 << 20  # a thread whose number is its process's counts as the main one: keep away from connections
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Direction:
    """The messages of one direction, by time.

    Attributes:
        is_sent: whether the trader sent them.
        rows, stamps: as in the journal, shape (n,).
        hops: names of the stamps that are shown.
        times: of each message in ascending order, ABSENT first, shape (hops, n).
        which: index in `hops` of each of `times`.
        absent: how many of `times` are ABSENT, shape (n,).
        linked: whether an arrow begins at a message received, or ends at one sent, shape (n,).
    """

    is_sent: bool
    rows: Rows
    stamps: Stamps
    hops: Sequence[str]
    times: Column
    which: Index
    absent: Index
    linked: Mask

    def by_start(self) -> Index:
        """Return the messages that have a stamp, by connection and then by the first of theirs."""
        some = np.flatnonzero(self.absent < len(self.hops))
        start = self.times[self.absent[some], some]
        return some[np.lexsort((start, self.rows["conn"][some]))]


@dataclass(slots=True)
class _Lanes:
    """The threads of one connection and direction; `ends` is when the last slice of each ends, ns."""

    ends: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)


def perfetto_trace(logs: RowLogs, wire: WireColumns | None, connections: Mapping[int, str]) -> Iterator[str]:
    """Yield the trace piece by piece; joined, the pieces are one JSON object.

    Args:
        logs: a run's rows.
        wire: what a capture saw of them, None without one.
        connections: names of connections, by number; one that is not there is called by its number alone.

    Yields:
        Text, of a few thousand messages each.
    """
    directions = _directions(logs, wire)
    shown = [direction.times[direction.times != ABSENT] for direction in directions]
    start_ns = min((int(times.min()) for times in shown if len(times)), default=0)
    about = {
        "start": datetime.fromtimestamp(start_ns // 1_000_000_000, UTC).isoformat(),
        "start_ns": str(start_ns),  # as text: no float keeps it
        "clock": "CLOCK_REALTIME of the trader's machine",
        "wire": "none" if wire is None else "on the trader's clock by the estimate of a crosscheck",
    }
    # No "displayTimeUnit": older versions of the Perfetto UI took it for the unit of the times themselves.
    yield f'{{"otherData":{_json(about)},"traceEvents":['
    numbers = sorted({int(conn) for direction in directions for conn in np.unique(direction.rows["conn"])})
    processes = [_named("process_name", conn, 0, f"connection {conn} {connections.get(conn, '')}") for conn in numbers]
    yield ",\n".join(processes)
    threads = count(_FIRST_LANE)
    for direction in directions:
        yield from _slices(direction, start_ns, threads)
    yield "\n]}\n"


def _directions(logs: RowLogs, wire: WireColumns | None) -> tuple[_Direction, _Direction]:
    caused = is_order(logs.sent) & caused_by_market(logs)
    causes = np.isin(logs.received["trace"], logs.sent["trace"][caused])
    way_in, way_out = received_stamps(logs.received, wire), sent_stamps(logs, wire)
    return (
        _direction(logs.received, way_in, causes, is_sent=False),
        _direction(logs.sent, way_out, caused, is_sent=True),
    )


def _direction(rows: Rows, stamps: Stamps, linked: Mask, *, is_sent: bool) -> _Direction:
    hops = SENT_HOPS if is_sent else RECEIVED_HOPS
    times = np.stack([stamps.hops[f"{hop}_here" if hop in MONITOR_CLOCK else hop] for hop in hops])
    which = np.argsort(times, axis=0, kind="stable")
    times = np.take_along_axis(times, which, axis=0)
    return _Direction(is_sent, rows, stamps, hops, times, which, np.count_nonzero(times == ABSENT, axis=0), linked)


def _slices(direction: _Direction, start_ns: int, threads: Iterator[int]) -> Iterator[str]:
    """Yield the slices of all messages of a direction, each piece with a comma before it."""
    lanes: dict[int, _Lanes] = {}
    order = direction.by_start()
    for first in range(0, len(order), _BATCH):
        events: list[str] = []
        chosen = order[first : first + _BATCH]
        times, which = direction.times[:, chosen].T.tolist(), direction.which[:, chosen].T.tolist()
        absent, conns = direction.absent[chosen].tolist(), direction.rows["conn"][chosen].tolist()
        for at, message in enumerate(chosen.tolist()):
            stamps = [
                (time - start_ns, direction.hops[hop])
                for time, hop in zip(times[at][absent[at] :], which[at][absent[at] :], strict=True)
            ]
            mine = lanes.setdefault(conns[at], _Lanes())
            lane = _free_lane(mine, stamps[0][0], stamps[-1][0])
            if lane == len(mine.threads):
                mine.threads.append(next(threads))
                name = f"{'sent' if direction.is_sent else 'received'}, lane {lane + 1}"
                events.append(_named("thread_name", conns[at], mine.threads[lane], name))
            where = f'"pid":{conns[at]},"tid":{mine.threads[lane]}'
            events += _message(direction, message, stamps, where)
        yield "".join(f",\n{event}" for event in events)


def _free_lane(lanes: _Lanes, start: int, end: int) -> int:
    """Take the first lane that is free at `start`, until `end`; return its index."""
    for lane, busy_until in enumerate(lanes.ends):
        if busy_until <= start:
            lanes.ends[lane] = end
            return lane
    lanes.ends.append(end)
    return len(lanes.ends) - 1


def _message(direction: _Direction, message: int, stamps: Sequence[tuple[int, str]], where: str) -> Iterator[str]:
    """Yield a message's slice, then those of its hops."""
    row = direction.rows[message]
    trace, order, kind = int(row["trace"]), int(row["order"]), MessageKind(int(row["kind"])).name.lower()
    arguments = {"trace": trace, "kind": kind, "size_bytes": int(row["size"]), "stream_off": int(row["off"])}
    if order:
        arguments["order"] = order
    arrow = ""
    if direction.linked[message]:
        arrow = f',"bind_id":"0x{trace:x}","{"flow_in" if direction.is_sent else "flow_out"}":true'
        if direction.is_sent:
            taken = tick_to_trade(direction.stamps, message)
            arguments |= {f"tick_to_trade_{place}_ns": taken_ns for place, taken_ns in taken.items()}
    yield _slice(_name(trace, kind, order), where, stamps[0][0], stamps[-1][0], f'{arrow},"args":{_json(arguments)}')
    for (begin, earlier), (end, later) in pairwise(stamps):
        if begin < end:
            yield _slice(f"{earlier} → {later}", where, begin, end)


def _name(trace: int, kind: str, order: int) -> str:
    """Return which message it is, in the words of a packet's comment."""
    words = [*(("trace", trace) if trace else ()), kind, *((order,) if order else ())]
    return " ".join(map(str, words))


def _slice(name: str, where: str, begin: int, end: int, more: str = "") -> str:
    return f'{{"ph":"X","name":"{name}",{where},"ts":{_microseconds(begin)},"dur":{_microseconds(end - begin)}{more}}}'


def _named(what: str, process: int, thread: int, name: str) -> str:
    return f'{{"ph":"M","name":"{what}","pid":{process},"tid":{thread},"args":{{"name":{_json(name.strip())}}}}}'


def _microseconds(duration_ns: int) -> str:
    """Return ns ≥ 0 as µs, exactly."""
    return f"{duration_ns // 1000}.{duration_ns % 1000:03d}"


def _json(thing: object) -> str:
    return _encode(thing).decode()
