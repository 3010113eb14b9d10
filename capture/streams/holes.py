"""The bytes of one stream that are missing, and why. Pure.

A hole opens when a packet begins behind the stream's mark (the highest position reached). What becomes of it:

- *Acknowledged* by the receiver, cumulatively or by SACK, before it is filled: the mirror lost it. But an
  acknowledgement may overtake the packet in the mirror, so the verdict is held back for REORDER_NS.
- *Filled by the original packet*: reordering, nothing was lost; also within REORDER_NS of an acknowledgement.
- *Filled by a retransmission* before any acknowledgement: the network lost it, before the point of capture.
- Neither before the stream ends: unknown.

Whether a packet that fills a hole is the original is told by comparing it with a *witness*: the packet that opened the
hole, or one from behind the hole that was sent even earlier. A witness was sent after the original:

1. TSval (RFC 7323), stamped at each transmission: larger than the witness's, the packet was sent after it, hence again;
   smaller, it is the original. Equal says nothing: Linux counts in milliseconds.
2. The IPv4 identification, which Linux counts up per connection and direction: behind the witness's (mod 2¹⁶, signed),
   it was sent again; before, it is the original. It counts only where the opener's is close to that of the packet
   before, and where the distance is at most 8,192: zero, constant and random ones say nothing. (A counter passes zero
   once in 65,536 packets; that one says nothing either.)
3. Else time: within 3 ms of the opener, and before any duplicate acknowledgement or SACK, it is taken for the
   original. This is a guess: without both fields, a retransmission faster than that is called reordering.

What cannot be told: a retransmission that was sent before everything that the capture has seen from behind the hole.

A hole may be filled or acknowledged in pieces: it is split exactly, and each piece is a hole of its own.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final, NamedTuple

from capture.streams.flows import REORDER_NS
from capture.streams.options import NO_TIMESTAMP
from capture.streams.sequence import signed
from journal.layout import ABSENT
from journal.wire import LossCause, PacketFlag

MOST: Final = 64  # holes of a stream that are remembered; beyond, the oldest is given up
_UNTOLD_NS: Final = 3_000_000
_COUNTED_STEP: Final = 1_024  # identifications between neighbours where they are counted: a 64 KB frame takes 45
_COUNTED_REACH: Final = 8_192

_ORIGINAL: Final = int(PacketFlag.FIRST | PacketFlag.LATE)
_AGAIN: Final = int(PacketFlag.FIRST | PacketFlag.RESENT)
_AGAIN_ACKED: Final = int(PacketFlag.FIRST | PacketFlag.RESENT | PacketFlag.ACKED)
_SEEN: Final = int(PacketFlag.SEEN)


class Sight(NamedTuple):
    """What tells when a packet was made.

    Attributes:
        time_ns: when it was captured.
        clock_ns: the latest time of any packet so far: the capture's clock, which never goes back.
        ordinal: how many packets of the capture came before.
        tsval: its TSval, NO_TIMESTAMP without.
        ip_id: its IPv4 identification.
    """

    time_ns: int
    clock_ns: int
    ordinal: int
    tsval: int
    ip_id: int


class Loss(NamedTuple):
    """A hole whose cause is known.

    Attributes:
        decided: what orders losses: the capture's clock, and the ordinal of the packet that decided, −1 for none.
        opened_ns, closed_ns, position, stream, size, cause: as in `journal.wire.LOSS`.
    """

    decided: tuple[int, int]
    stream: int
    position: int
    size: int
    opened_ns: int
    closed_ns: int
    cause: LossCause


class Piece(NamedTuple):
    """A part of a packet, all of whose bytes are alike to the capture.

    Attributes:
        start, end: positions.
        flags: `PacketFlag` bits.
    """

    start: int
    end: int
    flags: int


@dataclass(slots=True, eq=False)
class Hole:
    """Missing bytes.

    Attributes:
        start, end: positions.
        opened_ns: when the hole showed.
        witness: a packet that was sent after the original of these bytes.
        counting: whether the opener's identification was seen to be counted.
        doubted: whether a duplicate acknowledgement or a SACK came since.
        acked_ns: when it was acknowledged.
        until_ns: until when, on the capture's clock, the original of an acknowledged hole may still come.
        told: whether its loss was told; only a retransmission can come yet.
    """

    start: int
    end: int
    opened_ns: int
    witness: Sight
    counting: bool
    doubted: bool = False
    acked_ns: int | None = None
    until_ns: int = 0
    told: bool = False


def sent_after(packet: Sight, other: Sight, *, counting: bool) -> bool | None:
    """Return whether a packet was sent after another of its stream, None when that cannot be told."""
    if NO_TIMESTAMP not in (packet.tsval, other.tsval):
        later = signed(packet.tsval - other.tsval, 32)
        if later:
            return later > 0
    later = signed(packet.ip_id - other.ip_id, 16)
    told = counting and 0 not in (packet.ip_id, other.ip_id, later)
    return later > 0 if told and abs(later) <= _COUNTED_REACH else None


def is_original(packet: Sight, witness: Sight, opened_ns: int, *, counting: bool, doubted: bool) -> bool:
    """Return whether a packet that fills a hole is the original; see the module for the rule and its limits."""
    again = sent_after(packet, witness, counting=counting)
    if again is None:
        return packet.time_ns - opened_ns <= _UNTOLD_NS and not doubted
    return not again


def is_counted(ip_id: int, before: int | None) -> bool:
    """Return whether an identification seems to be counted, seen that of the packet before."""
    return before is not None and 0 not in (ip_id, before) and 0 < abs(signed(ip_id - before, 16)) <= _COUNTED_STEP


class Holes:
    """The holes of one stream, in ascending order.

    Attributes:
        stream: its number.
        waiting: whether an acknowledgement could close a hole.
        held: whether a verdict is held back.
    """

    def __init__(self, stream: int, tell: Callable[[Loss], None]) -> None:
        self.stream = stream
        self._tell = tell
        self._holes: list[Hole] = []
        self.waiting = self.held = False

    def __bool__(self) -> bool:
        return bool(self._holes)

    def open(self, start: int, end: int, opener: Sight, *, counting: bool) -> None:
        """Remember missing bytes.

        Args:
            start: position of the first.
            end: position behind the last.
            opener: the packet that showed them to be missing.
            counting: whether the opener's identification is counted.
        """
        self._holes.append(Hole(start, end, opener.time_ns, opener, counting))
        self._holes.sort(key=lambda hole: hole.start)
        self._bound(opener)

    def acknowledge(self, start: int, end: int, packet: Sight) -> None:
        """Take an acknowledgement of the bytes from `start` to `end`."""
        if self.held:
            self.expire(packet.clock_ns)
        for hole in self._split(start, end):
            if hole.acked_ns is None:
                hole.acked_ns, hole.until_ns = packet.time_ns, packet.clock_ns + REORDER_NS
        self._bound(packet)

    def doubt(self) -> None:
        """Take a duplicate acknowledgement or a SACK: the sender has reason to send again."""
        for hole in self._holes:
            hole.doubted = True

    def witness(self, start: int, packet: Sight) -> None:
        """Take a packet that begins at `start`: it was sent after the originals of all that is missing below."""
        if not self.waiting and not self.held:
            return
        for hole in reversed(self._holes):
            if hole.end > start or hole.told:
                continue
            # What is behind a hole is behind the lower ones as well: their witnesses are no later than its.
            if not sent_after(hole.witness, packet, counting=hole.counting):
                break
            hole.witness = packet

    def fill(self, start: int, end: int, packet: Sight) -> list[Piece]:
        """Take bytes below the mark, and return what they are: filling a hole, or SEEN."""
        if self.held:
            self.expire(packet.clock_ns)
        pieces: list[Piece] = []
        at = start
        for hole in self._split(start, end):
            if hole.start > at:
                pieces.append(Piece(at, hole.start, _SEEN))
            pieces.append(Piece(hole.start, hole.end, self._filled(hole, packet)))
            self._holes.remove(hole)
            at = hole.end
        if at < end:
            pieces.append(Piece(at, end, _SEEN))
        if any(piece.flags != _SEEN for piece in pieces):
            self._bound(packet)
        return pieces

    def expire(self, clock_ns: int) -> None:
        """Tell the losses whose originals can no longer come."""
        for hole in self._holes:
            if hole.acked_ns is not None and not hole.told and hole.until_ns <= clock_ns:
                hole.told = True
                self._say(hole, (hole.until_ns, -1), LossCause.MIRROR, hole.acked_ns)
        self._review()

    def give_up(self, decided: tuple[int, int]) -> None:
        """Tell what is known of all holes, and forget them: the stream has ended."""
        self.expire(decided[0])
        for hole in self._holes:
            self._close(hole, decided)
        self._holes.clear()
        self._review()

    def _filled(self, hole: Hole, packet: Sight) -> int:
        """Return the flags of the bytes that fill a hole, and tell its cause."""
        decided = packet.clock_ns, packet.ordinal
        if hole.told:
            return _AGAIN_ACKED
        if is_original(packet, hole.witness, hole.opened_ns, counting=hole.counting, doubted=hole.doubted):
            self._say(hole, decided, LossCause.REORDERED, packet.time_ns)
            return _ORIGINAL
        if hole.acked_ns is None:
            self._say(hole, decided, LossCause.NETWORK, packet.time_ns)
            return _AGAIN
        self._say(hole, decided, LossCause.MIRROR, hole.acked_ns)
        return _AGAIN_ACKED

    def _split(self, start: int, end: int) -> list[Hole]:
        """Return the holes between two positions, cut there."""
        inner = []
        at = bisect_right(self._holes, start, key=attrgetter("end"))
        while at < len(self._holes) and self._holes[at].start < end:
            hole = self._holes[at]
            if hole.start < start:
                self._holes.insert(at, replace(hole, end=start))
                hole.start, at = start, at + 1
            if hole.end > end:
                self._holes.insert(at + 1, replace(hole, start=end))
                hole.end = end
            inner.append(hole)
            at += 1
        return inner

    def _bound(self, packet: Sight) -> None:
        """Give up the oldest holes beyond `MOST`."""
        if len(self._holes) > MOST:
            self.expire(packet.clock_ns)
        while len(self._holes) > MOST:
            oldest = min(self._holes, key=lambda hole: hole.opened_ns)
            self._holes.remove(oldest)
            self._close(oldest, (packet.clock_ns, packet.ordinal))
        self._review()

    def _review(self) -> None:
        untold = [hole.acked_ns for hole in self._holes if not hole.told]
        self.waiting = None in untold
        self.held = len(untold) > untold.count(None)

    def _close(self, hole: Hole, decided: tuple[int, int]) -> None:
        if hole.told:
            return
        if hole.acked_ns is None:
            self._say(hole, decided, LossCause.UNKNOWN, ABSENT)
        else:
            self._say(hole, decided, LossCause.MIRROR, hole.acked_ns)

    def _say(self, hole: Hole, decided: tuple[int, int], cause: LossCause, closed_ns: int) -> None:
        size = hole.end - hole.start
        self._tell(Loss(decided, self.stream, hole.start, size, hole.opened_ns, closed_ns, cause))
