"""Signatures of the venue's own examples, and freshness at its limits."""

import hashlib
import hmac

import pytest

from sandbox.accounts import Account
from sandbox.binance_errors import ApiError
from sandbox.binance_signing import authenticate, rest_payload, websocket_payload

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ACCOUNTS = {KEY: Account(KEY, SECRET)}
NOW_US = 1_645_423_376_532_000
EXAMPLE = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
    "price": "52000.00", "newOrderRespType": "ACK", "recvWindow": "100", "timestamp": "1645423376532", "apiKey": KEY,
    "signature": "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a",
}  # fmt: skip


def signed(now_us: int = NOW_US, **params: str) -> Account:
    signature = hmac.new(SECRET.encode(), websocket_payload(params), hashlib.sha256).hexdigest()
    params["signature"] = signature
    return authenticate(ACCOUNTS, KEY, params, websocket_payload(params), now_us)


def refused(code: int, now_us: int = NOW_US, params: dict[str, str] | None = None) -> None:
    with pytest.raises(ApiError) as caught:
        signed(now_us, **(params or {}))
    assert code == caught.value.code


def test_the_documented_websocket_example_is_accepted() -> None:
    """web-socket-api.md, "SIGNED request example (HMAC)"; the signature's case does not matter."""
    assert authenticate(ACCOUNTS, KEY, EXAMPLE, websocket_payload(EXAMPLE), NOW_US) is ACCOUNTS[KEY]
    upper = EXAMPLE | {"signature": EXAMPLE["signature"].upper()}
    assert authenticate(ACCOUNTS, KEY, upper, websocket_payload(upper), NOW_US) is ACCOUNTS[KEY]


def test_the_documented_rest_example_is_signed_as_sent() -> None:
    """rest-api.md: LTCBTC, parameters split over query and body are joined without a separator."""
    query, body = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC", "quantity=1&price=0.1&recvWindow=5000"
    tail = "&timestamp=1499827319559"
    payload = rest_payload(query, body + tail + "&signature=0fd168b8")
    assert (query + body + tail).encode() == payload
    signature = hmac.new(SECRET.encode(), payload, hashlib.sha256).hexdigest()
    assert signature == "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"


def test_text_beyond_ascii_is_signed_as_utf8_by_one_api_and_percent_encoded_by_the_other() -> None:
    """CHANGELOG 2025-12-17 changes REST only."""
    assert websocket_payload({"symbol": "币"}) == "symbol=币".encode()
    assert rest_payload("symbol=%E5%B8%81&signature=x", "") == b"symbol=%E5%B8%81"


def test_a_changed_parameter_breaks_the_signature() -> None:
    """-1022."""
    changed = EXAMPLE | {"quantity": "0.02000000"}
    with pytest.raises(ApiError) as caught:
        authenticate(ACCOUNTS, KEY, changed, websocket_payload(changed), NOW_US)
    assert caught.value.code == -1022


def test_an_unknown_key_is_refused_with_status_401() -> None:
    """-2015."""
    with pytest.raises(ApiError) as caught:
        authenticate(ACCOUNTS, "nobody", EXAMPLE, b"", NOW_US)
    assert (caught.value.code, caught.value.status) == (-2015, 401)


def test_a_request_is_fresh_up_to_its_window() -> None:
    """5000 ms by default, at the limit and one µs outside; at most 60000."""
    sent = {"timestamp": str(NOW_US)}
    assert signed(NOW_US + 5_000_000, **sent)
    refused(-1021, NOW_US + 5_000_001, sent)
    assert signed(NOW_US + 60_000_000, **sent, recvWindow="60000")
    refused(-1131, params=sent | {"recvWindow": "60001"})
    refused(-1131, params=sent | {"recvWindow": "0"})
    refused(-1102, params=sent | {"recvWindow": "x"})


def test_a_request_may_be_less_than_a_second_ahead() -> None:
    """Milliseconds and microseconds are both understood."""
    assert signed(NOW_US, timestamp=str(NOW_US // 1000 + 999))
    refused(-1021, params={"timestamp": str(NOW_US // 1000 + 1000)})
    refused(-1102, params={"timestamp": "soon"})
    refused(-1102)
