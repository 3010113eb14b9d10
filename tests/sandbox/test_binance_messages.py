"""Synthetic events as Binance's messages: they read back as what was meant, and depth updates form one chain."""

import json
from itertools import islice

from market.events import BookDelta, Quote, Trade
from sandbox.binance_messages import encode_market
from sandbox.binance_recording import BinanceRecording
from sandbox.binance_symbols import BTCUSDT
from sandbox.synthetic import SyntheticMarket


def test_messages_have_the_recorded_ones_fields(recordings) -> None:  # type: ignore[no-untyped-def]  # a pytest fixture
    """Field for field in the same order, so that a decoder meets what it meets in production."""
    session = BinanceRecording([recordings / "binance" / "spot_btcusdt_20240808.gz"], BTCUSDT)
    real = {e.stream: list(json.loads(e.payload(e.times_us))) for e in islice(session, 200) if hasattr(e, "stream")}
    ours = encode_market(SyntheticMarket(BTCUSDT, seed=1, rate=1.0))
    made = {entry.stream: list(json.loads(entry.payload(entry.times_us))) for entry in islice(ours, 200)}
    assert real == made


def test_messages_say_what_happened() -> None:
    """Numbers are the event's, and each depth update begins where the one before ended."""
    market = SyntheticMarket(BTCUSDT, seed=2, rate=1.0)
    last = market.snapshot().sequence
    for entry in islice(encode_market(market), 3000):
        message, event = json.loads(entry.payload(entry.times_us)), entry.event
        if isinstance(event, Trade):
            assert (event.trade_id, event.aggressor.name == "SELL") == (message["t"], message["m"])
            assert event.price_ticks == BTCUSDT.price.parse(message["p"])
            assert message["E"] == message["T"]
        elif isinstance(event, Quote):
            assert (event.bid_ticks, event.ask_lots) == (
                BTCUSDT.price.parse(message["b"]),
                BTCUSDT.qty.parse(message["A"]),
            )
        else:
            assert isinstance(event, BookDelta)
            assert last + 1 == message["U"]
            assert len(event.bids) == len(message["b"])
            last = message["u"]
