"""Notionals and lot conversions of an instrument."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.instrument import Instrument
from market.scale import ScaleError

counts = st.integers(0, 10**13)


@given(price_ticks=counts, qty_lots=counts)
def test_notional_is_exact(btc_usdt: Instrument, price_ticks: int, qty_lots: int) -> None:
    """Price times quantity, with no digit lost."""
    expected = Fraction(price_ticks, 100) * Fraction(qty_lots, 100_000)
    assert expected == Fraction(btc_usdt.notional(price_ticks, qty_lots))


@given(tick_lots=st.integers(0, 10**20), part=st.integers(0, 99))
def test_notional_units_round_down(btc_usdt: Instrument, tick_lots: int, part: int) -> None:
    """An amount holds the whole tick-lots of 0.0000001 that fit into it; a part of one does not count."""
    amount = (Decimal(tick_lots) + Decimal(part) / 100) * Decimal("0.0000001")
    assert tick_lots == btc_usdt.notional_units(amount)


@given(qty_lots=counts, lot=st.decimals("0.00000001", "10", places=8))
def test_qty_in_rounds_down(btc_usdt: Instrument, qty_lots: int, lot: Decimal) -> None:
    """The whole number of other lots that fit, against fractions."""
    expected = Fraction(qty_lots, 100_000) // Fraction(lot)
    assert expected == btc_usdt.qty_in(qty_lots, lot) == btc_usdt.qty_in(qty_lots, lot)


def test_qty_in_has_no_float_error(btc_usdt: Instrument) -> None:
    """0.00527 BTC is 527 lots of 0.00001, where float division gives 526.99…."""
    assert 527 == btc_usdt.qty_in(btc_usdt.qty.parse("0.00527"), Decimal("0.00001"))


@pytest.mark.parametrize("lot", ["0", "-0.1", "NaN", "Infinity"])
def test_qty_in_refuses_an_impossible_lot(btc_usdt: Instrument, lot: str) -> None:
    """A lot must be positive and finite."""
    with pytest.raises(ScaleError, match=f"was {lot}"):
        btc_usdt.qty_in(1, Decimal(lot))


def test_compared_by_identity(btc_usdt: Instrument) -> None:
    """Two instruments with equal fields are two instruments, so that one can be a key at no cost."""
    twin = Instrument(1, "BTC-USDT", "binance", "BTCUSDT", "BTC", "USDT", btc_usdt.price, btc_usdt.qty)
    assert btc_usdt != twin
    assert 2 == len({btc_usdt, twin})
