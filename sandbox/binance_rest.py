"""Binance's REST API: routes, signed requests, errors as `{"code":…,"msg":…}` with the venue's status.

Source: binance-spot-api-docs, rest-api.md. The API key of a signed request is in `X-MBX-APIKEY`; parameters may be in
the query, the body, or both; times are µs for those who send `X-MBX-TIME-UNIT: MICROSECOND`.
"""

import time
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler as RequestHandler

from sandbox.binance_api import BinanceApi, Call, Handler, Security
from sandbox.binance_errors import ApiError, time_unit
from sandbox.binance_reports import microseconds, milliseconds
from sandbox.binance_signing import authenticate, rest_payload
from sandbox.commit import Committer


class RestApi:
    """Serves REST.

    Args:
        api: what can be asked.
        committer: commits before an answer leaves.
    """

    def __init__(self, api: BinanceApi, committer: Committer) -> None:
        self._api = api
        self._committer = committer

    def routes(self) -> list[web.RouteDef]:
        """Return the table of requests."""
        api, none, signed = self._api, Security.NONE, Security.SIGNED
        table: list[tuple[str, str, Handler, Security]] = [
            ("GET", "ping", api.ping, none),
            ("GET", "time", api.time, none),
            ("GET", "exchangeInfo", api.exchange_info, none),
            ("GET", "depth", api.depth, none),
            ("POST", "order", api.place, signed),
            ("POST", "order/test", api.test_order, signed),
            ("DELETE", "order", api.cancel, signed),
            ("GET", "order", api.order_status, signed),
            ("GET", "openOrders", api.open_orders, signed),
            ("DELETE", "openOrders", api.cancel_all, signed),
            ("GET", "account", api.account, signed),
            ("GET", "myTrades", api.my_trades, signed),
        ]
        return [
            web.route(method, f"/api/v3/{path}", self._serve(handler, security))
            for method, path, handler, security in table
        ]

    def _serve(self, handler: Handler, security: Security) -> RequestHandler:
        async def serve(request: web.Request) -> web.Response:
            query, body = request.raw_path.partition("?")[2], await request.text()
            try:
                result = handler(self._call(request, query, body, security))
            except ApiError as error:
                return error_response(error)
            self._committer.commit()
            return web.Response(body=msgspec.json.encode(result), content_type="application/json")

        return serve

    def _call(self, request: web.Request, query: str, body: str, security: Security) -> Call:
        params: dict[str, str] = {}
        for name, value in parse_qsl(f"{query}&{body}", keep_blank_values=True):
            if name in params:
                raise ApiError(-1101, "Duplicate values for a parameter detected.")
            params[name] = value
        unit = request.headers.get("X-MBX-TIME-UNIT", "MILLISECOND")
        stamp = microseconds if time_unit({"timeUnit": unit}) else milliseconds
        call = Call(params, time.time_ns() // 1000, stamp)
        if security is Security.SIGNED:
            key = request.headers.get("X-MBX-APIKEY", "")
            accounts = self._api.exchange.accounts
            call.account = authenticate(accounts, key, params, rest_payload(query, body), call.now_us)
        return call


def error_response(error: ApiError) -> web.Response:
    """Return an error as REST tells it."""
    body = msgspec.json.encode({"code": error.code, "msg": error.message})
    return web.Response(status=error.status, body=body, content_type="application/json")
