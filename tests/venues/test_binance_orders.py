"""Binance's order entry: requests that a second implementation of the signature accepts, and what hides their keys."""

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.events import Side
from market.instrument import Instrument
from market.orders import Order, OrderType, TimeInForce
from venues.adapter import Credentials
from venues.binance_orders import BinanceOrderEntry

# the pair that the venue publishes with its example of a signed request (websocket-api/request-security)
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
NOW_MS = 1645423376532


@pytest.fixture
def entry(btc_usdt: Instrument) -> BinanceOrderEntry:
    """A session with the documented credentials."""
    return BinanceOrderEntry([btc_usdt], Credentials(KEY, SECRET))


@pytest.fixture
def order(btc_usdt: Instrument) -> Order:
    """A limit order: buy 0.5 BTC at 52,000.00."""
    return limit(btc_usdt)


def limit(
    instrument: Instrument, side: Side = Side.BUY, time_in_force: TimeInForce = TimeInForce.GTC, ticks: int = 5_200_000
) -> Order:
    kind = OrderType.LIMIT if ticks else OrderType.MARKET
    return Order(1, "wsabc-1", 9, "mine", instrument, side, kind, 50_000_000, ticks, time_in_force)


def signature(params: dict[str, Any], secret: str = SECRET) -> str:
    """Compute a request's signature with the standard library's HMAC."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


# -- requests ---------------------------------------------------------------------------------------------------------


def test_the_documented_signature(entry: BinanceOrderEntry) -> None:
    """The venue's own example, to the digit."""
    query = (
        f"apiKey={KEY}&newOrderRespType=ACK&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT"
        f"&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
    )
    assert "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a" == entry._sign(query)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("time_in_force", list(TimeInForce))
def test_a_limit_order(entry: BinanceOrderEntry, btc_usdt: Instrument, side: Side, time_in_force: TimeInForce) -> None:
    """Exactly the documented parameters, in exact decimals, signed."""
    request = json.loads(entry.place(limit(btc_usdt, side, time_in_force), NOW_MS))
    params = request["params"]
    given_signature = params.pop("signature")
    assert ("wsabc-1", "order.place") == (request["id"], request["method"])
    assert {
        "apiKey": KEY,
        "newClientOrderId": "wsabc-1",
        "newOrderRespType": "FULL",
        "price": "52000.00",
        "quantity": "0.50000000",
        "recvWindow": 5000,
        "side": side.name,
        "symbol": "BTCUSDT",
        "timeInForce": time_in_force.name,
        "timestamp": NOW_MS,
        "type": "LIMIT",
    } == params
    assert signature(params) == given_signature


def test_a_market_order_has_neither_price_nor_time_in_force(entry: BinanceOrderEntry, btc_usdt: Instrument) -> None:
    """The venue refuses them there."""
    params = json.loads(entry.place(limit(btc_usdt, Side.SELL, ticks=0), NOW_MS))["params"]
    assert {"price", "timeInForce"}.isdisjoint(params)
    assert ("MARKET", "SELL", "0.50000000") == (params["type"], params["side"], params["quantity"])
    assert signature(params) == params["signature"]


def test_a_cancel_names_the_order(entry: BinanceOrderEntry, order: Order) -> None:
    """By the trader's own id, under a request id that cannot be taken for the order's."""
    request = json.loads(entry.cancel(order, NOW_MS))
    params = request["params"]
    assert ("cancel-wsabc-1", "order.cancel") == (request["id"], request["method"])
    assert {"apiKey", "origClientOrderId", "recvWindow", "signature", "symbol", "timestamp"} == params.keys()
    assert ("wsabc-1", "BTCUSDT", NOW_MS) == (params["origClientOrderId"], params["symbol"], params["timestamp"])
    assert signature(params) == params["signature"]


def test_a_session_subscribes_to_execution_reports(entry: BinanceOrderEntry) -> None:
    """With a signature, because HMAC keys cannot log on."""
    (payload,) = entry.session_requests(NOW_MS)
    request = json.loads(payload)
    assert "userDataStream.subscribe.signature" == request["method"]
    assert {"apiKey", "recvWindow", "signature", "timestamp"} == request["params"].keys()
    assert signature(request["params"]) == request["params"]["signature"]


@given(
    lots=st.integers(1, 2**62),
    ticks=st.integers(0, 2**62),
    secret=st.text("abcXYZ0189", max_size=200),
    now_ms=st.integers(1, 2**43),
)
def test_every_request_is_signed_over_what_it_says(
    btc_usdt: Instrument, lots: int, ticks: int, secret: str, now_ms: int
) -> None:
    """Also with secrets longer than a hash block; price and quantity come back exactly."""
    entry = BinanceOrderEntry([btc_usdt], Credentials("key", secret))
    kind = OrderType.LIMIT if ticks else OrderType.MARKET
    order = Order(1, "ws-1", 1, "s", btc_usdt, Side.BUY, kind, lots, ticks, TimeInForce.IOC)
    for request in (entry.place(order, now_ms), entry.cancel(order, now_ms), *entry.session_requests(now_ms)):
        params = json.loads(request)["params"]
        assert signature(params, secret) == params["signature"]
    params = json.loads(entry.place(order, now_ms))["params"]
    assert Decimal(lots).scaleb(-8) == Decimal(params["quantity"])
    assert Decimal(ticks).scaleb(-2) == Decimal(params.get("price", "0"))


def test_a_mask_hides_key_and_signature_and_nothing_else(entry: BinanceOrderEntry, order: Order) -> None:
    """At the same length, so that the journal's sizes and offsets hold."""
    for request in (entry.place(order, NOW_MS), entry.cancel(order, NOW_MS), *entry.session_requests(NOW_MS)):
        shown = entry.mask(request)
        given_params, shown_params = json.loads(request)["params"], json.loads(shown)["params"]
        assert len(request) == len(shown)
        assert KEY.encode() not in shown
        assert given_params["signature"].encode() not in shown
        assert ("*" * 64, "*" * 64) == (shown_params["apiKey"], shown_params["signature"])
        for each in (given_params, shown_params):
            del each["apiKey"], each["signature"]
        assert given_params == shown_params


def test_a_session_does_not_show_its_credentials(entry: BinanceOrderEntry) -> None:
    """Neither in its own representation nor in that of the credentials."""
    assert "BinanceOrderEntry(BTCUSDT)" == repr(entry)
    assert "Credentials()" == repr(Credentials(KEY, SECRET))
