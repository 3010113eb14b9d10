"""Bytes that were sent twice before an acknowledgement of them was seen, and the proof that both copies arrived. Pure.

Which copy the receiver took cannot be told from the packets themselves. But a receiver that gets bytes once more says
so: the first block of its next SACK option names them, at or below what it acknowledges, or inside the second block
(D-SACK, RFC 2883, section 4). Then both copies arrived, so the first one did first. A sender that probes for a lost
tail (RFC 8985, section 7) often sends again what had arrived.

A D-SACK does not say which of several copies it is about: bytes that came three times within `_AWAITED_NS` stay untold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from capture.streams.holes import Loss, Sight
from journal.wire import LossCause

MOST: Final = 64  # of a stream
_AWAITED_NS: Final = 1_000_000_000  # how long a receiver's answer may take

Span = tuple[int, int]  # positions of the first byte, and behind the last


@dataclass(slots=True, eq=False)
class _Double:
    start: int
    end: int
    came: Sight
    alone: bool = True  # whether no third copy came


class Doubles:
    """What of one stream was sent twice.

    Args:
        stream: its number.
        tell: takes what is proven: a loss that is none.
    """

    def __init__(self, stream: int, tell: Callable[[Loss], None]) -> None:
        self._stream = stream
        self._tell = tell
        self._doubles: list[_Double] = []

    def __bool__(self) -> bool:
        return bool(self._doubles)

    def add(self, start: int, end: int, packet: Sight) -> None:
        """Take bytes that came once more.

        Args:
            start: position of the first.
            end: position behind the last.
            packet: what brought them.
        """
        new = _Double(start, end, packet)
        for double in self._doubles:
            if double.start < end and start < double.end:
                double.alone = new.alone = False
        self._doubles.append(new)
        del self._doubles[:-MOST]

    def acknowledge(self, ack: int, blocks: Sequence[Span], packet: Sight) -> None:
        """Take an acknowledgement of the stream.

        Args:
            ack: the position that it acknowledges up to.
            blocks: those of its SACK option, positions.
            packet: what brought it.
        """
        self._doubles = [it for it in self._doubles if packet.clock_ns - it.came.clock_ns <= _AWAITED_NS]
        again = duplicate(ack, blocks)
        if again is None:
            return
        for double in self._doubles.copy():
            if double.alone and again[0] <= double.start and double.end <= again[1]:
                self._doubles.remove(double)
                self._prove(double, packet)

    def _prove(self, double: _Double, packet: Sight) -> None:
        decided = packet.clock_ns, packet.ordinal
        size, opened_ns = double.end - double.start, double.came.time_ns
        cause = LossCause.DUPLICATED
        self._tell(Loss(decided, self._stream, double.start, size, opened_ns, packet.time_ns, cause))


def duplicate(ack: int, blocks: Sequence[Span]) -> Span | None:
    """Return the bytes that a SACK option says came once more, None when it says of none (RFC 2883, section 4)."""
    if not blocks:
        return None
    start, end = blocks[0]
    within = len(blocks) > 1 and blocks[1][0] <= start and end <= blocks[1][1]
    return (start, end) if end <= ack or within else None
