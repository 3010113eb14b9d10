"""The demonstration strategy: trades on a remainder of the last trade's volume, so that anybody can check each order.

Owns no state. It predicts nothing; it makes orders whose cause can be read off the message that caused them.
"""

from decimal import Decimal

from pydantic import Field, PositiveInt

from bot.strategy import Context, Strategy, StrategyParams, Trade


class VolumeModulo(Strategy):
    """Sells when the trade's volume in lots is a multiple of one number, else buys when it is one of another.

    Multiples of both sell: sell is tested first. Volumes are whole numbers of `lot`, as binary floats have no reliable
    remainder: `0.00527 % 0.00017` is not 0.
    """

    class Params(StrategyParams):
        """Parameters.

        Attributes:
            sell_modulus: sell at multiples of this many lots.
            buy_modulus: buy at multiples of this many lots.
            lot: what volume is counted in, base currency.
            quantity: how much each market order is for, base currency.
        """

        sell_modulus: PositiveInt = 17
        buy_modulus: PositiveInt = 31
        lot: Decimal = Field(default=Decimal("0.00001"), gt=0)
        quantity: Decimal = Field(default=Decimal("0.001"), gt=0)

    params: Params

    def on_trade(self, trade: Trade, ctx: Context) -> None:
        """Test the volume, sell first."""
        lots = trade.qty_in(self.params.lot)
        if lots % self.params.sell_modulus == 0:
            ctx.sell(trade.instrument, self.params.quantity)
        elif lots % self.params.buy_modulus == 0:
            ctx.buy(trade.instrument, self.params.quantity)
