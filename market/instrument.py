"""What can be traded: one name for the project, the venue's own symbol, exact scales and the venue's order filters."""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from market.scale import Scale, ScaleError


@dataclass(frozen=True, slots=True)
class OrderLimits:
    """A venue's filters on one order, in whole ticks and lots; None where the venue sets no limit.

    An order's quantity must be a multiple of `qty_step_lots`. The lot of an instrument is finer than that step: books
    hold old quantities that no new order may have (Binance showed 244.56630400 BTC at a step of 0.00001).

    `min_notional` and `max_notional` are in the quote currency. `max_open_orders` counts the account's resting orders.
    """

    min_price_ticks: int = 1
    max_price_ticks: int | None = None
    qty_step_lots: int = 1
    min_qty_lots: int = 1
    max_qty_lots: int | None = None
    max_market_qty_lots: int | None = None
    min_notional: Decimal | None = None
    max_notional: Decimal | None = None
    max_open_orders: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One tradable instrument of one venue; compared and hashed by identity.

    Attributes:
        id: the number that stamps, orders and journal rows carry; unique within a run, from 1.
        name: the project's name, `BTC-USDT` for spot.
        venue: the adapter's name, `binance`.
        symbol: the venue's own identifier, `BTCUSDT`.
        base, quote: the currencies; a price is quote per base.
        price: the scale of prices, in ticks.
        qty: the scale of quantities, in lots.
        limits: the venue's filters on one order.
    """

    id: int
    name: str
    venue: str
    symbol: str
    base: str
    quote: str
    price: Scale
    qty: Scale
    limits: OrderLimits = OrderLimits()
    _lot_ratios: dict[Decimal, tuple[int, int]] = field(default_factory=dict, repr=False)

    def notional(self, price_ticks: int, qty_lots: int) -> Decimal:
        """Return price times quantity in the quote currency, exact at any size."""
        units = price_ticks * qty_lots * self.price.units * self.qty.units
        return Decimal(f"{units}E-{self.price.decimals + self.qty.decimals}")

    def notional_units(self, amount: Decimal) -> int:
        """Return how many whole tick-lots (one tick times one lot) an amount of quote currency holds, rounded down."""
        return Fraction(amount) // (Fraction(self.price.step) * Fraction(self.qty.step))

    def qty_in(self, qty_lots: int, lot: Decimal) -> int:
        """Convert a quantity to whole multiples of another lot size, rounded down.

        Args:
            qty_lots: quantity in this instrument's lots.
            lot: the wanted lot size in base currency, for example `Decimal("0.00001")`.

        Returns:
            The number of wanted lots, exact when `lot` divides the instrument's own.

        Raises:
            ScaleError: the lot is not positive.
        """
        ratio = self._lot_ratios.get(lot)
        if ratio is None:
            if not lot.is_finite() or lot <= 0:
                raise ScaleError(f"a lot must be positive, was {lot}")
            fraction = Fraction(self.qty.step) / Fraction(lot)
            ratio = self._lot_ratios[lot] = (fraction.numerator, fraction.denominator)
        return qty_lots * ratio[0] // ratio[1]
