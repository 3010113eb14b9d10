"""The bytes of one direction of a TCP connection, put in order. Pure.

For those who look into the bytes; who needs only their positions and times works on whole arrays
(`capture.streams.sequence`). What arrives early is held until the gap before it is filled. What all streams hold
together is bounded: when there is too much, the stream that would hold yet more goes on behind its gap, and the offsets
tell that bytes are missing.
"""

from heapq import heappop, heappush
from typing import Final

MAX_HELD_BYTES: Final = 64 << 20
_WORD: Final = 1 << 32
_WINDOW: Final = 1 << 30  # no TCP window is larger (RFC 7323, section 2.3): what is further ahead is a forgery

Piece = tuple[int, bytes]  # stream offset of the first byte, bytes


class HeldBytes:
    """How much some streams hold together.

    Attributes:
        held: bytes.
        limit: how many they may hold.
    """

    def __init__(self, limit: int = MAX_HELD_BYTES) -> None:
        self.held = 0
        self.limit = limit


class StreamBytes:
    """One direction of a connection.

    Offset 0 is the byte behind the SYN, or the first byte seen where the capture missed the SYN.

    Args:
        budget: what this stream shares with others.
    """

    def __init__(self, budget: HeldBytes) -> None:
        self._budget = budget
        self._first: int | None = None  # sequence number of offset 0
        self._next_off = 0
        self._early: list[Piece] = []  # a heap

    def begin(self, syn: int) -> None:
        """Take the sequence number of the SYN; a SYN sent again changes nothing."""
        if self._first is None:
            self._first = (syn + 1) % _WORD

    def take(self, seq: int, data: bytes) -> list[Piece]:
        """Take a segment's payload.

        Args:
            seq: sequence number of its first byte.
            data: what was captured of it.

        Returns:
            What can be told now, in order; no byte twice. Where an offset is larger than the end of what came before,
            the bytes between are missing from the capture.
        """
        if self._first is None:
            self._first = seq
        ahead = (seq - self._first - self._next_off + _WORD // 2) % _WORD - _WORD // 2
        if ahead >= _WINDOW:
            return []
        if ahead <= 0:
            return self._tell(self._next_off + ahead, data) + self._follow()
        heappush(self._early, (self._next_off + ahead, data))
        self._budget.held += len(data)
        told: list[Piece] = []
        while self._early and self._budget.held > self._budget.limit:
            told += self._skip()
        return told

    def rest(self) -> list[Piece]:
        """Give up all gaps, because nothing comes any more; return what lies between them."""
        told: list[Piece] = []
        while self._early:
            told += self._skip()
        return told

    def _skip(self) -> list[Piece]:
        """Give up the gap that the stream waits at; return what lies behind it."""
        self._next_off = self._early[0][0]
        return self._follow()

    def _follow(self) -> list[Piece]:
        """Return what was early and is not any more."""
        told: list[Piece] = []
        while self._early and self._early[0][0] <= self._next_off:
            off, data = heappop(self._early)
            self._budget.held -= len(data)
            told += self._tell(off, data)
        return told

    def _tell(self, off: int, data: bytes) -> list[Piece]:
        """Return what is new of a piece that begins at or before the next offset."""
        new = data[self._next_off - off :]
        if not new:
            return []
        piece = self._next_off, new
        self._next_off += len(new)
        return [piece]
