"""The WebSocket API's sessions without a socket: every text is answered once, whatever it is."""

import hashlib
import hmac
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.binance_api import BinanceApi
from sandbox.binance_reports import milliseconds
from sandbox.binance_wsapi import Session, WebSocketApi

Lab = Any  # conftest's; test folders are not packages
Fake = Any
METHODS = ["order.place", "order.cancel", "order.status", "openOrders.status", "openOrders.cancelAll", "depth",
           "account.status", "myTrades", "exchangeInfo", "time", "order.test", "userDataStream.subscribe.signature",
           "userDataStream.unsubscribe"]  # fmt: skip
NAMES = ["symbol", "side", "type", "timeInForce", "price", "quantity", "quoteOrderQty", "newClientOrderId", "orderId",
         "origClientOrderId", "limit", "fromId", "recvWindow", "timestamp", "apiKey", "signature", "symbols",
         "newOrderRespType", "cancelRestrictions", "subscriptionId", "returnRateLimits", "unknown"]  # fmt: skip
WORDS = ["BTCUSDT", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "GTC", "IOC", "FOK", "100", "0.1", "0",
         "99999999999999999999", "1.00000000", "NaN", "-1", "", "ann", '["BTCUSDT"]']  # fmt: skip
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
VALUES = st.sampled_from(WORDS) | st.text(max_size=8) | NUMBERS | st.none() | st.lists(st.integers(), max_size=2)
JSON = st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
FULL = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "0.1"}


class Answers:
    """Takes the place of the committer."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def send(self, _connection: object, payload: bytes) -> None:
        """Keep an answer."""
        self.payloads.append(payload)


def session(lab: Lab, answers: Fake) -> Session:
    connection: Fake = None
    server = WebSocketApi(BinanceApi(lab.exchange, lab.store), answers, set())
    return Session(server, connection, milliseconds, show_limits=False)


def answered(answers: Answers) -> list[dict[str, Any]]:
    messages = [json.loads(payload) for payload in answers.payloads]
    return [message for message in messages if "event" not in message]


def signed(params: dict[str, Any]) -> dict[str, Any]:
    params = {"apiKey": "ann", "timestamp": time.time_ns() // 1_000_000} | params
    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    text = "&".join(f"{name}={written[name]}" for name in sorted(params) if params[name] is not None)
    return params | {"signature": hmac.new(b"a", text.encode(), hashlib.sha256).hexdigest()}


@settings(max_examples=300, deadline=None)
@given(method=st.sampled_from(METHODS), full=st.booleans(), changes=st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_parameters_give_one_answer(new_lab: Lab, method: str, full: bool, changes: dict[str, Any]) -> None:  # noqa: FBT001 - drawn
    """A result or the venue's error, under the request's id; the account's money stays sound."""
    with TemporaryDirectory() as folder:
        lab, answers = new_lab(Path(folder)), Answers()
        params = signed((FULL if full else {}) | changes)
        session(lab, answers).receive(json.dumps({"id": "q", "method": method, "params": params}))
        (answer,) = answered(answers)
        assert answer["id"] == "q"
        assert ("result" in answer) == (answer["status"] == 200)
        assert ("error" in answer) == (answer["status"] != 200)
        assert all(balance.free >= 0 and balance.locked >= 0 for balance in lab.ann.balances.values())
        lab.store.close()


@settings(max_examples=200, deadline=None)
@given(text=st.text() | JSON.map(json.dumps))
def test_any_text_gives_one_answer(new_lab: Lab, text: str) -> None:
    """Also what is no JSON, or no request."""
    with TemporaryDirectory() as folder:
        lab, answers = new_lab(Path(folder)), Answers()
        session(lab, answers).receive(text)
        assert len(answered(answers)) == 1
        lab.store.close()


def test_events_go_to_the_subscribed_until_they_unsubscribe(lab: Lab) -> None:
    """One subscription per account and connection; an ended session hears nothing."""
    answers = Answers()
    client = session(lab, answers)

    def ask(method: str, **params: object) -> dict[str, Any]:
        client.receive(json.dumps({"id": 1, "method": method, "params": params}))
        return answered(answers)[-1]

    assert ask("userDataStream.subscribe.signature", **signed({}))["result"] == {"subscriptionId": 0}
    assert ask("userDataStream.subscribe.signature", **signed({}))["error"]["code"] == -1191
    ask("order.place", **signed(FULL))
    events = [json.loads(payload) for payload in answers.payloads if b'"event"' in payload]
    assert [entry["event"]["e"] for entry in events] == ["executionReport", "outboundAccountPosition"]
    assert {entry["subscriptionId"] for entry in events} == {0}
    assert ask("userDataStream.unsubscribe", subscriptionId=9)["error"]["code"] == -1130
    assert ask("userDataStream.unsubscribe")["result"] == {}
    ask("order.place", **signed(FULL))
    assert sum(b'"event"' in payload for payload in answers.payloads) == 2
    assert ask("userDataStream.subscribe.signature", **signed({}))["result"] == {"subscriptionId": 1}
    client.end()
    assert len(lab.ann.listeners) == 1
