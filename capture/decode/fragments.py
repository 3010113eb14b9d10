"""Fragmented datagrams: pieces wait for one another, bounded in number, bytes and age. Pure.

The only step besides `unusual` that looks at packets one by one: fragments of TCP are rare. A packet that brings a
piece is counted when it comes, as waiting; the count moves to another reason once the fate of its datagram is known.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from capture.decode.headers import FRAGMENT, IPV4, IPV6, Header
from capture.decode.worklists import Rebuilt, Worklists

MAX_DATAGRAMS: Final = 4096
MAX_BYTES: Final = 32 << 20
PIECE_BYTES: Final = 512  # what a piece takes beside its payload, rounded up
MAX_AGE_NS: Final = 30_000_000_000  # Linux gives up after 30 s as well (net.ipv4.ipfrag_time)
MAX_DATAGRAM_BYTES: Final = 65_535

WAITING: Final = "fragment: waiting for the others"
REBUILT: Final = "fragment: in the datagram that the last one completed"
INCOMPLETE: Final = "fragment: the others never came"
CROWDED: Final = "fragment: given up for newer ones"
CONTRADICTORY: Final = "fragment: overlaps another"
COPY: Final = "fragment: a copy"
CUT: Final = "fragment: not captured whole"
MALFORMED: Final = "fragment: impossible offset or size"

MORE: Final = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment's payload.

    Attributes:
        offset: where it belongs in the datagram's payload, bytes.
        payload: its bytes.
        last: whether no fragment follows it.
        header: the unfragmented datagram's IP header but for its length; only that of the piece at 0 is used.
    """

    offset: int
    payload: bytes
    last: bool
    header: bytes

    @property
    def end(self) -> int:
        """Where the next piece begins, bytes."""
        return self.offset + len(self.payload)


@dataclass(slots=True)
class _Datagram:
    first_ns: int
    pieces: list[Piece] = field(default_factory=list)  # by offset, without overlaps
    size: int = 0  # bytes
    total: int | None = None  # known once the last piece is there


class Reassembler:
    """Pieces of datagrams that are not complete yet.

    Args:
        counts: fragments by what became of them.
        max_datagrams, max_bytes, max_age_ns: bounds of what is kept, by the packets' times; the oldest datagrams are
            given up first.
    """

    def __init__(
        self,
        counts: Counter[str],
        max_datagrams: int = MAX_DATAGRAMS,
        max_bytes: int = MAX_BYTES,
        max_age_ns: int = MAX_AGE_NS,
    ) -> None:
        self._counts = counts
        self._max_datagrams = max_datagrams
        self._max_bytes = max_bytes
        self._max_age_ns = max_age_ns
        self._open: dict[Hashable, _Datagram] = {}  # in the order of their first pieces
        self._bytes = 0

    def add(self, key: Hashable, piece: Piece, time_ns: int) -> list[Piece] | None:
        """Take a piece and count its packet, unless it completes its datagram.

        Args:
            key: what the pieces of one datagram have in common.
            piece: the fragment.
            time_ns: when it was captured.

        Returns:
            All pieces of the datagram in order, if it is complete now.
        """
        self._expire(time_ns)
        if not piece.payload or piece.end > MAX_DATAGRAM_BYTES or (not piece.last and len(piece.payload) % 8):
            self._counts[MALFORMED] += 1
            return None
        datagram = self._open.setdefault(key, _Datagram(time_ns))
        place = bisect(datagram.pieces, piece.offset, key=lambda other: other.offset)
        if place and _same(datagram.pieces[place - 1], piece):
            self._counts[COPY] += 1
            return None
        if not _fits(datagram, place, piece):
            # RFC 5722: the whole datagram goes.
            self._give_up(key, CONTRADICTORY)
            self._counts[CONTRADICTORY] += 1
            return None
        datagram.pieces.insert(place, piece)
        datagram.size += len(piece.payload)
        self._bytes += len(piece.payload) + PIECE_BYTES
        if piece.last:
            datagram.total = piece.end
        self._counts[WAITING] += 1
        if datagram.size == datagram.total:
            self._give_up(key, REBUILT)
            self._counts[REBUILT] -= 1
            return datagram.pieces
        self._make_room()
        return None

    def _expire(self, time_ns: int) -> None:
        while self._open:
            key, datagram = next(iter(self._open.items()))
            if time_ns - datagram.first_ns <= self._max_age_ns:
                return
            self._give_up(key, INCOMPLETE)

    def _make_room(self) -> None:
        while len(self._open) > self._max_datagrams or self._bytes > self._max_bytes:
            self._give_up(next(iter(self._open)), CROWDED)

    def _give_up(self, key: Hashable, reason: str) -> None:
        datagram = self._open.pop(key)
        self._bytes -= datagram.size + PIECE_BYTES * len(datagram.pieces)
        self._counts[reason] += len(datagram.pieces)
        self._counts[WAITING] -= len(datagram.pieces)
        if not self._counts[WAITING]:
            del self._counts[WAITING]


def _same(one: Piece, other: Piece) -> bool:
    return (one.offset, one.payload, one.last) == (other.offset, other.payload, other.last)


def _fits(datagram: _Datagram, place: int, piece: Piece) -> bool:
    """Say whether a piece overlaps none, and none lies behind the last."""
    pieces = datagram.pieces
    if place and pieces[place - 1].end > piece.offset:
        return False
    if place < len(pieces) and (piece.last or piece.end > pieces[place].offset):
        return False
    return datagram.total is None or piece.end <= datagram.total


def step(work: Worklists, reassembler: Reassembler) -> None:
    """Take the pieces that wait; what they complete goes to `work.rebuilt`."""
    _take(work, reassembler, Header.PIECE4, IPV4.itemsize)
    _take(work, reassembler, Header.PIECE6, FRAGMENT.itemsize)


def _take(work: Worklists, reassembler: Reassembler, header: Header, size: int) -> None:
    """Let the reassembler have every piece at such a header that was captured whole."""
    spans = work.take(header, size)
    if spans is None:
        return
    spans = work.keep(spans, spans.end == spans.wire_end, CUT)
    split = _split4 if header is Header.PIECE4 else _split6
    columns = (spans.packet, spans.at, spans.end, spans.tunnel, spans.ip)
    for packet, at, end, tunnel, ip in zip(*(column.tolist() for column in columns), strict=True):
        key, piece = split(work.data[ip:end].tobytes(), at - ip)
        pieces = reassembler.add((header, tunnel, key), piece, int(work.time_ns[packet]))
        if pieces is not None:
            payload = b"".join(piece.payload for piece in pieces)
            work.rebuilt.append(Rebuilt(packet, tunnel, _whole(pieces[0].header, payload)))


def _split4(packet: bytes, _: int) -> tuple[bytes, Piece]:
    """Return what makes a datagram (RFC 791, section 2.3: addresses, protocol, identification), and the piece."""
    size = (packet[0] & 15) * 4
    field_ = int.from_bytes(packet[6:8])
    header = packet[:6] + b"\0\0" + packet[8:size]
    key = packet[4:6] + packet[9:10] + packet[12:20]
    return key, Piece((field_ & 0x1FFF) * 8, packet[size:], not field_ & 0x2000, header)


def _split6(packet: bytes, at: int) -> tuple[bytes, Piece]:
    """Return what makes a datagram (RFC 8200, section 4.5: addresses, identification), and the piece.

    Extension headers in front of the fragment header say nothing about the payload: the rebuilt datagram has none.
    """
    begin = at + FRAGMENT.itemsize
    field_ = int.from_bytes(packet[at + 2 : at + 4])
    header = packet[:6] + packet[at : at + 1] + packet[7 : IPV6.itemsize]
    key = packet[8 : IPV6.itemsize] + packet[at + 4 : begin]
    return key, Piece(field_ & 0xFFF8, packet[begin:], not field_ & MORE, header)


def _whole(header: bytes, payload: bytes) -> bytes:
    """Return a datagram with its length set; 0, which lets the buffer say it, where the field is too small."""
    if header[0] >> 4 == 4:
        length = len(header) + len(payload)
        return header[:2] + (length if length <= MAX_DATAGRAM_BYTES else 0).to_bytes(2) + header[4:] + payload
    return header[:4] + len(payload).to_bytes(2) + header[6:] + payload
