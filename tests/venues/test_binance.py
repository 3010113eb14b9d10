"""Binance's market data: every recorded message, the rule of a local book, and whatever else a peer may send."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.events import (
    FeedStatus,
    Malformed,
    MarketEvent,
    Quote,
    Side,
    Trade,
)
from market.instrument import Instrument
from venues.binance import BinanceFeed

CHANNELS = ("trade", "book", "quote")


@pytest.fixture
def feed(btc_usdt: Instrument) -> BinanceFeed:
    """A feed of all channels."""
    return BinanceFeed([btc_usdt], CHANNELS)


def stream(name: str, **data: object) -> bytes:
    """Return a combined-stream message as the venue writes it."""
    return json.dumps({"stream": f"btcusdt@{name}", "data": data}, separators=(",", ":")).encode()


def trade(**changes: object) -> bytes:
    fields = {"e": "trade", "E": 1723161255208, "s": "BTCUSDT", "t": 5, "p": "61837.63000000", "q": "0.00100000"}
    return stream("trade", **(fields | {"T": 1723161255207, "m": True, "M": True} | changes))


def quote(**changes: object) -> bytes:
    fields = {"u": 1, "s": "BTCUSDT", "b": "10.00", "B": "1.00000000", "a": "10.01", "A": "2.00000000"}
    return stream("bookTicker", **(fields | changes))


def depth(first: int, last: int, bid: str = "10.00", **changes: object) -> bytes:
    fields: dict[str, object] = {"e": "depthUpdate", "E": 1723161255208, "s": "BTCUSDT", "U": first, "u": last}
    return stream("depth@100ms", **(fields | {"b": [[bid, f"{last}.00000000"]], "a": []} | changes))


def kinds(events: Any) -> list[str]:  # noqa: ANN401 - any sequence of events
    """Name events by their class, and states by their name."""
    return [each.state.name if isinstance(each, FeedStatus) else type(each).__name__ for each in events]


# -- recordings -------------------------------------------------------------------------------------------------------


def test_every_recorded_message_is_understood(btc_usdt: Instrument, feed: BinanceFeed, recorded: list[bytes]) -> None:
    """41,248 stream messages and the snapshot: 9,757 trades, nothing malformed, no gap."""
    seen: Counter[str] = Counter()
    for payload in recorded:
        is_snapshot = payload.startswith(b'{"lastUpdateId"')
        events = feed.receive_snapshot(btc_usdt, payload) if is_snapshot else feed.receive(payload)
        seen.update(kinds(events))
        if not is_snapshot:
            assert btc_usdt.id == feed.instrument_id
    assert 41_249 == len(recorded)
    expected = {"Trade": 9_757, "Quote": 28_040, "BookSnapshot": 1, "SYNCING": 1, "SnapshotWanted": 1, "LIVE": 1}
    deltas = seen.pop("BookDelta")
    assert expected == seen
    # all but what the snapshot contained already
    assert 3_451 - sum(b'"U"' in each and last_id(each) <= 50_093_239_218 for each in recorded) == deltas


def last_id(payload: bytes) -> int:
    return int(json.loads(payload)["data"]["u"])


# -- trades and quotes ------------------------------------------------------------------------------------------------


def test_a_trade_is_exact(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """Ticks and lots of the decimal strings; the buyer as maker means that a seller took."""
    expected = Trade(btc_usdt, 6_183_763, 100_000, Side.SELL, 5, 1_723_161_255_208_000_000)
    assert (expected,) == feed.receive(trade())
    (other,) = feed.receive(trade(m=False))
    assert isinstance(other, Trade)
    assert other.aggressor is Side.BUY


@pytest.mark.parametrize("time", [1_723_161_255_208, 1_723_161_255_208_000])
def test_times_are_milliseconds_or_microseconds(feed: BinanceFeed, time: int) -> None:
    """`timeUnit=MICROSECOND` is asked for, and a server that does not know it sends milliseconds."""
    assert "timeUnit=MICROSECOND" in feed.target
    feed.receive(trade(E=time))
    assert 1_723_161_255_208_000_000 == feed.exchange_ns


def test_a_quote_has_no_time_and_may_have_an_empty_side(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """Spot's bookTicker carries no event time: it is absent, not zero."""
    (event,) = feed.receive(quote(b="0.00", B="0.00000000"))
    assert Quote(btc_usdt, 0, 0, 1001, 200_000_000, None) == event
    assert feed.exchange_ns is None


@pytest.mark.parametrize("message", [trade(), quote(), depth(5, 6)])
def test_key_order_and_white_space_do_not_matter(feed: BinanceFeed, message: bytes) -> None:
    """The short way to the stream's name is an optimisation only."""
    straight = feed.receive(message)
    content = json.loads(message)
    turned = {"data": dict(reversed(content["data"].items())), "stream": content["stream"]}
    for other in (json.dumps(content), json.dumps(content, indent=2), json.dumps(turned)):
        again = BinanceFeed([straight[0].instrument], CHANNELS)  # type: ignore[union-attr]
        assert straight == again.receive(other.encode())
        assert 7 == again.instrument_id


def test_unknown_fields_are_ignored(feed: BinanceFeed) -> None:
    """A venue adds fields when it likes."""
    assert feed.receive(trade()) == feed.receive(trade(new={"deep": [1, 2]}))


def test_the_answer_to_a_subscription_is_no_event(feed: BinanceFeed) -> None:
    """`{"result": null, "id": 1}`."""
    feed.receive(trade())
    assert () == feed.receive(b'{"result":null,"id":1}')
    assert (0, None) == (feed.instrument_id, feed.exchange_ns)


def test_a_feed_subscribes_to_what_it_was_asked_for(btc_usdt: Instrument) -> None:
    """One path with all streams."""
    assert (
        "/stream?streams=btcusdt@trade/btcusdt@depth@100ms&timeUnit=MICROSECOND"
        == BinanceFeed([btc_usdt], ("trade", "book")).target
    )


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"stream":"btcusdt@trade","data":' + b'{"a":' * 100_000,
        b'{"stream":"btcusdt@trade","data":{"new":' + b"[" * 100_000,
        b'{"stream":"btcusdt@trade"}',
        b'{"stream":"btcusdt@trade","data":null}',
        b'{"stream":7,"data":{}}',
        b'{"stream":"\\ud800","data":{}}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        trade()[:-1],
        trade() + b"}",
        trade(p=61837.63),
        trade(p="61837.635"),
        trade(p="-1.00"),
        trade(p="1e5"),
        trade(p="NaN"),
        trade(p=""),
        trade(p="9" * 40),
        trade(q="0.000000001"),
        trade(q=None),
        trade(t="5"),
        trade(m="true"),
        trade(E=-1),
        trade(E=2**63),
        trade(E=10**30),
        trade(E="1723161255208"),
        quote(b=None),
        quote(A="x"),
        depth(1, 2, bid="10.001"),
        depth(1, 2, b=[["10.00"]]),
        depth(1, 2, b=[["10.00", "1", "2"]]),
        depth(1, 2, b={}),
        depth(1, 2, U=None),
        trade().replace(b"btcusdt@trade", b"ethusdt@trade"),
        trade().replace(b"btcusdt@trade", b"btcusdt@kline"),
    ],
)
def test_what_cannot_be_understood_is_malformed(feed: BinanceFeed, payload: bytes) -> None:
    """One event that says why, with the beginning of the message; never an exception, and no time or instrument."""
    feed.receive(trade())
    (event,) = feed.receive(payload)
    assert isinstance(event, Malformed)
    assert event.reason
    assert payload[:200].decode(errors="replace") == event.excerpt
    assert (0, None) == (feed.instrument_id, feed.exchange_ns)


@pytest.mark.parametrize("cut", range(0, len(trade()), 7))
def test_a_truncated_trade_is_malformed(feed: BinanceFeed, cut: int) -> None:
    """Wherever it is cut."""
    assert ["Malformed"] == kinds(feed.receive(trade()[:cut]))


def checked(feed: BinanceFeed, events: Any) -> None:  # noqa: ANN401
    """Assert what holds of every answer: known events, and times and counts that the journal can hold."""
    for event in events:
        assert isinstance(event, MarketEvent)
        if isinstance(event, Trade):
            assert 0 <= event.price_ticks < 2**63
            assert 0 <= event.qty_lots < 2**63
    assert feed.exchange_ns is None or 0 <= feed.exchange_ns < 2**63
    assert feed.instrument_id in {0, 7}


@given(payload=st.binary(max_size=400))
def test_arbitrary_bytes_never_raise(btc_usdt: Instrument, payload: bytes) -> None:
    """As a message, behind a stream's name, and as a snapshot."""
    feed = BinanceFeed([btc_usdt], CHANNELS)
    for message in (payload, b'{"stream":"btcusdt@trade",' + payload, b'{"stream":"btcusdt@depth@100ms",' + payload):
        checked(feed, feed.receive(message))
    feed.receive(depth(1, 2))
    checked(feed, feed.receive_snapshot(btc_usdt, payload))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.from_regex(r"\A\d+\.\d+\Z"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("EstpqmUubBaA"), inner, max_size=6),
    max_leaves=12,
)


@given(name=st.sampled_from(["trade", "depth@100ms", "bookTicker", "kline"]), data=json_values)
def test_arbitrary_json_never_raises(btc_usdt: Instrument, name: str, data: object) -> None:
    """Under the names that messages have."""
    feed = BinanceFeed([btc_usdt], CHANNELS)
    checked(feed, feed.receive(json.dumps({"stream": f"btcusdt@{name}", "data": data}).encode()))


edits = st.tuples(st.integers(0, 2_000), st.integers(0, 2_000), st.integers(0, 4), st.binary(max_size=4))


@given(edits=st.lists(edits, min_size=1, max_size=3))
def test_mutated_real_messages_never_raise(
    btc_usdt: Instrument, recorded: list[bytes], edits: list[tuple[int, int, int, bytes]]
) -> None:
    """Bytes replaced, removed or inserted in messages that were really sent."""
    feed = BinanceFeed([btc_usdt], CHANNELS)
    for number, at, length, inserted in edits:
        original = recorded[number]
        start = at % len(original)
        message = original[:start] + inserted + original[start + length :]
        checked(feed, feed.receive(message))
        checked(feed, feed.receive_snapshot(btc_usdt, message))
