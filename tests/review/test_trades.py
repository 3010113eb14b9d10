"""Trades are counted by the venue's own decoder, whatever else goes by."""

import json
from typing import Any

import pytest

from review.trades import FeedEntry, TradeCounter
from venues.adapter import UnknownSymbol

ROUTE, FEED = 2, 3


def counter(description: dict[str, Any], channels: list[str]) -> TradeCounter:
    """Return a counter that knows BTC-USDT and its feed's connection."""
    counter = TradeCounter([FeedEntry("binance", ["BTC-USDT"], channels)])
    asked = {"purpose": "instrument", "feed": 0, "name": "BTC-USDT", "number": 1, "status": 200}
    counter.reply(json.dumps(asked).encode() + b"\n" + json.dumps(description).encode())
    counter.connected(FEED, 0)
    return counter


def test_only_trades_of_feeds_count(exchange_info: dict[str, Any], trade: bytes, quote: bytes) -> None:
    """Not quotes, not what cannot be read, not what came on another connection."""
    found = counter(exchange_info, ["trade", "quote"])
    for payload in (trade, quote, trade[:-20], b"", trade):
        found.inbound(FEED, payload)
    found.inbound(ROUTE, trade)
    assert 2 == found.trades


def test_a_feed_without_the_channel_has_none(exchange_info: dict[str, Any], trade: bytes) -> None:
    """The trader would not have understood it as a trade either."""
    found = counter(exchange_info, ["quote"])
    found.inbound(FEED, trade)
    assert 0 == found.trades


def test_a_snapshot_is_no_description(exchange_info: dict[str, Any], trade: bytes) -> None:
    """Other replies pass by, whatever their body."""
    found = counter(exchange_info, ["trade"])
    found.reply(b'{"purpose":"snapshot","feed":0,"instrument":1,"target":"/depth","status":200}\nnot JSON')
    found.inbound(FEED, trade)
    assert 1 == found.trades


def test_a_description_that_cannot_be_read_is_said(exchange_info: dict[str, Any]) -> None:
    """It is the venue's own words that are missing."""
    exchange_info["symbols"][0]["filters"] = []
    with pytest.raises(UnknownSymbol):
        counter(exchange_info, ["trade"])
