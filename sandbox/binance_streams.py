"""Binance's market streams: `/ws/<name>`, `/stream?streams=a/b`, and the messages that subscribe while connected.

Source: binance-spot-api-docs, web-socket-streams.md, "General WSS information" and "Live Subscribing/Unsubscribing to
streams" with its table of errors.
"""

from typing import Any

import msgspec
from aiohttp import web

from sandbox.binance_errors import ApiError, time_unit
from sandbox.connection import Connection
from sandbox.fanout import Fanout, Subscriber

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class StreamServer:
    """Serves the market streams.

    Args:
        fanout: who listens to what.
        connections: the open connections; kept up to date, so that whoever stops the server can close them.
    """

    def __init__(self, fanout: Fanout, connections: set[Connection]) -> None:
        self._fanout = fanout
        self._connections = connections

    async def raw(self, request: web.Request) -> web.WebSocketResponse:
        """Serve `/ws/<name>/<name>…`, and `/ws` for those who subscribe by message."""
        names = request.match_info.get("streams", "")
        return await self._serve(request, names, combined=False)

    async def combined(self, request: web.Request) -> web.WebSocketResponse:
        """Serve `/stream?streams=<name>/<name>…`."""
        return await self._serve(request, request.query.get("streams", ""), combined=True)

    async def _serve(self, request: web.Request, names: str, *, combined: bool) -> web.WebSocketResponse:
        microseconds = time_unit(request.query)
        connection = Connection(request)
        subscriber = Subscriber(connection, combined=combined, microseconds=microseconds)
        session = _Session(self._fanout, subscriber)
        wanted = [name for name in names.split("/") if name]
        self._connections.add(connection)
        try:
            return await connection.serve(session.receive, on_open=lambda: self._fanout.subscribe(subscriber, wanted))
        finally:
            self._connections.discard(connection)
            self._fanout.unsubscribe(subscriber, list(subscriber.streams))


class _Session:
    """The requests of one connection."""

    def __init__(self, fanout: Fanout, subscriber: Subscriber) -> None:
        self._fanout = fanout
        self._subscriber = subscriber

    def receive(self, text: str) -> None:
        """Answer one message."""
        try:
            answer = self._answer(msgspec.json.decode(text))
        except msgspec.DecodeError as error:
            answer = {"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}
        except ApiError as error:
            answer = {"error": {"code": error.code, "msg": error.message}}
        self._subscriber.connection.send(msgspec.json.encode(answer))
        self._subscriber.connection.flush()

    def _answer(self, request: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            raise ApiError(2, "Invalid request: missing field `method`")
        number = request.get("id")
        if isinstance(number, bool) or not isinstance(number, int | str | None):
            raise ApiError(2, "Invalid request: request ID must be an unsigned integer")
        return {"result": self._perform(request["method"], request.get("params")), "id": number}

    def _perform(self, method: str, params: object) -> object:
        if method == "LIST_SUBSCRIPTIONS":
            return list(self._subscriber.streams)
        if method not in _METHODS:
            expected = ", ".join(f"`{name}`" for name in _METHODS)
            raise ApiError(2, f"Invalid request: unknown variant `{method}`, expected one of {expected}")
        if not isinstance(params, list):
            raise ApiError(2, "Invalid request: params must be an array")
        if method.endswith("PROPERTY"):
            return self._property(method, params)
        if not all(isinstance(name, str) for name in params):
            raise ApiError(2, "Invalid request: a stream name must be a string")
        (self._fanout.subscribe if method == "SUBSCRIBE" else self._fanout.unsubscribe)(self._subscriber, params)
        return None

    def _property(self, method: str, params: list[object]) -> bool | None:
        if params[:1] != ["combined"]:
            raise ApiError(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self._subscriber.combined
        if len(params) != 2 or not isinstance(params[1], bool):
            raise ApiError(1, "Invalid value type: expected Boolean")
        self._subscriber.combined = params[1]
        return None
