"""Bytes of one stream that came twice, and what a receiver's word of it proves. Pure.

A receiver that gets bytes once more says so: the first block of its next SACK option names them, at or below what it
acknowledges, or inside the second block (D-SACK, RFC 2883, section 4). Each copy is spoken of once.

- The capture had seen them twice, the second time before an acknowledgement: both copies arrived, so the first one did
  first, and DUPLICATED is told. A sender that probes for a lost tail (RFC 8985, section 7) often sends again what had
  arrived. Without that word it is not known which copy the receiver took.
- The capture had seen them twice, the second time behind an acknowledgement, or knows that it had missed a copy:
  nothing new.
- The capture had seen them once: it missed a copy, perhaps the first, and MISSED is told.

A D-SACK does not say which of several copies it is about. So bytes that came three times are never DUPLICATED, nor
those that it names so late that there may have been a third copy, which the capture missed. What came twice is
remembered until it is acknowledged and `_AWAITED_NS` beyond; where that is more than `MOST`, the oldest are put
together, and count as bytes of which nothing is known. Whatever is not remembered any more counts as seen once: doubt
costs a match, a wrong proof would make a wrong one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from capture.streams.holes import Loss, Sight
from journal.wire import LossCause

MOST: Final = 64  # of a stream
_AWAITED_NS: Final = 1_000_000_000  # how long a receiver's answer may take
_SOON_NS: Final = 200_000_000  # Linux sends the same for the third time by a timer that is no shorter (TCP_RTO_MIN)

Span = tuple[int, int]  # positions of the first byte, and behind the last


@dataclass(slots=True, eq=False)
class _Double:
    """Bytes of which a copy is known, by its packet or, `missed`, by the receiver's word.

    Attributes:
        start, end: positions.
        came: the packet that told of the copy.
        acked_ns: when they were found to be acknowledged, on the capture's clock.
        provable: whether the receiver's word would prove that the first copy arrived first.
        answered: whether the receiver has spoken of this copy.
        missed: whether it is known that the capture missed a copy: whatever is said of them, that was told.
    """

    start: int
    end: int
    came: Sight
    acked_ns: int | None
    provable: bool
    answered: bool = False
    missed: bool = False

    def overlaps(self, span: Span) -> bool:
        """Return whether some bytes of a span are its own."""
        return self.start < span[1] and span[0] < self.end

    def cut_from(self, spans: list[Span]) -> list[Span]:
        """Return what of some spans is not its own."""
        parts = [part for low, high in spans for part in ((low, min(high, self.start)), (max(low, self.end), high))]
        return [(low, high) for low, high in parts if low < high]


class Doubles:
    """What of one stream came twice.

    Args:
        stream: its number.
        tell: takes what is proven: a loss that is none, or one that left no hole.

    Attributes:
        waiting: whether an acknowledgement of some of it is awaited.
    """

    def __init__(self, stream: int, tell: Callable[[Loss], None]) -> None:
        self._stream = stream
        self._tell = tell
        self._doubles: list[_Double] = []
        self._said: Span | None = None
        self.waiting = False

    def __bool__(self) -> bool:
        return bool(self._doubles)

    def add(self, start: int, end: int, packet: Sight, *, acked: bool, provable: bool) -> None:
        """Take bytes that came once more.

        Args:
            start: position of the first.
            end: position behind the last.
            packet: what brought them.
            acked: whether they had been acknowledged before.
            provable: whether the first copy that was captured is the first that was sent, as far as is known.
        """
        self.expire(packet.clock_ns)
        since_ns = packet.clock_ns if acked else None
        self._remember(_Double(start, end, packet, since_ns, provable and not acked))

    def miss(self, start: int, end: int, packet: Sight, *, told: bool = False) -> None:
        """Take bytes of which the capture missed a copy, or had one late, and tell it unless `told` before."""
        self.expire(packet.clock_ns)
        rest = [(start, end)]
        for double in self._doubles:
            if double.missed:
                rest = double.cut_from(rest)
        for begin, behind in rest:
            if not told:
                self._say(begin, behind, packet, packet.time_ns, LossCause.MISSED)
            self._remember(_Double(begin, behind, packet, packet.clock_ns, provable=False, missed=True))

    def acknowledge(self, ack: int, blocks: Sequence[Span], packet: Sight) -> None:
        """Take an acknowledgement of the stream.

        Args:
            ack: the position that it acknowledges up to.
            blocks: those of its SACK option, positions.
            packet: what brought it.
        """
        self.expire(packet.clock_ns)
        for double in self._doubles:
            done = double.end <= ack or any(start <= double.start and double.end <= end for start, end in blocks)
            if done and double.acked_ns is None:
                double.acked_ns = packet.clock_ns
        self._review()

    def answer(self, again: Span, packet: Sight, *, copied: bool) -> None:
        """Take a receiver's word that bytes came once more.

        Args:
            again: the bytes (`duplicate`).
            packet: what brought it.
            copied: whether the mirror may have brought that twice.
        """
        if copied and again == self._said:
            return
        self._said = again
        self.expire(packet.clock_ns)
        for edge in again:
            self._cut(edge)
        rest = [again]
        for double in self._doubles:
            if (double.missed or not double.answered) and any(map(double.overlaps, rest)):
                rest = double.cut_from(rest)
                self._answered(double, packet)
        for start, end in rest:
            self.miss(start, end, packet)
        self._review()

    def expire(self, clock_ns: int) -> None:
        """Forget what no receiver will speak of any more."""
        oldest_ns = clock_ns - _AWAITED_NS
        self._doubles = [it for it in self._doubles if it.acked_ns is None or it.acked_ns >= oldest_ns]

    def _remember(self, new: _Double) -> None:
        for double in self._doubles:
            if double.overlaps((new.start, new.end)):
                double.provable = new.provable = False
        self._doubles.append(new)
        self._review()

    def _answered(self, double: _Double, packet: Sight) -> None:
        double.answered = True
        # The mirror may bring the same word once more.
        double.acked_ns = packet.clock_ns
        if double.provable and packet.clock_ns - double.came.clock_ns < _SOON_NS:
            self._say(double.start, double.end, packet, double.came.time_ns, LossCause.DUPLICATED)
        double.provable = False

    def _cut(self, position: int) -> None:
        """Make two of what lies on both sides of a position."""
        for double in self._doubles.copy():
            if not double.missed and double.start < position < double.end:
                self._doubles.append(replace(double, start=position))
                double.end = position
        self._review()

    def _review(self) -> None:
        """Put the oldest together beyond `MOST`, and note whether an acknowledgement is awaited."""
        while len(self._doubles) > MOST:
            one, other = self._doubles[:2]
            acked = [it.acked_ns for it in (one, other) if it.acked_ns is not None]
            one.start, one.end = min(one.start, other.start), max(one.end, other.end)
            one.acked_ns = max(acked) if len(acked) == 2 else None
            one.provable, one.answered, one.missed = False, True, False
            del self._doubles[1]
        self.waiting = any(it.acked_ns is None for it in self._doubles)

    def _say(self, start: int, end: int, packet: Sight, opened_ns: int, cause: LossCause) -> None:
        decided = packet.clock_ns, packet.ordinal
        self._tell(Loss(decided, self._stream, start, end - start, opened_ns, packet.time_ns, cause))


def duplicate(ack: int, blocks: Sequence[Span]) -> Span | None:
    """Return the bytes that a SACK option says came once more, None when it says of none (RFC 2883, section 4)."""
    if not blocks:
        return None
    start, end = blocks[0]
    within = len(blocks) > 1 and blocks[1][0] <= start and end <= blocks[1][1]
    return (start, end) if end <= ack or within else None
