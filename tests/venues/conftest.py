"""The instrument that the venue tests trade, and the messages that were recorded of it."""

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from market.instrument import Instrument
from market.scale import Scale


@pytest.fixture(scope="session")
def btc_usdt() -> Instrument:
    """BTC-USDT as Binance describes it: ticks of 0.01, lots of the asset's last decimal."""
    price, qty = Scale(Decimal("0.01")), Scale(Decimal("0.00000001"))
    return Instrument(7, "BTC-USDT", "binance", "BTCUSDT", "BTC", "USDT", price, qty)


class Messages(list[bytes]):
    """Payloads that a failing test does not print by the megabyte."""

    def __repr__(self) -> str:
        return f"<{len(self)} messages>"


@pytest.fixture(scope="session")
def recorded(spot_recording: Path) -> Messages:
    """The payloads of the recorded spot messages, the REST snapshot among them."""
    with gzip.open(spot_recording) as lines:
        return Messages(line.split(b" ", 1)[1].rstrip() for line in lines)
