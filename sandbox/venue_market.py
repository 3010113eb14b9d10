"""One instrument's market inside the exchange: the published book, the matching engine, and the average price.

The published book is what depth requests answer: exactly the state after the depth updates played so far. The engine
has that liquidity too, less what own orders took, and lets every print of the market trade with the orders that rest.
"""

from collections import deque

from market.book import OrderBook
from market.events import BookDelta, BookSnapshot, Quote, Side, Trade
from market.instrument import Instrument
from market.matching import Fill, MatchingEngine

AVERAGE_SECONDS = 300  # avgPriceMins 5 in Binance's filters


class VenueMarket:
    """One listed instrument.

    Attributes:
        instrument: what is traded.
        engine: the own orders and the outside liquidity.
        book: the published book.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.engine = MatchingEngine(instrument)
        self.book = OrderBook(instrument)
        self._seconds: deque[tuple[int, int, int]] = deque()  # second, sum of price × quantity, sum of quantity
        self._notional = self._lots = 0  # the sums over all of them

    def reset(self, snapshot: BookSnapshot) -> list[Fill]:
        """Replace the published book, unless it is already past the snapshot.

        Returns:
            Fills of own orders that the new market crosses.
        """
        if snapshot.sequence <= self.book.sequence:
            return []
        self.book.reset(snapshot)
        self.engine.clear_liquidity()
        return self._set_levels(BookDelta(self.instrument, snapshot.bids, snapshot.asks, snapshot.sequence, None))

    def apply(self, event: Trade | Quote | BookDelta, now_s: int) -> list[Fill]:
        """Let the outside market act.

        A quote changes nothing: it repeats, ahead of the next depth update, what that will say.

        Args:
            event: what happened.
            now_s: Unix seconds, for the average price.

        Returns:
            Fills of own orders.
        """
        if isinstance(event, BookDelta):
            if event.sequence <= self.book.sequence:
                return []
            self.book.update(event)
            return self._set_levels(event)
        if isinstance(event, Trade):
            self._count(event.price_ticks * event.qty_lots, event.qty_lots, now_s)
            return self.engine.trade(event.price_ticks, event.qty_lots, event.aggressor)
        return []

    def average_ticks(self, now_s: int) -> int:
        """Return the volume-weighted price of the last five minutes, of the book's middle without trades, else 0."""
        seconds = self._seconds
        while seconds and seconds[0][0] <= now_s - AVERAGE_SECONDS:
            _, notional, lots = seconds.popleft()
            self._notional -= notional
            self._lots -= lots
        if self._lots:
            return self._notional // self._lots
        book = self.book
        return (book.bid_ticks + book.ask_ticks) // 2 if book.bid_ticks and book.ask_ticks else 0

    def _count(self, notional: int, lots: int, now_s: int) -> None:
        self._notional += notional
        self._lots += lots
        seconds = self._seconds
        if seconds and seconds[-1][0] == now_s:
            _, earlier_notional, earlier_lots = seconds.pop()
            notional, lots = notional + earlier_notional, lots + earlier_lots
        seconds.append((now_s, notional, lots))

    def _set_levels(self, delta: BookDelta) -> list[Fill]:
        """Removals first, so that a level that moved through the other side does not meet what has just left."""
        set_liquidity = self.engine.set_liquidity
        fills: list[Fill] = []
        for wanted in (False, True):
            for side, levels in ((Side.BUY, delta.bids), (Side.SELL, delta.asks)):
                for ticks, lots in levels:
                    if bool(lots) is wanted:
                        fills += set_liquidity(side, ticks, lots)
        return fills
