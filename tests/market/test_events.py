"""The events' few own abilities."""

import gc
from decimal import Decimal

import pytest

from market.events import BookDelta, BookSnapshot, Quote, Side, Trade
from market.instrument import Instrument


def test_opposite_side() -> None:
    """Each side is the other's opposite."""
    assert [Side.SELL, Side.BUY] == [side.opposite for side in Side]


def test_trade_quantity_in_another_lot(btc_usdt: Instrument) -> None:
    """A trade tells its quantity in whole lots of another size, rounded down."""
    trade = Trade(btc_usdt, 6_183_763, 527, Side.BUY, 1, None)
    assert 527 == trade.qty_in(Decimal("0.00001"))
    assert 5 == trade.qty_in(Decimal("0.001"))


def test_events_are_immutable_and_untracked(btc_usdt: Instrument) -> None:
    """Nobody changes an event that others see too, and the garbage collector does not walk them."""
    for event in (
        Trade(btc_usdt, 1, 1, Side.BUY, 1, None),
        Quote(btc_usdt, 1, 1, 2, 1, None),
        BookSnapshot(btc_usdt, [], [], 1, None),
        BookDelta(btc_usdt, [], [], 1, None),
    ):
        with pytest.raises(AttributeError):
            event.exchange_ns = 1  # type: ignore[misc] # what must fail
        assert not gc.is_tracked(event)
