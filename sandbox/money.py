"""Exact amounts of money: whole units of 1e-8 of an asset, the finest that balances and commissions know."""

from decimal import Decimal
from functools import cache

from market.instrument import Instrument
from sandbox.errors import OptionsError

UNITS = 10**8
RATE_PARTS = 10**6  # a commission rate is a whole number of millionths


def whole_units(amount: Decimal) -> int:
    """Return an amount in units.

    Raises:
        OptionsError: it is negative or finer than a unit.
    """
    if not amount.is_finite() or amount < 0 or amount * UNITS != int(amount * UNITS):
        raise OptionsError(f"expected an amount of whole 1e-8 units, was {amount}")
    return int(amount * UNITS)


def rate_parts(rate: Decimal) -> int:
    """Return a commission rate in millionths.

    Raises:
        OptionsError: it is negative, 1 or more, or finer than a millionth.
    """
    if not rate.is_finite() or not 0 <= rate < 1 or rate * RATE_PARTS != int(rate * RATE_PARTS):
        raise OptionsError(f"expected a commission rate of whole millionths below 1, was {rate}")
    return int(rate * RATE_PARTS)


@cache
def lot_units(instrument: Instrument) -> int:
    """Return one lot in units of the base asset."""
    return int(instrument.qty.step * UNITS)


@cache
def tick_lot_units(instrument: Instrument) -> int:
    """Return one tick times one lot in units of the quote asset."""
    return int(instrument.price.step * instrument.qty.step * UNITS)
