"""Which connection a segment belongs to: a flow table keyed by tunnel and both endpoints. Pure.

A *slot* is a connection's place in the table; whoever keeps state of connections keeps it in arrays indexed by slot.
Side 0 of a connection is its numerically lower endpoint, `a`.

A connection begins with the first packet of its flow, whichever that is. A flow that is met again with a SYN of another
first sequence number is another connection with the same ports (RFC 9293, section 3.6.1); a SYN sent again is not. A
SYN whose number cannot be compared, because the capture missed the first, belongs to the connection when it answers a
SYN of it, or comes so soon after the first packet that the mirror may have swapped the two.

Memory is bounded: beyond `capacity` connections an eighth is forgotten: first those that never were more than a SYN (a
flood leaves only such), then closed ones, each the longest idle first. A forgotten connection that speaks again is a
new one, met in mid-stream.

The table is open addressing with linear probing, at most half full, looked up for all segments of a batch at once; a
binary search in sorted hashes takes ten times as long with a thousand connections.
"""

import secrets
from typing import Final, NamedTuple

import numpy as np

from capture.packets import U32, U64, Int64, Mask, Segments
from journal.wire import TcpFlag

CAPACITY: Final = 1 << 17
REORDER_NS: Final = 100_000_000  # by how much a mirror may delay one packet more than the next

_NONE: Final = -1
_RESET: Final = 4  # in `_ended`, beside the bits 1 and 2 for a FIN of side 0 and 1
_FAST_OPEN_BYTES: Final = 65_535  # a SYN's data is at most one packet (RFC 7413)


class Found(NamedTuple):
    """The connections of some segments.

    Attributes:
        slot: each segment's connection, shape (m,).
        side: which end sent it, shape (m,).
        opened: connections that began: slot, and index of the segment that began it, in order of arrival.
        replaced: connections whose flow began anew: slot, and index of the SYN. The caller must `release` these.
    """

    slot: Int64
    side: Int64
    opened: list[tuple[int, int]]
    replaced: list[tuple[int, int]]


class Keys(NamedTuple):
    """Flow keys: tunnel, lower and higher endpoint, and the hash of the three; each of shape (m,)."""

    tunnel: U32
    low: U64
    high: U64
    hash: U64

    def at(self, index: Int64) -> "Keys":
        """Return some of them."""
        return Keys(self.tunnel[index], self.low[index], self.high[index], self.hash[index])

    def key(self, index: int) -> tuple[int, int, int]:
        """Return one of them, exact."""
        return int(self.tunnel[index]), int(self.low[index]), int(self.high[index])


class Flows:
    """The flow table.

    Attributes:
        tunnel, low, high: key of each slot, shape (slots,).
        opened_ns, last_ns: time of each slot's first and last packet, shape (slots,).
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(3)]  # nobody can aim at collisions
        self._free: list[int] = []
        self.tunnel = np.zeros(0, np.uint32)
        self.low = np.zeros(0, np.uint64)
        self.high = np.zeros(0, np.uint64)
        self.opened_ns = np.zeros(0, np.int64)
        self.last_ns = np.zeros(0, np.int64)
        self._isn = np.zeros((0, 2), np.int64)
        self._lone = np.zeros(0, np.bool_)  # nothing but SYNs so far
        self._ended = np.zeros(0, np.uint8)
        self._live = np.zeros(0, np.bool_)  # whether the table holds it
        self._grow()

    def __len__(self) -> int:
        return self.slots - len(self._free)

    @property
    def slots(self) -> int:
        """How many elements an array indexed by slot needs."""
        return len(self.low)

    def find(self, segments: Segments) -> Found:
        """Return the connections of some segments, at least one, in order of arrival; unknown ones begin."""
        low, high = np.minimum(segments.source, segments.target), np.maximum(segments.source, segments.target)
        side = (segments.source != low).astype(np.int64)
        keys = Keys(segments.tunnel, low, high, self._hash(segments.tunnel, low, high))
        slot = self._look_up(keys)
        syn = (segments.flags & np.uint16(TcpFlag.SYN)) != 0
        opened: list[tuple[int, int]] = []
        changes: list[tuple[int, int, int]] = []
        notable, unknown = np.flatnonzero(syn), np.flatnonzero(slot == _NONE)
        while len(notable) or len(unknown):
            _, firsts = np.unique(keys.hash[unknown], return_index=True)
            self._meet(segments, keys, slot, side, np.union1d(notable, unknown[firsts]).tolist(), opened, changes)
            slot[unknown] = self._look_up(keys.at(unknown))
            # Whose hash is that of another new flow comes in the next round.
            notable, unknown = notable[:0], unknown[slot[unknown] == _NONE]
        if changes:
            self._reassign(slot, changes)
        self._note(segments, slot, side, syn)
        return Found(slot, side, opened, [(old, index) for old, index, _ in changes])

    def make_room(self) -> Int64:
        """Forget an eighth of the connections when there are too many, and return their slots."""
        if len(self) <= self._capacity:
            return np.zeros(0, np.int64)
        live = np.flatnonzero(self._live)
        worth = np.where(self._lone[live], 0, np.where(self._ended[live] >= 3, 1, 2))
        forgotten = live[np.lexsort((self.last_ns[live], worth))[: len(live) - self._capacity * 7 // 8]]
        self.release(forgotten)
        self._rehash(len(self._table))
        return forgotten

    def release(self, slots: Int64) -> None:
        """Let other connections have some slots."""
        self._live[slots] = False
        self._free.extend(slots.tolist())

    def _meet(
        self,
        segments: Segments,
        keys: Keys,
        slot: Int64,
        side: Int64,
        notable: list[int],
        opened: list[tuple[int, int]],
        changes: list[tuple[int, int, int]],
    ) -> None:
        """Take the segments that may begin a connection, in order.

        Until the batch is done the table knows a flow's connection as it was when the flow was first met in it;
        `changes` tells which later ones replaced it (old slot, index of the SYN, new slot).
        """
        current: dict[tuple[int, int, int], int] = {}
        for index in notable:
            key = keys.key(index)
            known = current.get(key, int(slot[index]))
            if known != _NONE and self._continues(known, segments, index, int(side[index])):
                current[key] = known
                continue
            new = current[key] = self._open(key, int(segments.time_ns[index]))
            opened.append((new, index))
            if known == _NONE:
                self._insert(new, int(keys.hash[index]))
                self._live[new] = True
            else:
                changes.append((known, index, new))
            self._continues(new, segments, index, int(side[index]))

    def _continues(self, slot: int, segments: Segments, index: int, side: int) -> bool:
        """Return whether a segment is of that connection, and learn first sequence numbers from it."""
        flags = int(segments.flags[index])
        if not flags & TcpFlag.SYN:
            return True
        isn, answers = int(segments.seq[index]), bool(flags & TcpFlag.ACK)
        mine, other = int(self._isn[slot, side]), int(self._isn[slot, 1 - side])
        acked = int(segments.ack[index]) - 1 & 0xFFFFFFFF
        if mine not in (_NONE, isn):
            return False
        if answers and other != _NONE:
            if (acked - other) % (1 << 32) > _FAST_OPEN_BYTES:
                return False
        elif mine == _NONE and int(segments.time_ns[index]) - int(self.opened_ns[slot]) > REORDER_NS:
            return False
        self._isn[slot, side] = isn
        if answers and other == _NONE:
            self._isn[slot, 1 - side] = acked
        return True

    def _open(self, key: tuple[int, int, int], time_ns: int) -> int:
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self.tunnel[slot], self.low[slot], self.high[slot] = key
        self.opened_ns[slot] = time_ns
        self._isn[slot] = _NONE
        self._lone[slot], self._ended[slot] = True, 0
        return slot

    def _reassign(self, slot: Int64, changes: list[tuple[int, int, int]]) -> None:
        """Give the segments behind a SYN that began a flow anew their connection, and the table the last one."""
        origin: dict[int, int] = {}
        for old, _, new in changes:
            origin[new] = origin.get(old, old)
        boundaries = sorted((origin[new], index, new) for _, index, new in changes)
        firsts, starts, news = (np.array(column, np.int64) for column in zip(*boundaries, strict=True))
        width = len(slot)
        last = np.searchsorted(firsts * width + starts, slot * width + np.arange(width), side="right") - 1
        moved = np.flatnonzero((last >= 0) & (firsts[last] == slot))
        slot[moved] = news[last[moved]]
        latest = {origin[new]: new for _, _, new in changes}
        for first, new in latest.items():
            hashed = self._hash(self.tunnel[new : new + 1], self.low[new : new + 1], self.high[new : new + 1])
            at = int(hashed[0]) >> self._shift
            while self._table[at] != first:
                at = (at + 1) % len(self._table)
            self._table[at] = new
            self._live[first], self._live[new] = False, True

    def _note(self, segments: Segments, slot: Int64, side: Int64, syn: Mask) -> None:
        """Remember what decides who is forgotten first."""
        self.last_ns[slot] = segments.time_ns
        self._lone[slot if not syn.any() else slot[~syn]] = False
        ending = np.flatnonzero(segments.flags & np.uint16(TcpFlag.FIN | TcpFlag.RST))
        if len(ending):
            reset = (segments.flags[ending] & np.uint16(TcpFlag.RST)) != 0
            np.bitwise_or.at(self._ended, slot[ending], np.where(reset, _RESET, 1 << side[ending]).astype(np.uint8))

    def _hash(self, tunnel: U32, low: U64, high: U64) -> U64:
        """Return hashes whose upper bits are as good as random, also of ports that follow one another.

        One multiplication is not enough: consecutive ports then cluster, and with some factors a search took 100 steps.
        """
        one, two, three = self._factors
        hashed: U64 = low * one + high * two + tunnel.astype(np.uint64) * three
        hashed ^= hashed >> np.uint64(32)
        hashed *= one
        return hashed

    def _look_up(self, keys: Keys) -> Int64:
        """Return the slot of each key, `_NONE` where there is none."""
        at = (keys.hash >> np.uint64(self._shift)).astype(np.int64)
        slot = self._table[at]
        other = np.flatnonzero(self._differs(slot, keys) & (slot != _NONE))
        while len(other):
            at[other] = (at[other] + 1) % len(self._table)
            slot[other] = self._table[at[other]]
            other = other[self._differs(slot[other], keys.at(other)) & (slot[other] != _NONE)]
        return slot

    def _differs(self, slot: Int64, keys: Keys) -> Mask:
        differs: Mask = (self.low[slot] != keys.low) | (self.high[slot] != keys.high)
        differs |= self.tunnel[slot] != keys.tunnel
        return differs

    def _insert(self, slot: int, hashed: int) -> None:
        at = hashed >> self._shift
        while self._table[at] != _NONE:
            at = (at + 1) % len(self._table)
        self._table[at] = slot

    def _grow(self) -> None:
        """Double the slots, and the table with them."""
        slots = max(1024, self.slots)
        for name in ("tunnel", "low", "high", "opened_ns", "last_ns", "_isn", "_lone", "_ended", "_live"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros((slots, *column.shape[1:]), column.dtype)]))
        self._free.extend(range(self.slots - 1, self.slots - slots - 1, -1))
        self._rehash(2 * self.slots)

    def _rehash(self, size: int) -> None:
        """Build the table anew, `size` a power of two."""
        self._table = np.full(size, _NONE, np.int64)
        self._shift = 64 - (size.bit_length() - 1)
        slot = np.flatnonzero(self._live)
        at = (self._hash(self.tunnel[slot], self.low[slot], self.high[slot]) >> np.uint64(self._shift)).astype(np.int64)
        while len(slot):
            empty = self._table[at] == _NONE
            self._table[at[empty]] = slot[empty]
            pushed = self._table[at] != slot
            slot, at = slot[pushed], (at[pushed] + 1) % size
