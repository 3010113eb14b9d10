"""Synthetic events as Binance's messages: they read back as what was meant, and depth updates form one chain."""

import json
from collections.abc import Iterable
from itertools import islice, pairwise
from pathlib import Path

from market.book import OrderBook
from market.events import BookDelta, Quote, Trade
from sandbox.binance_messages import encode_market, with_slow_depth
from sandbox.binance_recording import BinanceRecording
from sandbox.binance_symbols import BTCUSDT
from sandbox.publication import Publication, Reset
from sandbox.synthetic import SyntheticMarket


def fields(entries: Iterable[Publication | Reset]) -> dict[str, list[str]]:
    messages = [entry for entry in islice(entries, 200) if isinstance(entry, Publication)]
    return {entry.stream: list(json.loads(entry.payload(entry.times_us))) for entry in messages}


def test_messages_have_the_recorded_ones_fields(spot_recording: Path) -> None:
    """Field for field in the same order, so that a decoder meets what it meets in production."""
    session = BinanceRecording([spot_recording], BTCUSDT)
    assert fields(session) == fields(encode_market(SyntheticMarket(BTCUSDT, seed=1, rate=1.0)))


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


def test_slow_depth_leads_to_the_same_book_once_a_second() -> None:
    """Chained without a gap, and after each update the book that the fast stream has built."""
    market = SyntheticMarket(BTCUSDT, seed=4, rate=1.0)
    fast, slow = OrderBook(BTCUSDT), OrderBook(BTCUSDT)
    seen: list[int] = []
    last = 0
    for entry in islice(with_slow_depth(encode_market(market)), 3000):
        if not isinstance(entry, Publication) or not isinstance(entry.event, BookDelta):
            continue
        if entry.stream != "btcusdt@depth":
            fast.update(entry.event)
            if not slow.sequence:
                slow.update(entry.event)
                last = slow.sequence
            continue
        message = json.loads(entry.payload(entry.times_us))
        assert last + 1 == message["U"]
        slow.update(entry.event)
        last = message["u"]
        seen.append(entry.at_ns)
        assert (fast.bids(), fast.asks(), fast.sequence) == (slow.bids(), slow.asks(), slow.sequence)
    assert len(seen) > 10
    assert {after - before for before, after in pairwise(seen)} == {1_000_000_000}
