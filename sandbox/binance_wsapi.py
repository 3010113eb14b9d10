"""Binance's WebSocket API: `/ws-api/v3`, requests and answers in JSON, and the user data events beside them.

Source: binance-spot-api-docs, web-socket-api.md. One connection may hold several user data subscriptions; an event goes
out as `{"subscriptionId":N,"event":{…}}`. Answers and events leave after the commit that holds what they tell.
"""

import time
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from sandbox.accounts import Account, Listener, Positions, Report
from sandbox.binance_api import BinanceApi, Call, Handler, Security
from sandbox.binance_errors import ApiError, missing, time_unit
from sandbox.binance_rates import RateCounter
from sandbox.binance_reports import Stamp, event, microseconds, milliseconds
from sandbox.binance_signing import authenticate, websocket_payload
from sandbox.commit import Committer
from sandbox.connection import Connection


class _Request(Struct):
    method: str
    id: int | str | UnsetType | None = UNSET
    params: dict[str, Any] = {}


class _Subscription(Struct):
    account: Account
    listener: Listener


_requests = msgspec.json.Decoder(_Request)
_encode = msgspec.json.Encoder().encode


class WebSocketApi:
    """Serves the WebSocket API.

    Args:
        api: what can be asked.
        committer: sends answers after the commit.
        connections: the open connections, kept up to date.
    """

    def __init__(self, api: BinanceApi, committer: Committer, connections: set[Connection]) -> None:
        self.api = api
        self.committer = committer
        self.rates = RateCounter()
        self._connections = connections
        none, signed = Security.NONE, Security.SIGNED
        self.methods: dict[str, tuple[Handler, Security, int]] = {
            "ping": (api.ping, none, 1),
            "time": (api.time, none, 1),
            "exchangeInfo": (api.exchange_info, none, 20),
            "depth": (api.depth, none, 5),
            "order.place": (api.place, signed, 1),
            "order.test": (api.test_order, signed, 1),
            "order.cancel": (api.cancel, signed, 1),
            "order.status": (api.order_status, signed, 4),
            "openOrders.status": (api.open_orders, signed, 6),
            "openOrders.cancelAll": (api.cancel_all, signed, 1),
            "account.status": (api.account, signed, 20),
            "myTrades": (api.my_trades, signed, 20),
        }

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection to its end."""
        stamp = microseconds if time_unit(request.query) else milliseconds
        connection = Connection(request)
        show_limits = request.query.get("returnRateLimits", "true") != "false"
        session = Session(self, connection, stamp, show_limits=show_limits)
        self._connections.add(connection)
        try:
            return await connection.serve(session.receive)
        finally:
            self._connections.discard(connection)
            session.end()


class Session:
    """One connection's requests and subscriptions."""

    def __init__(self, server: WebSocketApi, connection: Connection, stamp: Stamp, *, show_limits: bool) -> None:
        self._server = server
        self._connection = connection
        self._stamp = stamp
        self._show_limits = show_limits
        self._subscriptions: dict[int, _Subscription] = {}
        self._subscribed = 0
        self._methods = dict(server.methods)
        self._methods["userDataStream.subscribe.signature"] = (self._subscribe, Security.SIGNED, 2)
        self._methods["userDataStream.unsubscribe"] = (self._unsubscribe, Security.NONE, 2)

    def receive(self, text: str) -> None:
        """Answer one request."""
        answer: dict[str, Any]
        now_us = time.time_ns() // 1000
        kind, weight, show_limits = "REQUEST_WEIGHT", 1, self._show_limits
        answer = {"id": None}
        try:
            request = _parse(text)
            answer["id"] = request.id
            params = {name: _text(value) for name, value in request.params.items() if value is not None}
            show_limits = params.pop("returnRateLimits", str(show_limits)).lower() == "true"
            method = request.method.removeprefix("v3/")
            handler, security, weight = self._method(method)
            call = Call(params, now_us, self._stamp)
            if security is Security.SIGNED:
                call.account = self._authenticate(params, now_us)
            kind = "ORDERS" if method == "order.place" else kind
            answer |= {"status": 200, "result": handler(call)}
        except ApiError as error:
            answer |= {"status": error.status, "error": {"code": error.code, "msg": error.message}}
        limits = self._server.rates.add(kind, weight, now_us)
        if show_limits:
            answer["rateLimits"] = limits
        self._server.committer.send(self._connection, _encode(answer))

    def _method(self, name: str) -> tuple[Handler, Security, int]:
        if name not in self._methods:
            raise ApiError(-1000, f"Unknown method '{name[:64]}'.")
        return self._methods[name]

    def end(self) -> None:
        """Drop all subscriptions."""
        for subscription in self._subscriptions.values():
            del subscription.account.listeners[subscription.listener]
        self._subscriptions.clear()

    def _authenticate(self, params: dict[str, str], now_us: int) -> Account:
        key = params.get("apiKey")
        if not key:
            raise missing("apiKey")
        return authenticate(self._server.api.exchange.accounts, key, params, websocket_payload(params), now_us)

    def _subscribe(self, call: Call) -> dict[str, int]:
        if any(subscription.account is call.signer for subscription in self._subscriptions.values()):
            raise ApiError(-1191, "Similar subscription is already active on this connection.")
        number = self._subscribed
        self._subscribed += 1

        def listener(happened: Report | Positions) -> None:
            payload = {"subscriptionId": number, "event": event(happened, self._stamp)}
            self._server.committer.send(self._connection, _encode(payload))

        self._subscriptions[number] = _Subscription(call.signer, listener)
        call.signer.listeners[listener] = None
        return {"subscriptionId": number}

    def _unsubscribe(self, call: Call) -> dict[str, Any]:
        wanted = call.params.get("subscriptionId")
        numbers = list(self._subscriptions) if wanted is None else [n for n in self._subscriptions if str(n) == wanted]
        if not numbers:
            raise ApiError(-1130, "Data sent for parameter 'subscriptionId' is not valid.")
        for number in numbers:
            subscription = self._subscriptions.pop(number)
            del subscription.account.listeners[subscription.listener]
        return {}


def _parse(text: str) -> _Request:
    try:
        request = _requests.decode(text)
    except msgspec.ValidationError:
        raise ApiError(-1100, "Illegal characters found in a parameter.") from None
    except msgspec.DecodeError:
        raise ApiError(-1135, "Invalid JSON Request") from None
    if request.id is UNSET:
        raise missing("id")
    return request


def _text(value: object) -> str:
    """Write a JSON value as it is signed: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else _encode(value).decode()
