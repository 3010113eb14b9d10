"""The queues in which orders and outside liquidity stand, level by level: what `matching` works on.

Each price level is first come first served; each side keeps its levels sorted. Pure, whole lots and ticks.
"""

from bisect import bisect_left, insort
from collections import OrderedDict


class LevelQueue:
    """One price level: who stands there, first come first served.

    An entry's key is the own order's id, or a negative number for a stretch of outside liquidity. `OrderedDict` because
    it removes at the front, at the back and in the middle in O(1); a plain dict searches past what left its front.
    """

    __slots__ = ("_last_stretch", "entries", "outside_lots")

    def __init__(self) -> None:
        self.entries: OrderedDict[int, int] = OrderedDict()
        self.outside_lots = 0
        self._last_stretch = 0

    @property
    def total_lots(self) -> int:
        """What stands at the level, own orders and outside liquidity together."""
        return sum(self.entries.values())

    def set_outside(self, lots: int) -> None:
        """Make the stretches of outside liquidity add up to `lots`, changing the queue at its back."""
        grown = lots - self.outside_lots
        self.outside_lots = lots
        entries = self.entries
        if grown > 0:
            back = next(reversed(entries), 1)
            if back > 0:
                back = self._last_stretch = self._last_stretch - 1
                entries[back] = 0
            entries[back] += grown
        elif grown < 0:
            for key in [key for key in reversed(entries) if key < 0]:
                grown += entries[key]
                if grown > 0:
                    entries[key] = grown
                    break
                del entries[key]

    def take(self, lots: int, *, own_only: bool) -> list[tuple[int, int]]:
        """Take up to `lots` from the front; return (key, lots taken) of each entry that gave."""
        taken = []
        for key, held in self.entries.items():
            if not lots:
                break
            if key > 0 or not own_only:
                gave = min(lots, held)
                lots -= gave
                taken.append((key, gave))
        for key, gave in taken:
            left = self.entries[key] - gave
            if left:
                self.entries[key] = left
            else:
                del self.entries[key]
            if key < 0:
                self.outside_lots -= gave
        return taken


class QueuedSide:
    """The levels of one side by signed price: a bid's key is its price, an ask's its negation; the last is the best."""

    __slots__ = ("keys", "queues", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.queues: dict[int, LevelQueue] = {}

    def queue(self, key: int) -> LevelQueue:
        """Return the level's queue, a new one when nobody stands there yet."""
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = LevelQueue()
            insort(self.keys, key)
        return queue

    def is_met_by(self, limit_ticks: int) -> bool:
        """Whether an opposite order with this limit would trade here."""
        return bool(self.keys) and self.keys[-1] >= self.sign * limit_ticks

    def prune(self, key: int) -> None:
        """Remove the level if nobody stands there any more."""
        if not self.queues[key].entries:
            del self.queues[key]
            del self.keys[bisect_left(self.keys, key)]

    def from_best(self, worst_key: int) -> list[int]:
        """Return the keys at or better than `worst_key`, best first."""
        return self.keys[bisect_left(self.keys, worst_key) :][::-1]

    def drop_outside(self, worst_key: int) -> None:
        """Forget the outside liquidity at or better than `worst_key`."""
        for key in self.from_best(worst_key):
            self.queues[key].set_outside(0)
            self.prune(key)
