"""The instrument that most tests of the domain trade."""

from decimal import Decimal

import pytest

from market.instrument import Instrument
from market.scale import Scale


@pytest.fixture(scope="session")
def btc_usdt() -> Instrument:
    """A spot instrument with ticks of 0.01 and lots of 0.00001."""
    price, qty = Scale(Decimal("0.01")), Scale(Decimal("0.00001"))
    return Instrument(1, "BTC-USDT", "binance", "BTCUSDT", "BTC", "USDT", price, qty)
