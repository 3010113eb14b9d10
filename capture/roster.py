"""Which connections spoke lately: their records are written again, for retention deletes the first ones. Pure.

A connection is recorded when it is met, and a feed's lives for a day or longer: its rows go on when retention has
deleted the segment that tells whose they are.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from capture.streams import Opened

CAPACITY: Final = 1 << 17  # as many as `capture.streams` remembers
_MASK: Final = np.uint32(CAPACITY - 1)


class Roster:
    """The connections that were met, up to `CAPACITY`; those that were silent for longest are forgotten first."""

    def __init__(self) -> None:
        self._met: dict[int, Opened] = {}  # by number, the longest silent first
        self._spoke = np.zeros(CAPACITY, np.bool_)  # by number modulo its size: at worst one is told in vain

    def add(self, opened: Iterable[Opened], packets: npt.NDArray[np.void]) -> None:
        """Take what a batch held.

        Args:
            opened: connections that began.
            packets: rows `journal.wire.PACKET`, shape (n,).
        """
        for connection in opened:
            self._met[connection.number] = connection
        while len(self._met) > CAPACITY:
            del self._met[next(iter(self._met))]
        self._spoke[(packets["stream"] >> np.uint32(1)) & _MASK] = True

    def spoke(self) -> list[Opened]:
        """Return the connections that had packets since the last call."""
        heard = [connection for number, connection in self._met.items() if self._spoke[number & int(_MASK)]]
        for connection in heard:
            self._met[connection.number] = self._met.pop(connection.number)
        self._spoke[:] = False
        return heard
