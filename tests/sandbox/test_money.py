"""Amounts are whole units or refused."""

from decimal import Decimal

import pytest

from sandbox.binance_symbols import BTCUSDT
from sandbox.errors import OptionsError
from sandbox.money import lot_units, rate_parts, tick_lot_units, whole_units


def test_amounts_are_exact() -> None:
    """A tick times a lot is one unit of the quote asset, a lot a hundred of the base asset."""
    assert whole_units(Decimal("1.00000001")) == 100_000_001
    assert (tick_lot_units(BTCUSDT), lot_units(BTCUSDT)) == (1, 100)
    assert rate_parts(Decimal("0.001")) == 1000


@pytest.mark.parametrize("amount", ["-1", "0.000000001", "NaN", "Infinity"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    """Negative, finer than a unit, or no number."""
    with pytest.raises(OptionsError, match="expected an amount"):
        whole_units(Decimal(amount))


@pytest.mark.parametrize("rate", ["-0.1", "1", "0.0000001", "NaN"])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    """Negative, everything or more, or finer than a millionth."""
    with pytest.raises(OptionsError, match="expected a commission rate"):
        rate_parts(Decimal(rate))
