"""What each packet's bytes are to its connection: segments in, rows of the wire journal out. Pure.

The common way is array to array: flows are looked up, sequence numbers become positions, and a packet that begins where
its stream had come to carries FIRST bytes. The others, and what belongs to an open hole, go packet by packet through
`capture.streams.conversation`. Batches may be cut anywhere: the rows are the same.

Every packet of a watched connection has one row, and PART rows directly behind where its bytes are not all alike. A
packet without payload has no FIRST. A SYN with data has a row for the SYN and PART rows for its data, which begin one
position later. A keep-alive or zero-window probe that repeats a byte has neither FIRST nor SEEN. A reset, and a packet
whose number is out of any window, has its position and nothing else.

A packet in order is taken for an original. So where the capture saw nothing of the first transmission, nothing behind
it and no acknowledgement of it, a retransmission passes as the original: the bytes give no sign. When the original had
arrived, the receiver's answer to the retransmission says so, and the bytes are MISSED; but where the network lost the
original as well, or the capture missed that answer, a retransmission stays FIRST.

What was acknowledged but never seen, with nothing behind it, is a loss too: it is told when the connection ends.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from capture.packets import Int64, Segments
from capture.streams.conversations import Conversations
from capture.streams.flows import CAPACITY, REORDER_NS, Flows
from capture.streams.holes import Loss, Piece
from capture.streams.options import repeats, timestamps
from capture.streams.recent import BATCH, Recent
from capture.streams.tracks import Arrivals, Tracks
from journal.layout import ABSENT
from journal.wire import LOSS, PACKET, LossCause, PacketFlag, TcpFlag

Rows = npt.NDArray[np.void]
Watch = Callable[[str, str, int], bool]

_ANY_SEEN = int(PacketFlag.SEEN | PacketFlag.COPY | PacketFlag.UNACKED)
_PART = np.uint16(PacketFlag.PART)
_HARDWARE = np.uint16(PacketFlag.HARDWARE)
_SYN = int(TcpFlag.SYN)


@dataclass(frozen=True, slots=True)
class Opened:
    """A watched connection that was met.

    Attributes:
        number: as in the rows' `stream // 2`.
        a, b: its ends, `address:port`; `a` is the numerically lower and sends stream 2 × number.
        tunnel: identifier of the tunnel that carried it, 0 without.
        time_ns: when its first packet was captured.
    """

    number: int
    a: str
    b: str
    tunnel: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a batch held.

    Attributes:
        packets: `journal.wire.PACKET` rows in order of arrival, not sealed.
        losses: `journal.wire.LOSS` rows in the order in which their causes became known, not sealed.
        opened: connections that began.
    """

    packets: Rows
    losses: Rows
    opened: list[Opened]


class Streams:
    """The TCP streams of a capture.

    Args:
        addresses: returns the text of an address, given as in `Segments.source` without the port.
        watch: returns whether a connection is of interest, given its ends as in `Opened` and its tunnel; asked once
            for each. Without it all are.
        capacity: connections that are remembered, at most (`capture.streams.flows`).
    """

    def __init__(self, addresses: Callable[[int], str], watch: Watch | None = None, capacity: int = CAPACITY) -> None:
        self._addresses = addresses
        self._watch = watch
        self._flows = Flows(capacity)
        self._tracks = Tracks()
        self._recent = Recent()
        self._talks = Conversations(self._tracks, self._recent)
        self._losses = self._talks.losses
        self._number = np.zeros(0, np.uint32)  # of each slot's connection, 0 for one that is not watched
        self._connections = 0
        self._unwatched = False
        self._clock_ns = ABSENT
        self._widen()

    def take(self, segments: Segments) -> Found:
        """Return what some segments are to their streams.

        Args:
            segments: in order of arrival, behind those taken before.
        """
        parts = [self._take(_some(segments, slice(at, at + BATCH))) for at in range(0, len(segments), BATCH)]
        if len(parts) == 1:
            return parts[0]
        packets, losses = [np.zeros(0, PACKET)], [np.zeros(0, LOSS)]
        for part in parts:
            packets.append(part.packets)
            losses.append(part.losses)
        return Found(np.concatenate(packets), np.concatenate(losses), [one for part in parts for one in part.opened])

    def finish(self) -> Found:
        """Give up all open holes: the capture has ended. Nothing may be taken afterwards."""
        self._end(np.arange(self._flows.slots), (self._clock_ns, self._recent.count))
        return Found(np.zeros(0, PACKET), self._take_losses(), [])

    def _take(self, segments: Segments) -> Found:
        self._end(self._flows.make_room(), (self._clock_ns, self._recent.count))
        found = self._flows.find(segments)
        opened = self._open(segments, found.opened)
        slot, side, kept = found.slot, found.side, None
        if self._unwatched:
            kept = np.flatnonzero(self._number[slot])
            segments, slot, side = _some(segments, kept), slot[kept], side[kept]
        clock_ns = np.maximum.accumulate(np.maximum(segments.time_ns, self._clock_ns))
        ordinal = self._recent.count
        packets = self._rows(segments, slot, 2 * slot + side, clock_ns) if len(slot) else np.zeros(0, PACKET)
        for old, index in found.replaced:
            if self._number[old]:
                at = index if kept is None else int(np.searchsorted(kept, index))
                self._end(np.array([old]), (int(clock_ns[at]), ordinal + at))
            self._flows.release(np.array([old]))
        self._clock_ns = int(clock_ns[-1]) if len(slot) else self._clock_ns
        self._talks.expire(self._clock_ns)
        return Found(packets, self._take_losses(), opened)

    def _open(self, segments: Segments, begun: list[tuple[int, int]]) -> list[Opened]:
        """Number the connections that began, and return those that are watched."""
        self._widen()
        opened = []
        for slot, index in begun:
            a, b = (self._endpoint(int(end[slot])) for end in (self._flows.low, self._flows.high))
            tunnel = int(self._flows.tunnel[slot])
            if self._watch is not None and not self._watch(a, b, tunnel):
                self._unwatched = True
                continue
            self._connections += 1
            self._number[slot] = self._connections
            opened.append(Opened(self._connections, a, b, tunnel, int(segments.time_ns[index])))
        return opened

    def _widen(self) -> None:
        """Make room for all slots of the flow table."""
        slots = self._flows.slots
        if len(self._number) < slots:
            self._number = np.append(self._number, np.zeros(slots - len(self._number), np.uint32))
            self._tracks.grow(2 * slots)
            self._recent.grow(2 * slots)

    def _endpoint(self, endpoint: int) -> str:
        return f"{self._addresses(endpoint >> 16)}:{endpoint & 0xFFFF}"

    def _rows(self, segments: Segments, slot: Int64, stream: Int64, clock_ns: Int64) -> Rows:
        """Return the rows of some watched segments."""
        tcp = segments.flags
        shut = np.flatnonzero(segments.window == 0)
        if len(shut):
            shut = shut[(tcp[shut] & np.uint16(TcpFlag.RST | TcpFlag.SYN)) == 0]
            tcp = tcp.copy()
            tcp[shut] |= np.uint16(TcpFlag.ZERO_WINDOW)
        tsval = timestamps(segments)
        arrivals = Arrivals(stream, tcp, clock_ns, self._recent.count, tsval, repeats(segments, tsval))
        placed = self._tracks.place(segments, arrivals)
        self._recent.add(segments, placed.start, arrivals.tsval, placed.groups)
        rows = np.zeros(len(segments), PACKET)
        rows["time"] = segments.time_ns
        rows["position"] = placed.start
        rows["stream"] = 2 * self._number[slot] + (stream & 1).astype(np.uint32)
        rows["size"] = segments.size
        rows["frame"] = segments.frame
        rows["tcp"] = tcp
        first = segments.size > 0
        if placed.counts is not None:
            first &= placed.counts
        rows["flags"] = first * np.uint16(PacketFlag.FIRST) | segments.hardware * _HARDWARE
        return _with_pieces(rows, self._talks.walk(segments, arrivals, placed, slot, self._number))

    def _end(self, slots: Int64, decided: tuple[int, int]) -> None:
        """Tell what is known of the losses of some connections, and forget them."""
        slots = slots[self._number[slots] != 0]
        if not len(slots):
            return
        self._talks.give_up(slots.tolist(), decided)
        streams = np.sort(np.concatenate((2 * slots, 2 * slots + 1)))
        mark, acked = self._tracks.mark[streams], self._tracks.acked[streams]
        for at in np.flatnonzero((mark > 0) & (acked > mark)).tolist():
            slot, side = divmod(int(streams[at]), 2)
            last_ns = int(self._flows.last_ns[slot])
            sure = decided[0] - last_ns >= REORDER_NS
            cause, closed_ns = (LossCause.MIRROR, last_ns) if sure else (LossCause.UNKNOWN, ABSENT)
            stream, size = 2 * int(self._number[slot]) + side, int(acked[at] - mark[at])
            self._losses.append(Loss(decided, stream, int(mark[at]), size, last_ns, closed_ns, cause))
        self._tracks.forget(streams)
        self._recent.forget(streams)
        self._number[slots] = 0

    def _take_losses(self) -> Rows:
        rows = np.zeros(len(self._losses), LOSS)
        for row, loss in zip(rows, sorted(self._losses), strict=True):
            row["opened"], row["closed"], row["position"] = loss.opened_ns, loss.closed_ns, loss.position
            row["stream"], row["size"], row["cause"] = loss.stream, loss.size, loss.cause
        self._losses.clear()
        return rows


def _with_pieces(rows: Rows, met: list[tuple[int, list[Piece]]]) -> Rows:
    """Return rows with what was found out of some of them, a row for each part."""
    if not met:
        return rows
    indices = [index for index, _ in met]
    known = rows[indices]
    columns = (known[name].tolist() for name in ("position", "size", "tcp"))
    own: list[tuple[int, int, int]] = []
    behind: list[int] = []
    further: list[tuple[int, int, int]] = []
    for index, (_, pieces), position, size, tcp in zip(indices, met, *columns, strict=True):
        # A SYN takes a position before the payload, a FIN one behind it: they are no bytes.
        begin = position + (tcp & _SYN) // _SYN
        spans = [(max(it.start, begin), min(it.end, begin + size), it.flags) for it in pieces]
        parts = [(low, high - low, flags) for low, high, flags in spans if low < high]
        if begin != position or not parts:
            flags = pieces[0].flags & _ANY_SEEN if pieces else 0
            parts.insert(0, (position, size if begin == position else 0, flags))
        own.append(parts[0])
        behind += [index + 1] * (len(parts) - 1)
        further += parts[1:]
    hardware = rows["flags"] & _HARDWARE
    rows["position"][indices], rows["size"][indices], flags = (np.array(column) for column in zip(*own, strict=True))
    rows["flags"][indices] = flags.astype(np.uint16) | hardware[indices]
    if not further:
        return rows
    parts = rows[np.array(behind) - 1]
    parts["position"], parts["size"], flags = (np.array(column) for column in zip(*further, strict=True))
    parts["flags"] = flags.astype(np.uint16) | _PART | parts["flags"] & _HARDWARE
    return np.insert(rows, behind, parts)


def _some(segments: Segments, which: slice | Int64) -> Segments:
    """Return some segments of the same buffer."""
    columns: dict[str, Any] = {
        it.name: getattr(segments, it.name)[which] for it in fields(segments) if it.name != "data"
    }
    return replace(segments, **columns)
