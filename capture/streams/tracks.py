"""How far each stream has come, and where on it each segment lies. Pure.

Per stream: the mark (the highest position reached), what the other side has acknowledged, the lowest position known,
and the packet that the capture met first. A SYN and a FIN take one position each (RFC 9293, section 3.4). A reset and a
number that is out of any window move nothing.
"""

from typing import Final, NamedTuple

import numpy as np

from capture.packets import U16, U32, Int64, Mask, Segments
from capture.streams.holes import Sight
from capture.streams.sequence import ORIGIN, WINDOW, Groups, Trail, follow, group
from journal.wire import TcpFlag

_UNACKED: Final = WINDOW // 2  # this far below a stream's first position nothing is acknowledged yet

_SYN: Final = np.uint16(TcpFlag.SYN)
_FIN: Final = np.uint16(TcpFlag.FIN)
_RST: Final = np.uint16(TcpFlag.RST)
_ACK: Final = np.uint16(TcpFlag.ACK)
_ZERO_WINDOW: Final = np.uint16(TcpFlag.ZERO_WINDOW)


class Arrivals(NamedTuple):
    """What is known of a batch's segments as they come; each array in order of arrival, shape (m,).

    Attributes:
        stream: index of the stream: slot × 2 + side.
        tcp: `TcpFlag` bits, ZERO_WINDOW included.
        clock_ns: the latest time of any packet so far.
        ordinal: of the first segment; the others follow.
        tsval: timestamps (`capture.streams.options.timestamps`).
        repeats: those that tell of bytes that came twice (`capture.streams.options.repeats`), ascending.
    """

    stream: Int64
    tcp: U16
    clock_ns: Int64
    ordinal: int
    tsval: Int64
    repeats: Int64


class Placed(NamedTuple):
    """Where a batch's segments lie; each array in order of arrival, shape (m,).

    Attributes:
        groups: the segments by stream.
        start, length: the positions that each takes, SYN and FIN included.
        counts: whether it may move its stream; None where all do.
        notable: the segments that are out of the ordinary, ascending: those that do not continue their stream, close
            their window, have data in a SYN, or tell of bytes that came twice.
        trail: positions by stream.
        acks: acknowledged positions of the other side's stream, by stream.
        acking: which segments acknowledge; None where all do.
    """

    groups: Groups
    start: Int64
    length: Int64
    counts: Mask | None
    notable: Int64
    trail: Trail
    acks: Trail
    acking: Mask | None


class Tracks:
    """All streams; arrays by stream index, shape (streams,).

    Attributes:
        mark: the highest position reached; 0 before the first packet.
        acked: what the other side has acknowledged, a position; 0 while nothing is known.
        low: the lowest position known.
        first: the first packet, the fields of `Sight`, shape (streams, 5).
    """

    def __init__(self) -> None:
        self.mark = np.zeros(0, np.int64)
        self.acked = np.zeros(0, np.int64)
        self.low = np.zeros(0, np.int64)
        self.first = np.zeros((0, len(Sight._fields)), np.int64)
        self._strays: dict[int, int] = {}
        self._stray_acks: dict[int, int] = {}

    def grow(self, streams: int) -> None:
        """Make room for that many streams."""
        for name in ("mark", "acked", "low", "first"):
            column = getattr(self, name)
            wider = np.zeros((streams, *column.shape[1:]), np.int64)
            wider[: len(column)] = column
            setattr(self, name, wider)

    def forget(self, streams: Int64) -> None:
        """Let some streams begin anew."""
        self.mark[streams] = self.acked[streams] = self.low[streams] = 0
        if self._strays or self._stray_acks:
            for stream in streams.tolist():
                self._strays.pop(stream, None)
                self._stray_acks.pop(stream, None)

    def place(self, segments: Segments, arrivals: Arrivals) -> Placed:
        """Return where some segments lie, and move the streams."""
        groups = group(arrivals.stream)
        tcp, order = arrivals.tcp, groups.order
        length = segments.size.astype(np.int64)
        counts = acking = None
        syns = None
        if (tcp & (_SYN | _FIN | _RST)).any():
            syns = (tcp & _SYN) != 0
            length += syns
            length += (tcp & _FIN) != 0
            counts = (tcp & _RST) == 0
        acked = (tcp & (_ACK | _RST)) == _ACK
        if not acked.all():
            acking = acked
        numbers = segments.seq[order]
        self._begin(segments, arrivals, groups, numbers)
        lengths = length[order]
        counted = None if counts is None else counts[order]
        trail = follow(numbers, lengths, counted, groups, self.mark[groups.keys], self._strays)
        acks = self._acknowledge(segments.ack[order], None if acking is None else acking[order], groups)
        self.mark[groups.keys] = trail.marks
        start = np.empty_like(trail.start)
        start[order] = trail.start
        if trail.stray is not None:
            counts = np.ones(len(order), np.bool_) if counts is None else counts.copy()
            counts[order[trail.stray]] = False
        notable = order[_out_of_order(trail, lengths, counted)]
        others = (tcp & _ZERO_WINDOW) != 0
        if syns is not None:
            others |= syns & (segments.size > 0)
        others[arrivals.repeats] = True
        return Placed(groups, start, length, counts, np.union1d(notable, np.flatnonzero(others)), trail, acks, acking)

    def _begin(self, segments: Segments, arrivals: Arrivals, groups: Groups, numbers: U32) -> None:
        """Begin the streams that have not begun: their first sequence number fixes their positions."""
        new = np.flatnonzero(self.mark[groups.keys] == 0)
        if not len(new):
            return
        streams, at = groups.keys[new], groups.order[groups.starts[new]]
        begins = ORIGIN + numbers[groups.starts[new]].astype(np.int64)
        self.mark[streams] = self.low[streams] = begins
        sight = (
            segments.time_ns[at], arrivals.clock_ns[at], at + arrivals.ordinal, arrivals.tsval[at], segments.ip_id[at],
        )  # fmt: skip
        self.first[streams] = np.stack(sight, axis=1)
        # What was acknowledged before the stream was met had no position to be compared with.
        early = np.flatnonzero(self.acked[streams])
        ahead = (self.acked[streams[early]] - begins[early]).astype(np.uint32).view(np.int32)
        self.acked[streams[early]] = begins[early] + ahead

    def _acknowledge(self, numbers: U32, acking: Mask | None, groups: Groups) -> Trail:
        """Return what each segment acknowledges of the other side's stream, and remember the most."""
        others = groups.keys ^ 1
        marks = self.acked[others]
        unknown = np.flatnonzero(marks == 0)
        if len(unknown):
            begins = self.low[others[unknown]]
            unmet = np.flatnonzero(begins == 0)
            first = groups.starts[unknown[unmet]]
            if acking is not None:
                indices = np.append(np.flatnonzero(acking), len(numbers) - 1)
                first = indices[np.searchsorted(indices[:-1], first)]
            begins[unmet] = ORIGIN + numbers[first].astype(np.int64)
            marks[unknown] = begins - _UNACKED
        acks = follow(numbers, None, acking, groups, marks, self._stray_acks)
        moved = acks.marks > marks
        self.acked[others[moved]] = acks.marks[moved]
        return acks


def _out_of_order(trail: Trail, lengths: Int64, counted: Mask | None) -> Int64:
    """Return which sorted segments do not continue their stream; one behind it without length lost nothing."""
    apart = np.flatnonzero(trail.start != trail.before)
    if not len(apart):
        return apart
    relevant = (trail.start[apart] > trail.before[apart]) | (lengths[apart] > 0)
    if counted is not None:
        relevant &= counted[apart]
    if trail.stray is not None:
        relevant &= ~trail.stray[apart]
    return apart[relevant]
