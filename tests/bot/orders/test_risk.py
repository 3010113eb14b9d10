"""The checks in front of every order: each limit from one step inside to one step outside, exact at any size."""

from collections.abc import Callable
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.orders.risk import Risk
from market.instrument import Instrument, OrderLimits
from market.scale import Scale

LIMITS = OrderLimits(
    min_price_ticks=100,
    max_price_ticks=10_000,
    qty_step_lots=5,
    min_qty_lots=10,
    max_qty_lots=1_000,
    max_market_qty_lots=500,
)


@pytest.fixture
def limited(make_instrument: Callable[..., Instrument]) -> Instrument:
    """An instrument with a limit of every kind but notionals."""
    return make_instrument(limits=LIMITS)


def refusal(
    instrument: Instrument, lots: int, limit: int = 1_000, reference: int = 0, most: str | None = None
) -> str | None:
    return Risk([instrument], None if most is None else Decimal(most)).refusal(instrument, lots, limit, reference)


@pytest.mark.parametrize("lots", [10, 15, 995, 1_000])
def test_a_quantity_within_its_limits(limited: Instrument, lots: int) -> None:
    """The limits themselves are allowed."""
    assert refusal(limited, lots) is None


@pytest.mark.parametrize("lots", [5, 9, 11, 14, 16, 999, 1_001, 1_005, 0, -10])
def test_a_quantity_outside_its_limits_or_between_two_steps(limited: Instrument, lots: int) -> None:
    """The refusal says what it was and what is allowed."""
    quantity = limited.qty.text(lots)
    assert f"quantity {quantity} is not within 0.00010 to 0.01000 in steps of 0.00005" == refusal(limited, lots)


def test_a_market_order_has_a_maximum_of_its_own(limited: Instrument) -> None:
    """Lower than that of limit orders, and never higher."""
    assert [None, None] == [refusal(limited, 500, 0, 1_000), refusal(limited, 505, 1_000)]
    assert "quantity 0.00505 is not within 0.00010 to 0.00500 in steps of 0.00005" == refusal(limited, 505, 0, 1_000)


def test_the_general_maximum_holds_for_market_orders(make_instrument: Callable[..., Instrument]) -> None:
    """Where the venue's market maximum is above it."""
    instrument = make_instrument(limits=OrderLimits(max_qty_lots=100, max_market_qty_lots=200))
    assert refusal(instrument, 100, 0, 1) is None
    assert refusal(instrument, 101, 0, 1)


@pytest.mark.parametrize("ticks", [100, 101, 9_999, 10_000])
def test_a_price_within_its_limits(limited: Instrument, ticks: int) -> None:
    """The limits themselves are allowed."""
    assert refusal(limited, 10, ticks) is None


@pytest.mark.parametrize("ticks", [99, 10_001, 1, -1])
def test_a_price_outside_its_limits(limited: Instrument, ticks: int) -> None:
    """The refusal says what it was and what is allowed."""
    assert f"price {limited.price.text(ticks)} is not within 1.00 to 100.00" == refusal(limited, 10, ticks)


@pytest.mark.parametrize("limit", [0, 1_000])
def test_the_configured_notional(instrument: Instrument, limit: int) -> None:
    """10.00 × 1 BTC is 10 USDT: allowed at 10, one lot more is not; market orders at the last price."""
    assert refusal(instrument, 100_000, limit, 1_000, "10") is None
    assert "notional 10.0001000 exceeds 10.0000000 USDT" == refusal(instrument, 100_001, limit, 1_000, "10")
    assert refusal(instrument, 100_000, limit and 1_001, 1_001, "10") is not None


def test_the_lower_of_two_maxima_holds(make_instrument: Callable[..., Instrument]) -> None:
    """The venue's and the configuration's."""
    instrument = make_instrument(limits=OrderLimits(max_notional=Decimal(5)))
    assert [None, None] == [refusal(instrument, 50_000, most="10"), refusal(instrument, 50_000)]
    assert refusal(instrument, 50_001, most="10")
    assert refusal(instrument, 20_001, most="2")


@pytest.mark.parametrize("floor", ["5", "5.0000001", "4.99999990000001"])
def test_the_least_notional(make_instrument: Callable[..., Instrument], floor: str) -> None:
    """Rounded up where it is no whole number of ticks times lots."""
    instrument = make_instrument(limits=OrderLimits(min_notional=Decimal(floor)))
    for lots in range(49_995, 50_006):
        expected = Decimal("10.00") * lots * Decimal("0.00001") >= Decimal(floor)
        assert expected is (refusal(instrument, lots) is None)


def test_a_market_order_without_a_price_cannot_be_valued(instrument: Instrument) -> None:
    """Where a maximum is set it is refused, else there is nothing to check."""
    assert "no price is known yet to value a market order" == refusal(instrument, 1, 0, 0, "1000")
    assert refusal(instrument, 1, 0, 0) is None


def test_an_instrument_without_limits_takes_any_positive_order(instrument: Instrument) -> None:
    """None is no limit."""
    assert [None, None] == [refusal(instrument, 1, 1), refusal(instrument, 2**62, 2**62)]
    assert refusal(instrument, 0)
    assert refusal(instrument, -1)


steps = st.sampled_from([Decimal(text) for text in ("0.01", "0.25", "1", "0.00000001", "5", "0.000003")])
amounts = st.decimals(min_value=0, max_value=Decimal("1e12"), allow_nan=False, places=9)


@given(tick=steps, lot=steps, lots=st.integers(1, 2**62), ticks=st.integers(1, 2**62), amount=amounts)
def test_notionals_are_exact(tick: Decimal, lot: Decimal, lots: int, ticks: int, amount: Decimal) -> None:
    """The answer is that of decimals with as many digits as it takes, at any size and step."""
    with localcontext(prec=200):
        value = ticks * tick * lots * lot
        scales = Scale(tick), Scale(lot)
        for least, most in ((amount, None), (None, amount), (value, value)):
            if most is not None and not most:
                continue
            limits = OrderLimits(min_notional=least, max_notional=most)
            instrument = Instrument(1, "A-B", "binance", "AB", "A", "B", *scales, limits)
            allowed = (least is None or value >= least) and (most is None or value <= most)
            assert allowed is (Risk([instrument]).refusal(instrument, lots, ticks, 0) is None)
