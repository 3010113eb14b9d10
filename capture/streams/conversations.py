"""The connections with something out of the ordinary, and the walk through their packets. Pure.

What is kept is bounded: beyond `MOST` connections, the one that has been kept longest is given up, its open holes as
unknown.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from capture.packets import U32, Int64, Segments
from capture.streams.conversation import Conversation, Packet, Stream
from capture.streams.holes import Loss, Piece, Sight
from capture.streams.options import sack_blocks
from capture.streams.recent import Recent
from capture.streams.sequence import Groups, group
from capture.streams.tracks import Arrivals, Placed, Tracks

MOST: Final = 4_096


class Conversations:
    """Connections by slot.

    Attributes:
        losses: what was told since they were last taken.
    """

    def __init__(self, tracks: Tracks, recent: Recent) -> None:
        self._tracks = tracks
        self._recent = recent
        self._kept: dict[int, Conversation] = {}
        self._waiting: set[int] = set()
        self._held: set[int] = set()
        self.losses: list[Loss] = []

    def walk(
        self, segments: Segments, arrivals: Arrivals, placed: Placed, slot: Int64, numbers: U32
    ) -> list[tuple[int, list[Piece]]]:
        """Go through the packets that are out of the ordinary, and those that what is kept waits for.

        Args:
            segments: the batch.
            arrivals: what is known of it.
            placed: where it lies.
            slot: each segment's connection, shape (m,).
            numbers: each slot's connection number.

        Returns:
            Indices of segments, and their parts (`Conversation.meet`).
        """
        notable = np.zeros(len(slot), np.bool_)
        notable[placed.notable] = True
        chosen = np.zeros(len(numbers), np.bool_)
        chosen[slot[placed.notable]] = True
        chosen[list(self._waiting)] = True
        some = np.flatnonzero(chosen[slot])
        if not len(some):
            return []
        met = []
        groups = group(slot[some])
        some = some[groups.order]
        packets = _Packets(segments, arrivals, placed, some, groups, self._tracks.acked)
        events = np.flatnonzero(notable[some]).tolist()
        next_event = np.searchsorted(events, np.arange(len(some) + 1)).tolist()
        events.append(len(some))
        indices = some.tolist()
        for key, begin, size in zip(groups.keys.tolist(), groups.starts.tolist(), groups.counts.tolist(), strict=True):
            kept = self._meet(key, int(numbers[key]))
            at, end = begin, begin + size
            if not kept.waiting:
                at = events[next_event[at]]
            while at < end:
                met.append((indices[at], kept.meet(packets.packet(at), packets.blocks(at))))
                at = at + 1 if kept.waiting else events[next_event[at + 1]]
            self._keep(key, kept)
        decided = int(arrivals.clock_ns[-1]), arrivals.ordinal + len(slot)
        self.give_up(list(self._kept)[: max(0, len(self._kept) - MOST)], decided)
        return met

    def expire(self, clock_ns: int) -> None:
        """Tell the losses that were held back long enough, and forget what no receiver will speak of any more."""
        for slot in list(self._held):
            kept = self._kept[slot]
            for stream in kept.streams:
                stream.holes.expire(clock_ns)
                stream.doubles.expire(clock_ns)
            if not kept.held:
                self._held.discard(slot)
            if kept.over:
                self._kept.pop(slot)

    def give_up(self, slots: Iterable[int], decided: tuple[int, int]) -> None:
        """Tell what is known of the holes of some connections, and forget them."""
        for slot in slots:
            kept = self._kept.pop(slot, None)
            self._waiting.discard(slot)
            self._held.discard(slot)
            if kept is not None:
                for stream in kept.streams:
                    stream.holes.give_up(decided)

    def _meet(self, slot: int, number: int) -> Conversation:
        """Return a connection's conversation, which knows how its streams began by now."""
        kept = self._kept.get(slot)
        if kept is None:
            told = self.losses.append
            kept = Conversation((Stream(2 * number, told), Stream(2 * number + 1, told)), self._recent)
        for side, stream in enumerate(kept.streams):
            stream.low = int(self._tracks.low[2 * slot + side])
            stream.first = Sight(*self._tracks.first[2 * slot + side].tolist())
        return kept

    def _keep(self, slot: int, kept: Conversation) -> None:
        """Keep a conversation as long as something in it is open."""
        for side, stream in enumerate(kept.streams):
            self._tracks.low[2 * slot + side] = stream.low
            self._tracks.first[2 * slot + side] = stream.first
        for slots, condition in ((self._waiting, kept.waiting), (self._held, kept.held)):
            (slots.add if condition else slots.discard)(slot)
        if kept.over:
            self._kept.pop(slot, None)
            return
        self._kept[slot] = kept


class _Packets:
    """The packets of some connections, one connection after the other.

    Args:
        some: which of the batch.
        groups: their connections.
        acked: `Tracks.acked`.
    """

    def __init__(
        self, segments: Segments, arrivals: Arrivals, placed: Placed, some: Int64, groups: Groups, acked: Int64
    ) -> None:
        by_stream = np.empty_like(placed.groups.order)
        by_stream[placed.groups.order] = np.arange(len(by_stream))
        at = by_stream[some]
        side = arrivals.stream[some] & 1
        acks = np.ones(len(some), np.bool_) if placed.acking is None else placed.acking[some]
        if placed.acks.stray is not None:
            acks &= ~placed.acks.stray[at]
        ack, ack_mark = placed.acks.start[at], placed.acks.before[at]
        ran = np.where(acks, np.maximum(ack, ack_mark), ack_mark)
        counts = np.ones(len(some), np.bool_) if placed.counts is None else placed.counts[some]
        repeats = np.zeros(len(segments), np.bool_)
        repeats[arrivals.repeats] = True
        columns = (
            side,
            placed.start[some],
            placed.start[some] + placed.length[some],
            segments.size[some],
            arrivals.tcp[some],
            counts,
            placed.trail.before[at],
            _acked_before(side, groups, ran, ack_mark, acked[arrivals.stream[some]]),
            acks,
            ack,
            ack_mark,
            repeats[some],
        )
        sights = segments.time_ns[some], arrivals.clock_ns[some], some + arrivals.ordinal, arrivals.tsval[some]
        # Most are never asked for, so they stay arrays: `item` is the fastest way to one element.
        self._columns = [column.item for column in columns]
        self._sights = [column.item for column in (*sights, segments.ip_id[some])]
        self._data = segments.data
        self._options, self._options_size = segments.options[some].item, segments.options_size[some].item

    def packet(self, at: int) -> Packet:
        """Return one of them."""
        sight = Sight._make([item(at) for item in self._sights])
        return Packet._make([*[item(at) for item in self._columns], sight])

    def blocks(self, at: int) -> Callable[[], list[tuple[int, int]]]:
        """Return what finds the SACK blocks of one of them."""
        return lambda: sack_blocks(self._data, self._options(at), self._options_size(at))


def _acked_before(side: Int64, groups: Groups, ran: Int64, ack_mark: Int64, acked: Int64) -> Int64:
    """Return what the other side had acknowledged before each packet came, positions.

    Args:
        side: who sent each packet, connection by connection, shape (n,).
        groups: the connections.
        ran: the most that its sender has acknowledged, the packet included, shape (n,).
        ack_mark: the same without the packet, shape (n,).
        acked: what is known where the batch holds no packet of the other side, shape (n,).
    """
    begins, ends = (np.repeat(edge, groups.counts) for edge in (groups.starts, groups.starts + groups.counts))
    before = acked.copy()
    for sender in (0, 1):
        mine, theirs = np.flatnonzero(side == sender), np.flatnonzero(side != sender)
        if not len(theirs):
            continue
        following = np.searchsorted(theirs, mine)
        last, later = theirs[following - 1], theirs[np.minimum(following, len(theirs) - 1)]
        behind = (following > 0) & (last >= begins[mine])
        ahead = (following < len(theirs)) & (later < ends[mine])
        before[mine] = np.where(behind, ran[last], np.where(ahead, ack_mark[later], before[mine]))
    return before
