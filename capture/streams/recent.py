"""The last packets of the capture, so that a packet that comes twice can be told from one that was sent twice. Pure.

One ring holds the packets of all streams; each knows the one before it on its stream. So memory is fixed, writing is a
few array copies a batch, and only a packet whose bytes were seen before looks back.

A mirror that copies a packet twice copies all of it: position, size, acknowledgement, flags, IPv4 identification and
TSval are the same. A sender that sends again makes a new packet. Linux counts the identification up per connection and
direction, so there a new packet has another one, and the same again within 100 ms is a copy. Where the identification
says nothing (zero, or the same in the packets around; IPv6 has none), TSval may be too coarse to differ, and only a
packet within 1 ms counts as a copy: a sender learns of a loss a round trip later. On a path with a shorter round trip
than that, a retransmission without identification and within one tick of TSval is taken for a copy.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from capture.packets import Int64, Segments
from capture.streams.flows import REORDER_NS
from capture.streams.holes import Sight, is_counted, sent_after
from capture.streams.sequence import Groups

BATCH: Final = 1 << 16  # packets; no more may be added at once
_REACH: Final = 1 << 16  # packets of the capture to look back
_STEPS: Final = 64  # packets of the stream to look back
_OTHERS: Final = 4  # packets whose identification is compared, to see whether it counts
_UNTOLD_NS: Final = 1_000_000

_NONE: Final = -1
_RING: Final = BATCH + _REACH  # so that after a batch its first packet can still look back as far as its last
_MASK: Final = _RING - 1
_COLUMNS: Final = ("_time", "_position", "_size", "_ack", "_tcp", "_ip_id", "_tsval", "_before")


class Recent:
    """A ring of the last packets.

    A packet's *ordinal* counts the packets that were added before it.

    Attributes:
        count: packets added so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last = np.zeros(0, np.int64)
        self._time = np.zeros(_RING, np.int64)
        self._position = np.zeros(_RING, np.int64)
        self._size = np.zeros(_RING, np.uint32)
        self._ack = np.zeros(_RING, np.uint32)
        self._tcp = np.zeros(_RING, np.uint16)
        self._ip_id = np.zeros(_RING, np.uint16)
        self._tsval = np.zeros(_RING, np.int64)
        self._before = np.zeros(_RING, np.int64)

    def grow(self, streams: int) -> None:
        """Make room for that many streams."""
        self._last = np.concatenate([self._last, np.full(streams - len(self._last), _NONE)])

    def forget(self, streams: Int64) -> None:
        """Let some streams begin anew."""
        self._last[streams] = _NONE

    def add(self, segments: Segments, position: Int64, tsval: Int64, groups: Groups) -> None:
        """Add a batch of packets.

        Args:
            segments: at most `BATCH`.
            position: each one's position, shape (m,).
            tsval: each one's timestamp (`capture.streams.options.timestamps`), shape (m,).
            groups: the same by stream.
        """
        ordinals = groups.order + self.count
        earlier = np.empty_like(ordinals)
        earlier[1:] = ordinals[:-1]
        earlier[groups.starts] = self._last[groups.keys]
        self._last[groups.keys] = ordinals[groups.starts + groups.counts - 1]
        before = np.empty_like(earlier)
        before[groups.order] = earlier
        columns: tuple[npt.NDArray[Any], ...] = (
            segments.time_ns, position, segments.size, segments.ack, segments.flags, segments.ip_id, tsval, before,
        )  # fmt: skip
        at = self.count & _MASK
        split = min(len(segments), _RING - at)
        for name, column in zip(_COLUMNS, columns, strict=True):
            ring = getattr(self, name)
            ring[at : at + split] = column[:split]
            ring[: len(segments) - split] = column[split:]
        self.count += len(segments)

    def is_copy(self, ordinal: int) -> bool:
        """Return whether a packet is one that came before, once more."""
        mine, ip_id = self._identity(ordinal), int(self._ip_id[ordinal & _MASK])
        others = 0
        found_ns: int | None = None
        telling = ip_id != 0
        for earlier in self._back(ordinal):
            at = earlier & _MASK
            if self._position[at] == mine[0] and self._identity(earlier) == mine:
                found_ns = int(self._time[at])
            elif others < _OTHERS:
                telling, others = telling and int(self._ip_id[at]) != ip_id, others + 1
            if found_ns is not None and others == _OTHERS:
                break
        limit_ns = REORDER_NS if telling else _UNTOLD_NS
        return found_ns is not None and int(self._time[ordinal & _MASK]) - found_ns <= limit_ns

    def is_overtaken(self, packet: Sight) -> bool:
        """Return whether a packet that was sent after this one brought some of its bytes before it."""
        at = packet.ordinal & _MASK
        start, end = int(self._position[at]), int(self._position[at]) + int(self._size[at])
        for earlier in self._back(packet.ordinal):
            at = earlier & _MASK
            begin = int(self._position[at])
            if begin < end and start < begin + int(self._size[at]):
                tsval, ip_id = int(self._tsval[at]), int(self._ip_id[at])
                counting = is_counted(ip_id, self.previous_id(earlier))
                if sent_after(packet._replace(tsval=tsval, ip_id=ip_id), packet, counting=counting):
                    return True
        return False

    def previous_id(self, ordinal: int) -> int | None:
        """Return the IPv4 identification of the packet before on the stream, None when there is none."""
        return next((int(self._ip_id[earlier & _MASK]) for earlier in self._back(ordinal)), None)

    def _identity(self, ordinal: int) -> tuple[int, ...]:
        at = ordinal & _MASK
        return (
            int(self._position[at]), int(self._size[at]), int(self._ack[at]),
            int(self._tcp[at]), int(self._ip_id[at]), int(self._tsval[at]),
        )  # fmt: skip

    def _back(self, ordinal: int) -> Iterator[int]:
        """Yield the ordinals of the packets before on the stream, the nearest first."""
        earlier = ordinal
        for _ in range(_STEPS):
            earlier = int(self._before[earlier & _MASK])
            if earlier == _NONE or ordinal - earlier > _REACH:
                return
            yield earlier
