"""Where each byte of a captured stream was first seen, and what is known of the bytes that were not. Pure arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crosscheck.model import Column, Index, Mask, Rows
from journal.wire import LossCause, PacketFlag, TcpFlag

_FEW = 1 << 16
_SENT_AGAIN = PacketFlag.SEEN | PacketFlag.UNACKED


class Grouped:
    """Places of rows by an integer key, in the rows' order.

    Args:
        keys: each row's key, shape (n,).
    """

    def __init__(self, keys: npt.NDArray[np.integer]) -> None:
        few = keys.max(initial=0) < _FEW
        self._places = np.argsort(keys.astype(np.uint16) if few else keys, kind="stable")  # numpy's radix sort: 5 ×
        self._keys = keys[self._places]

    def places(self, key: int) -> Index:
        """Return where the rows with this key are, shape (rows with it,)."""
        wanted = self._keys.dtype.type(key)
        return self._places[np.searchsorted(self._keys, wanted) : np.searchsorted(self._keys, wanted, "right")]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of positions that do not overlap, in their order: `begin` ≤ byte < `end`, shape (n,) each."""

    begin: Column
    end: Column

    def find(self, position: Column) -> Index:
        """Return the index of the range that holds each position, -1 where none does; shape of `position`."""
        if not len(self.begin):
            return np.full(len(position), -1, np.intp)
        place = np.searchsorted(self.begin, position, "right") - 1
        return np.where((place >= 0) & (position < self.end[place]), place, -1)

    def hold(self, begin: Column, end: Column) -> Mask:
        """Tell which pieces, `begin` ≤ byte < `end`, lie in one range each; shape of `begin`."""
        place = self.find(begin)
        mask: Mask = (place >= 0) & (place == self.find(end - 1))
        return mask


@dataclass(frozen=True, slots=True)
class Stream:
    """One direction of a captured connection. All positions are as in `journal.wire`.

    Attributes:
        isn: position of its SYN; None when none was captured, or SYNs that differ.
        first: the bytes of each row that brought new ones.
        row: the row of each of these in `WireSide.packets`, shape as `first`.
        time: their times, ns of the monitor's clock.
        flags: their `PacketFlag` bits.
        again: bytes that were sent again before an acknowledgement was seen, merged; without those of which the
            receiver said that it has both copies.
        missed: bytes of which the receiver had a copy that the capture missed, perhaps the first, merged.
        hole: bytes that were missing when later ones had come.
        cause: each hole's `LossCause`, shape as `hole`.
        extent: position behind the last byte of which the capture knows, by a packet or by a later position.
    """

    isn: int | None
    first: Ranges
    row: Index
    time: Column
    flags: npt.NDArray[np.uint16]
    again: Ranges
    missed: Ranges
    hole: Ranges
    cause: npt.NDArray[np.uint32]
    extent: int

    def start(self) -> int:
        """Return the position of the first byte that the capture could see; behind everything when it saw none."""
        if self.isn is not None:
            return self.isn + 1
        return int(self.first.begin[0]) if len(self.first.begin) else self.extent

    def clear(self) -> Mask:
        """Tell which rows of `first` show the passing of the original packet, in its turn.

        One that fills a hole came late, or is a retransmission; of bytes that were soon sent again it is not known
        which copy arrived; and where the receiver had one more than the capture, that may have been the first.
        """
        filled = (self.flags & (PacketFlag.LATE | PacketFlag.RESENT)) != 0
        last = self.first.end - 1
        clear: Mask = ~filled & (self.again.find(last) < 0) & (self.missed.find(last) < 0)
        return clear


def captured_stream(packets: Rows, rows: Index, losses: Rows, holes: Index) -> Stream:
    """Return a stream from its rows.

    Args:
        packets: all rows `journal.wire.PACKET`.
        rows: places of the stream's own, in the order of arrival.
        losses: all rows `journal.wire.LOSS`.
        holes: places of the stream's own.
    """
    flags, tcp = packets["flags"][rows], packets["tcp"][rows]
    syn = (tcp & TcpFlag.SYN) != 0
    position = packets["position"][rows].astype(np.int64)
    begin = position + syn  # a SYN takes a number of its own; data in its packet comes behind it
    end = begin + packets["size"][rows]
    numbers = np.unique(position[syn])
    filled = end > begin
    new = np.flatnonzero(((flags & PacketFlag.FIRST) != 0) & filled)
    new = new[np.argsort(begin[new], kind="stable")]
    cause = losses["cause"][holes]
    both, missed = (_bytes_of(losses[holes[cause == it]]) for it in (LossCause.DUPLICATED, LossCause.MISSED))
    holes = holes[(cause != LossCause.DUPLICATED) & (cause != LossCause.MISSED)]
    again = ((flags & _SENT_AGAIN) == _SENT_AGAIN) & filled & ~both.hold(begin, end)
    orderly = (tcp & TcpFlag.RST) == 0  # a reset's number may be anything
    holes = holes[np.argsort(losses["position"][holes], kind="stable")]
    lost = losses["position"][holes].astype(np.int64)
    return Stream(
        isn=int(numbers[0]) if len(numbers) == 1 else None,
        first=Ranges(begin[new], end[new]),
        row=rows[new],
        time=packets["time"][rows[new]],
        flags=flags[new],
        again=_merged(begin[again], end[again]),
        missed=missed,
        hole=Ranges(lost, lost + losses["size"][holes]),
        cause=losses["cause"][holes],
        extent=int(end[orderly].max(initial=0)),
    )


def _bytes_of(losses: Rows) -> Ranges:
    """Return the bytes that some rows `journal.wire.LOSS` are about."""
    begin = losses["position"].astype(np.int64)
    return _merged(begin, begin + losses["size"])


def _merged(begin: Column, end: Column) -> Ranges:
    """Return ranges that may overlap as ranges that do not."""
    order = np.argsort(begin, kind="stable")
    begin, reach = begin[order], np.maximum.accumulate(end[order])
    opens = np.ones(len(begin), np.bool_)
    opens[1:] = begin[1:] > reach[:-1]
    closes = np.r_[opens[1:], True] if len(begin) else opens
    return Ranges(begin[opens], reach[closes])
