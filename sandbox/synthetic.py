"""A synthetic market of one instrument: clustered orders, a book that answers them, quotes and depth that agree.

Seeded and deterministic: it reads no clock, and the same seed gives the same events for ever.

Numbers come from `benchmarks/calibrate_synthetic.py` on 5.8 minutes of Binance spot BTCUSDT (2024-08-08 23:54 UTC,
9,757 trades, 28,040 quotes, 3,451 depth updates), which prints them beside the same measures of this market.

- *Arrivals*: aggressive orders (prints of one millisecond and one side) came 9.37 a second with Fano factors of 4.9,
  13.4 and 25.5 over 0.1, 1 and 10 s. A Hawkes process with kernel nβ·exp(−βt) and branching ratio n has the Fano factor
  F(w) = F∞ + (1 − F∞)(1 − exp(−gw))/(gw), F∞ = 1/(1−n)², g = β(1−n) (Hawkes 1971): F∞ = 25.5 gives n = 0.80, and
  F(0.1) = 4.9 then g = 3.6/s, β = 18/s. Book changes (8.7 quotes an order) follow the same intensity and add nothing.
- *Sizes, counts, distances*: quantile tables, interpolated in the logarithm.
- *Sides*: an order has the side of the one before with probability 0.68.
- *Spread*: one tick in 88 % of the quotes; 9.5 % of the quotes change a best price. `LEAVES` and `CLOSES` are not
  measured: they were set by hand so that both come out near that.
- *Depth*: every 100 ms; 48 % of the changed levels are removals.

Over 1,500 s and three seeds it makes 9.0 to 9.4 orders a second. One decay rate cannot fit all three windows: over 1 s
its Fano factor is near 20. What it does not have: trends, news, a daily pattern, or a reaction to own orders.
"""

import math
import random
from collections.abc import Iterator

from msgspec import Struct

from market.events import BookDelta, BookSnapshot, Quote, Side, Trade
from market.instrument import Instrument
from sandbox.errors import OptionsError
from sandbox.synthetic_book import SyntheticBook

PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)  # of all tables
PRINTS_PER_ORDER = (1, 1, 1, 1, 2, 10, 24, 149)
PRINT_LOTS = (30, 90, 110, 600, 13290, 100000, 324132, 763107)
BEST_LOTS = (90, 170, 165907, 1080870, 2762350, 4656633, 6092470, 7100692)
LEVEL_LOTS = (90, 90, 190, 1545, 48980, 661339, 1554497, 4037407)
LEVEL_GAP_TICKS = (1, 1, 5, 12, 31, 72, 110, 181)
CHANGED_LEVELS = (2, 4, 9, 16, 31, 132, 388, 728)
CHANGE_DISTANCE_TICKS = (9, 136, 1000, 3057, 9097, 134610, 617432, 3945424)

ORDERS_PER_S = 9.37
BRANCHING = 0.80
DECAY_PER_S = 18.0
QUOTES_PER_ORDER = 8.7
CHANGES_PER_ORDER = QUOTES_PER_ORDER - 1  # an order makes a quote itself
SAME_SIDE = 0.68
REMOVED = 0.48
LEAVES = 0.045  # of book changes take the best level away
CLOSES = 0.55  # of book changes narrow a spread of more than a tick
LEVELS = 1000
START_TICKS = 6_183_763
DEPTH_NS = 100_000_000


class Step(Struct, frozen=True, gc=False):
    """One event of the market.

    Attributes:
        at_ns: time since the market's beginning.
        sequence: number of the last change to the book, counting every change of a level.
        event: what happened.
    """

    at_ns: int
    sequence: int
    event: Trade | Quote | BookDelta


class SyntheticMarket:
    """An endless market. Iterate it once; `snapshot` tells the book at the present step.

    Args:
        instrument: what is traded, with lots of 1e-6 and ticks of 0.01 as in the recording.
        seed: of the random numbers.
        rate: how many times as many events a second as recorded.

    Raises:
        OptionsError: the rate is not positive.
    """

    def __init__(self, instrument: Instrument, *, seed: int, rate: float) -> None:
        if not 0 < rate < math.inf:
            raise OptionsError(f"expected a rate above 0, was {rate}")
        self._instrument = instrument
        self._random = random.Random(seed)  # noqa: S311 - a market, not a secret
        self._rate = rate
        self._book = SyntheticBook(START_TICKS)
        self._trade_id = 0
        self._side = Side.BUY
        for side in Side:
            ticks = self._book.best(side)
            for _ in range(LEVELS):
                ticks += -side_sign(side) * self._draw(LEVEL_GAP_TICKS)
                self._book.set(side, ticks, self._lots(LEVEL_LOTS))
        self._book.take_changes()

    def snapshot(self) -> BookSnapshot:
        """Return the whole book."""
        book = self._book
        return BookSnapshot(self._instrument, book.levels(Side.BUY), book.levels(Side.SELL), book.sequence, None)

    def __iter__(self) -> Iterator[Step]:
        """Run the market: Ogata's thinning of the Hawkes process (Ogata 1981)."""
        base = ORDERS_PER_S * (1 - BRANCHING)
        excited = ORDERS_PER_S * BRANCHING
        now_s = 0.0
        depth_ns = DEPTH_NS
        while True:
            bound = (base + excited) * (1 + CHANGES_PER_ORDER)
            wait_s = self._random.expovariate(bound)
            now_s += wait_s
            excited *= math.exp(-DECAY_PER_S * wait_s)
            now_ns = int(now_s * 1e9)
            while depth_ns <= now_ns:
                yield from self._depth(depth_ns)
                depth_ns += DEPTH_NS
            accepted = self._random.random() * bound
            intensity = base + excited
            if accepted < intensity:
                excited += BRANCHING * DECAY_PER_S
                yield from self._order(now_ns)
            elif accepted < intensity * (1 + CHANGES_PER_ORDER):
                self._change_top()
                yield self._quote(now_ns)

    def _order(self, now_ns: int) -> Iterator[Step]:
        if self._random.random() > SAME_SIDE:
            self._side = self._side.opposite
        book, side = self._book, self._side
        top = (book.best(side.opposite), book.quantity(side.opposite, book.best(side.opposite)))
        for _ in range(self._draw(PRINTS_PER_ORDER)):
            ticks = book.best(side.opposite)
            standing = book.quantity(side.opposite, ticks)
            lots = min(self._lots(PRINT_LOTS), standing)
            book.set(side.opposite, ticks, standing - lots)
            self._trade_id += 1
            yield self._step(now_ns, Trade(self._instrument, ticks, lots, side, self._trade_id, None))
        if top != (book.best(side.opposite), book.quantity(side.opposite, book.best(side.opposite))):
            yield self._quote(now_ns)

    def _change_top(self) -> None:
        """Somebody else's limit order comes or goes at the top of a side."""
        book = self._book
        side = Side.BUY if self._random.random() < 0.5 else Side.SELL
        best, other = book.best(side), book.best(side.opposite)
        chance = self._random.random()
        if abs(other - best) > 1 and chance < CLOSES:
            book.set(side, other - side_sign(side), self._lots(BEST_LOTS))
        elif chance > 1 - LEAVES:
            book.set(side, best, 0)
        else:
            book.set(side, best, self._lots(BEST_LOTS))

    def _depth(self, at_ns: int) -> Iterator[Step]:
        """Change the book behind its top, then tell everything that changed in the last 100 ms."""
        book = self._book
        for _ in range(self._draw(CHANGED_LEVELS) - book.changed):
            side = Side.BUY if self._random.random() < 0.5 else Side.SELL
            distance = self._draw(CHANGE_DISTANCE_TICKS)
            ticks = book.best(side) - side_sign(side) * distance
            if self._random.random() < REMOVED and book.size(side) > LEVELS // 2:
                nearest = book.nearest(side, ticks)
                if nearest != book.best(side):
                    book.set(side, nearest, 0)
            elif ticks > 0:
                book.set(side, ticks, self._lots(LEVEL_LOTS))
        for side in Side:
            while book.size(side) > 2 * LEVELS:
                book.set(side, book.worst(side), 0)
        bids, asks = book.take_changes()
        if bids or asks:
            yield self._step(at_ns, BookDelta(self._instrument, bids, asks, book.sequence, None))

    def _quote(self, now_ns: int) -> Step:
        book = self._book
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        bid_lots, ask_lots = book.quantity(Side.BUY, bid), book.quantity(Side.SELL, ask)
        return self._step(now_ns, Quote(self._instrument, bid, bid_lots, ask, ask_lots, None))

    def _step(self, at_ns: int, event: Trade | Quote | BookDelta) -> Step:
        return Step(int(at_ns / self._rate), self._book.sequence, event)

    def _lots(self, table: tuple[int, ...]) -> int:
        """Draw a quantity, in multiples of ten lots."""
        return max(self._draw(table) // 10, 1) * 10

    def _draw(self, table: tuple[int, ...]) -> int:
        chance = self._random.random()
        if chance <= PROBABILITIES[0]:
            return table[0]
        for index, probability in enumerate(PROBABILITIES):
            if chance <= probability:
                part = (chance - PROBABILITIES[index - 1]) / (probability - PROBABILITIES[index - 1])
                return int(table[index - 1] * (table[index] / table[index - 1]) ** part)
        return table[-1]


def side_sign(side: Side) -> int:
    """Return +1 for a side whose better prices are higher, −1 for the other."""
    return 1 if side is Side.BUY else -1
