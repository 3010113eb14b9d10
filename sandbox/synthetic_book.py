"""The synthetic market's book: levels that never cross, numbered changes, and what changed since last told."""

from bisect import bisect_left, insort

from market.events import Level, Side


class SyntheticBook:
    """Both sides of a book that always has a level on each.

    Args:
        start_ticks: the first best ask; the first best bid is one tick below.

    Attributes:
        sequence: how many changes there have been.
    """

    def __init__(self, start_ticks: int) -> None:
        self._lots = {Side.BUY: {start_ticks - 1: 1_000_000}, Side.SELL: {start_ticks: 1_000_000}}
        self._prices = {side: list(levels) for side, levels in self._lots.items()}
        self._changed: dict[Side, dict[int, None]] = {side: {} for side in Side}
        self.sequence = 0

    @property
    def changed(self) -> int:
        """How many levels have changed since last told."""
        return sum(map(len, self._changed.values()))

    def best(self, side: Side) -> int:
        """Return the best price of a side, ticks."""
        return self._prices[side][-1 if side is Side.BUY else 0]

    def worst(self, side: Side) -> int:
        """Return the worst price of a side, ticks."""
        return self._prices[side][0 if side is Side.BUY else -1]

    def nearest(self, side: Side, ticks: int) -> int:
        """Return the price of a level at or just above `ticks`, the highest when none is."""
        prices = self._prices[side]
        return prices[min(bisect_left(prices, ticks), len(prices) - 1)]

    def size(self, side: Side) -> int:
        """Return the number of levels of a side."""
        return len(self._prices[side])

    def quantity(self, side: Side, ticks: int) -> int:
        """Return the lots at a price."""
        return self._lots[side].get(ticks, 0)

    def set(self, side: Side, ticks: int, lots: int) -> None:
        """Change a level; 0 removes it. The last level of a side stays as it is."""
        levels, prices = self._lots[side], self._prices[side]
        if lots:
            if ticks not in levels:
                insort(prices, ticks)
            levels[ticks] = lots
        elif len(prices) > 1 and ticks in levels:
            del levels[ticks], prices[bisect_left(prices, ticks)]
        else:
            return
        self._changed[side][ticks] = None
        self.sequence += 1

    def take_changes(self) -> tuple[list[Level], list[Level]]:
        """Return the present quantities of the levels changed since last told, bids and asks."""
        bids, asks = (
            [(ticks, self._lots[side].get(ticks, 0)) for ticks in self._changed[side]] for side in (Side.BUY, Side.SELL)
        )
        self._changed = {side: {} for side in Side}
        return bids, asks

    def levels(self, side: Side) -> list[Level]:
        """Return all levels of a side, best first."""
        prices = self._prices[side]
        return [(ticks, self._lots[side][ticks]) for ticks in (reversed(prices) if side is Side.BUY else prices)]
