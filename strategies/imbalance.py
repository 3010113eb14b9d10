"""A position in the direction in which the order book leans."""

from typing import Any

from pydantic import Field, NonNegativeFloat

from bot.strategy import Context, OrderBook, Strategy
from market.instrument import Instrument
from strategies.position import OnePosition, PositionParams


class BookImbalance(Strategy):
    """Buys while much more is bid than asked at the top of the book, and sells while much more is asked.

    With the quantities Q of the best `levels` levels of each side,

        ρ = (Q_bid − Q_ask) / (Q_bid + Q_ask),   −1 ≤ ρ ≤ 1

    smoothed over book updates as s ← s + w·(ρ − s), w = 1 − 2^(−1/half_life), or s = ρ where `half_life` is 0. It opens
    a position at |s| ≥ entry in the direction of s and closes it when |s| has fallen to `exit` or s has turned.
    Sources: Gould and Bonart 2016, "Queue Imbalance as a One-Tick-Ahead Price Predictor in a Limit Order Book", Market
    Microstructure and Liquidity 2(2) (ρ of the best level; a large one predicts the next change of the mid-price);
    Cartea, Donnelly, Jaimungal 2018, "Enhancing trading strategies with order book signals", Applied Mathematical
    Finance 25(1), 1-35 (ρ as the sign of the next market order). What they found is weakest where the tick is small
    against the spread, as on BTC-USDT: deeper `levels` and a `half_life` are there for that.

    Q are exact integers, ρ is one division, and s is a convex combination of values in [−1, 1]: it forgets old rounding
    errors as it forgets old books. O(1) per update, O(levels) where `levels` is not 1.
    """

    class Params(PositionParams):
        """Parameters (and those of `PositionParams`).

        Attributes:
            levels: how many price levels of each side are counted.
            half_life: after how many book updates an observation weighs half, 0 for no smoothing.
            entry: |s| from which a position is opened, at most 1.
            exit: |s| at which it is closed.
        """

        levels: int = Field(default=1, ge=1, le=50)
        half_life: NonNegativeFloat = 4.0
        entry: float = Field(default=0.6, gt=0, le=1)
        exit: NonNegativeFloat = 0.2

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._levels = params.levels
        self._weight = 1 - 2 ** (-1 / params.half_life) if params.half_life else 1.0
        self._saved: dict[str, float] = {}
        self._smoothed: dict[Instrument, float] = {}
        self._positions: dict[Instrument, OnePosition] = {}

    def on_start(self, ctx: Context) -> None:
        """Prepare a position for each instrument, so that a quantity that does not fit its lots shows at once."""
        self._positions = {instrument: OnePosition(self.params, instrument) for instrument in ctx.instruments}

    def on_book(self, book: OrderBook, ctx: Context) -> None:
        """Bring the position to what the book's imbalance asks for; a book without two sides says nothing."""
        if not (book.bid_lots and book.ask_lots):
            return
        instrument = book.instrument
        imbalance = self._imbalance(book)
        smoothed = self._smoothed.get(instrument)
        if smoothed is None:
            smoothed = self._saved.pop(f"{instrument.venue}:{instrument.name}", imbalance)
        smoothed += self._weight * (imbalance - smoothed)
        self._smoothed[instrument] = smoothed
        self._positions[instrument].follow(smoothed, ctx)

    def _imbalance(self, book: OrderBook) -> float:
        bid_lots, ask_lots = book.bid_lots, book.ask_lots
        if self._levels > 1:
            bid_lots = sum([lots for _, lots in book.bids(self._levels)])
            ask_lots = sum([lots for _, lots in book.asks(self._levels)])
        return (bid_lots - ask_lots) / (bid_lots + ask_lots)

    def save(self) -> dict[str, Any]:
        """Return the smoothed imbalances by venue and instrument."""
        smoothed = {f"{each.venue}:{each.name}": value for each, value in self._smoothed.items()}
        return {"smoothed": self._saved | smoothed}

    def load(self, state: dict[str, Any]) -> None:
        """Take over the smoothed imbalances."""
        self._saved = dict(state["smoothed"])
        self._smoothed.clear()
