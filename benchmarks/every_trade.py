"""The benchmark's strategy: every trade causes one market order of 0.001 BTC, buying and selling in turn."""

from decimal import Decimal

from bot.strategy import Context, Strategy, Trade

QUANTITY = Decimal("0.001")


class EveryTrade(Strategy):
    """Sell and buy in turn, so that the position stays within one order."""

    _sell = False

    def on_trade(self, trade: Trade, ctx: Context) -> None:
        """Send one order."""
        self._sell = not self._sell
        if self._sell:
            ctx.sell(trade.instrument, QUANTITY)
        else:
            ctx.buy(trade.instrument, QUANTITY)
