"""Mean reversion on a rolling z-score of trade prices."""

from math import sqrt
from typing import Any, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from bot.strategy import Context, Strategy, Trade
from market.instrument import Instrument
from strategies.moments import RollingMoments
from strategies.position import OnePosition, PositionParams


class ZScoreReversion(Strategy):
    """Buys what is unusually cheap and sells what is unusually dear, compared with its own last trades.

    With the mean and the population standard deviation σ of the last `window` trade prices x, the present one included,

        z = (x − mean) / σ

    it opens a long position at z ≤ −entry and a short one at z ≥ entry, and closes them when |z| has come back to
    `exit`. Time is counted in trades. Source: the s-score with an outer threshold to open and an inner one to close, in
    Avellaneda and Lee 2010, "Statistical arbitrage in the US equities market", Quantitative Finance 10(7), 761-782;
    here on a price itself instead of a regression's residual. O(1) per trade and exact: see `strategies.moments`.
    """

    class Params(PositionParams):
        """Parameters (and those of `PositionParams`).

        Attributes:
            window: how many trades the statistics are of; nothing is ordered before that many were seen.
            entry: |z| from which a position is opened, standard deviations; less than z's bound √(window − 1).
            exit: |z| at which it is closed, standard deviations.
        """

        window: int = Field(default=256, ge=2, le=1_000_000)
        entry: PositiveFloat = 2.0
        exit: NonNegativeFloat = 0.5

        @model_validator(mode="after")
        def _entry_within_reach(self) -> Self:
            reach = sqrt(self.window - 1)
            if self.entry >= reach:
                raise ValueError(f"entry must be less than √(window − 1) = {reach:.3f}, was {self.entry}")
            return self

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._saved: dict[str, list[int]] = {}
        self._tracks: dict[Instrument, tuple[RollingMoments, OnePosition]] = {}

    def on_start(self, ctx: Context) -> None:
        """Prepare a window for each instrument."""
        for instrument in ctx.instruments:
            self._tracks[instrument] = self._track(instrument)

    def on_trade(self, trade: Trade, ctx: Context) -> None:
        """Score the price against its window and bring the position to what the score asks for."""
        moments, position = self._tracks[trade.instrument]
        moments.push(trade.price_ticks)
        if moments.is_full:
            position.follow(-moments.zscore(trade.price_ticks), ctx)

    def _track(self, instrument: Instrument) -> tuple[RollingMoments, OnePosition]:
        prices = self._saved.pop(f"{instrument.venue}:{instrument.name}", ())
        return RollingMoments(self.params.window, prices), OnePosition(self.params, instrument)

    def save(self) -> dict[str, Any]:
        """Return the windows, prices in ticks, oldest first, by venue and instrument."""
        windows = {f"{each.venue}:{each.name}": list(moments.values) for each, (moments, _) in self._tracks.items()}
        return {"windows": self._saved | windows}

    def load(self, state: dict[str, Any]) -> None:
        """Take over the windows; a shorter `window` keeps the latest prices of each, a longer one fills up first."""
        self._saved = dict(state["windows"])
        self._tracks = {instrument: self._track(instrument) for instrument in self._tracks}
