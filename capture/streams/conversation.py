"""The packets of one connection that are out of the ordinary, one by one: what each one's bytes are. Pure.

Only packets that do not simply continue their stream come here, and while a hole may yet be acknowledged or a window is
closed, the others of the connection too. What a connection keeps here ends with its last hole.

A packet of which some bytes are new and others not is written as several rows, in the order of their positions. Only
the byte of a zero-window probe comes last: the packet that carries it again is no retransmission.

Before the first packet that the capture met of a stream there may be others. Those that the mirror merely delayed are
LATE like others; those sent again passed before the capture began, and count as SEEN.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from capture.streams.doubles import Doubles, duplicate
from capture.streams.flows import REORDER_NS
from capture.streams.holes import Holes, Loss, Piece, Sight, is_counted, is_original, sent_after
from capture.streams.recent import Recent
from capture.streams.sequence import WINDOW, signed
from journal.wire import PacketFlag, TcpFlag

_FIRST: Final = int(PacketFlag.FIRST)
_LATE: Final = int(PacketFlag.FIRST | PacketFlag.LATE)
_SEEN: Final = int(PacketFlag.SEEN)
_COPY: Final = int(PacketFlag.SEEN | PacketFlag.COPY)
_UNACKED: Final = int(PacketFlag.SEEN | PacketFlag.UNACKED)
_ACKED: Final = int(PacketFlag.ACKED)
_CONTROL: Final = int(TcpFlag.SYN | TcpFlag.FIN | TcpFlag.RST)
_RST: Final = int(TcpFlag.RST)
_ZERO_WINDOW: Final = int(TcpFlag.ZERO_WINDOW)


class Packet(NamedTuple):
    """A packet of the connection.

    Attributes:
        side: who sent it.
        start, end: the positions that it takes, a SYN and a FIN included.
        size: payload bytes.
        tcp: `TcpFlag` bits.
        counts: whether it may move the stream: no reset, and in the window.
        mark: the highest position that its stream had reached before.
        acked: what of its stream the other side had acknowledged before, a position.
        acks: whether it acknowledges anything.
        ack, ack_mark: what it acknowledges, and the most that its sender had acknowledged before; positions.
        repeats: whether it tells of bytes that its sender got twice.
        sight: when it was made.
    """

    side: int
    start: int
    end: int
    size: int
    tcp: int
    counts: bool
    mark: int
    acked: int
    acks: bool
    ack: int
    ack_mark: int
    repeats: bool
    sight: Sight


class Stream:
    """One direction.

    Attributes:
        holes: what is missing.
        doubles: what came twice.
        low: the lowest position that is known.
        first: the packet that began it, as far as the capture knows; TSval and identification are of the one below
            all others, which was sent first.
        closed: whether its sender accepts no data.
        probe: position of the byte that its sender probed the other's closed window with, None without.
    """

    __slots__ = ("closed", "doubles", "first", "holes", "low", "probe")

    def __init__(self, number: int, tell: Callable[[Loss], None]) -> None:
        self.holes = Holes(number, tell)
        self.doubles = Doubles(number, tell)
        self.low = 0
        self.first = Sight(0, 0, 0, 0, 0)
        self.closed = False
        self.probe: int | None = None


class Conversation:
    """A connection with something out of the ordinary.

    Attributes:
        streams: its two directions.
    """

    __slots__ = ("_recent", "streams")

    def __init__(self, streams: tuple[Stream, Stream], recent: Recent) -> None:
        self.streams = streams
        self._recent = recent

    @property
    def waiting(self) -> bool:
        """Whether the next packet must be met, whatever it is."""
        return any(it.holes.waiting or it.doubles.waiting or it.closed or it.probe is not None for it in self.streams)

    @property
    def held(self) -> bool:
        """Whether something is kept that time alone will end."""
        return any(it.holes.held or it.doubles for it in self.streams)

    @property
    def over(self) -> bool:
        """Whether nothing needs to be kept."""
        return not self.waiting and not any(it.holes or it.doubles for it in self.streams)

    def meet(self, packet: Packet, sacked: Callable[[], list[tuple[int, int]]]) -> list[Piece]:
        """Take the next packet, and return its parts; none when it takes no positions.

        Args:
            packet: it.
            sacked: returns the blocks of its SACK option.
        """
        mine, other = self.streams[packet.side], self.streams[1 - packet.side]
        if packet.acks and (other.holes.waiting or other.doubles.waiting or packet.repeats):
            self._acknowledge(other, packet, sacked())
        if not packet.tcp & _RST:
            mine.closed = bool(packet.tcp & _ZERO_WINDOW)
        if not packet.counts:
            return []
        if packet.start > packet.mark:
            counting = is_counted(packet.sight.ip_id, self._recent.previous_id(packet.sight.ordinal))
            mine.holes.open(packet.mark, packet.start, packet.sight, counting=counting)
            mine.holes.acknowledge(0, packet.acked, packet.sight)
        if packet.start == packet.end:
            return []
        probing = other.closed and packet.size == 1 and not packet.tcp & _CONTROL
        pieces = self._pieces(mine, packet, probing=probing)
        if packet.start < packet.mark:
            self._note(mine, packet, pieces)
        mine.holes.witness(packet.start, packet.sight)
        return pieces

    def _note(self, stream: Stream, packet: Packet, pieces: list[Piece]) -> None:
        """Remember of which bytes a packet is a further copy, and of which the capture had missed one."""
        again = [piece for piece in pieces if piece.flags in (0, _SEEN, _UNACKED)]
        swapped = bool(again) and self._recent.is_overtaken(packet.sight)
        for piece in again:
            if swapped:
                stream.doubles.miss(piece.start, piece.end, packet.sight)
                continue
            unacked = piece.flags == _UNACKED
            stream.doubles.add(piece.start, piece.end, packet.sight, acked=not unacked, provable=unacked)
        for piece in pieces:
            if piece.flags & _ACKED:
                stream.doubles.miss(piece.start, piece.end, packet.sight, told=True)

    def _pieces(self, stream: Stream, packet: Packet, *, probing: bool) -> list[Piece]:
        """Return the parts of a packet that takes positions."""
        pieces = self._below(stream, packet, probing=probing) if packet.start < packet.mark else []
        if packet.end > packet.mark:
            pieces.append(Piece(max(packet.start, packet.mark), packet.end, _FIRST))
        if stream.probe == packet.start and len(pieces) > 1 and pieces[0].end == packet.start + 1:
            pieces.append(pieces.pop(0))
        if not probing:
            stream.probe = None
        elif packet.start >= packet.mark:
            stream.probe = packet.start
        return pieces

    def _acknowledge(self, stream: Stream, packet: Packet, blocks: list[tuple[int, int]]) -> None:
        """Let a packet of the other side close holes, or say that it waits for their bytes, or has some twice."""
        stream.holes.acknowledge(0, packet.ack, packet.sight)
        spans = []
        for left, right in blocks:
            start, size = packet.ack + signed(left - packet.ack, 32), signed(right - left, 32)
            if abs(start - packet.ack) < WINDOW and 0 < size < WINDOW:
                stream.holes.acknowledge(start, start + size, packet.sight)
                spans.append((start, start + size))
        stream.doubles.acknowledge(packet.ack, spans, packet.sight)
        again = duplicate(packet.ack, spans)
        # Where the stream has not been met yet, its positions are not known.
        if again is not None and again[1] > stream.low > 0 and stream.first.ordinal < packet.sight.ordinal:
            copied = self._recent.is_copy(packet.sight.ordinal)
            stream.doubles.answer((max(again[0], stream.low), again[1]), packet.sight, copied=copied)
        bare = not packet.size and not packet.tcp & _CONTROL
        unmoved = bare and packet.ack == packet.ack_mark and not self._recent.is_copy(packet.sight.ordinal)
        if blocks or unmoved:
            stream.holes.doubt()

    def _below(self, stream: Stream, packet: Packet, *, probing: bool) -> list[Piece]:
        """Return the parts of a packet that lie below the mark."""
        start, end = packet.start, min(packet.end, packet.mark)
        # Keep-alives (RFC 9293, section 3.8.4) and zero-window probes (3.8.6.1) repeat the last byte, if any.
        if packet.size == 1 and start == packet.mark - 1 and packet.end == packet.mark:
            known = packet.acked >= stream.low
            if not packet.tcp & _CONTROL and (probing or not known or packet.acked >= packet.mark):
                return [Piece(start, end, 0)]
        pieces: list[Piece] = []
        if start < stream.low:
            until = min(end, stream.low)
            pieces.append(Piece(start, until, self._early(stream, packet, until)))
            start = until
        if start < end:
            pieces += stream.holes.fill(start, end, packet.sight)
        if packet.end <= packet.mark and all(piece.flags == _SEEN for piece in pieces):
            copied = self._recent.is_copy(packet.sight.ordinal)
            return [Piece(packet.start, end, _COPY if copied else _SEEN if packet.acked >= end else _UNACKED)]
        return [
            piece._replace(flags=_UNACKED) if piece.flags == _SEEN and packet.acked < piece.end else piece
            for piece in pieces
        ]

    def _early(self, stream: Stream, packet: Packet, end: int) -> int:
        """Return what the part of a packet is that lies before the first packet of its stream."""
        first, sight = stream.first, packet.sight
        counting = is_counted(first.ip_id, sight.ip_id)
        late = is_original(sight, first, first.time_ns, counting=counting, doubted=False)
        if not late or sight.clock_ns - first.clock_ns > REORDER_NS:
            return _SEEN
        if end < stream.low:
            stream.holes.open(end, stream.low, first, counting=counting)
            stream.holes.acknowledge(0, packet.acked, sight)
        stream.low = packet.start
        if sent_after(first, sight, counting=counting):
            stream.first = first._replace(tsval=sight.tsval, ip_id=sight.ip_id)
        return _LATE
