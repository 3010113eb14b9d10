"""VolumeModulo: which remainder buys and which sells."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.strategy import Trade
from market.events import Side
from market.orders import OrderType
from strategies.volume_modulo import VolumeModulo

if TYPE_CHECKING:
    from conftest import FakeContext

BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("lots", "sides"),
    [(0, [SELL]), (17, [SELL]), (31, [BUY]), (527, [SELL]), (1, []), (34, [SELL]), (62, [BUY]), (528, []), (526, [])],
)
def test_sells_at_multiples_of_17_first_and_buys_at_multiples_of_31(
    lots: int, sides: list[Side], ctx: "FakeContext", trade: Callable[..., Trade]
) -> None:
    """0 and 527 = 17 × 31 are multiples of both: sell is tested first."""
    VolumeModulo(VolumeModulo.Params()).on_trade(trade(qty_lots=lots), ctx)
    assert sides == [order.side for order in ctx.orders]


def test_orders_are_market_orders_of_the_configured_quantity(ctx: "FakeContext", trade: Callable[..., Trade]) -> None:
    """The default of 0.001 BTC is 100 lots of 0.00001."""
    VolumeModulo(VolumeModulo.Params()).on_trade(trade(qty_lots=17), ctx)
    (order,) = ctx.orders
    assert (OrderType.MARKET, 100, 0) == (order.order_type, order.qty_lots, order.price_ticks)


def test_volume_is_counted_in_the_configured_lot(ctx: "FakeContext", trade: Callable[..., Trade]) -> None:
    """1,700 of the venue's lots are 17 lots of 0.001; 1,799 are 17 whole ones as well."""
    strategy = VolumeModulo(VolumeModulo.Params(lot=Decimal("0.001"), buy_modulus=1000))
    for qty_lots in (1700, 1799, 1800):
        strategy.on_trade(trade(qty_lots=qty_lots), ctx)
    assert [SELL, SELL] == [order.side for order in ctx.orders]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lots=st.integers(0, 2**62), sell=st.integers(1, 10**6), buy=st.integers(1, 10**6))
def test_the_rule_holds_for_any_volume_and_moduli(
    ctx: "FakeContext", trade: Callable[..., Trade], lots: int, sell: int, buy: int
) -> None:
    """Against the rule written with Decimal remainders of the volume in base currency."""
    ctx.orders.clear()
    VolumeModulo(VolumeModulo.Params(sell_modulus=sell, buy_modulus=buy)).on_trade(trade(qty_lots=lots), ctx)
    unit = Decimal("0.00001")
    volume = lots * unit
    expected = [SELL] if volume % (sell * unit) == 0 else [BUY] if volume % (buy * unit) == 0 else []
    assert expected == [order.side for order in ctx.orders]


@pytest.mark.parametrize(
    "bad", [{"sell_modulus": 0}, {"buy_modulus": -1}, {"lot": "0"}, {"quantity": "-0.1"}, {"moduls": 3}]
)
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    """The error names the key."""
    with pytest.raises(ValidationError, match=next(iter(bad))):
        VolumeModulo.Params.model_validate(bad)
