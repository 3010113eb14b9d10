"""Binance spot order entry: the WebSocket API's signed requests, its replies, and execution reports. Pure.

A request's signature is HMAC-SHA256 over its parameters in alphabetical order
(https://developers.binance.com/docs/binance-spot-api-docs/websocket-api/request-security). Every value that we send is
made of characters that percent-encoding leaves alone. Execution reports:
https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct, field

from market.events import Malformed, Side
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, Order, OrderStatus, OrderType
from market.scale import ScaleError
from venues.adapter import Credentials, OrderEvent, SessionEvent
from venues.binance_time import Time, to_ns

RECV_WINDOW_MS = 5000
_MARKET = OrderType.MARKET  # bound once, as in binance.py
_SUBSCRIBE_ID = "user-data"
_CANCEL_PREFIX = "cancel-"
_SIGNATURE_HEX = 64
_BLOCK_BYTES = 64  # of SHA-256, FIPS 180-4

_STATUS = {
    "NEW": OrderStatus.NEW,
    "PENDING_NEW": OrderStatus.PENDING_NEW,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "PENDING_CANCEL": OrderStatus.NEW,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
# "execution status is unknown": web-socket-api.md of every status 5xx, errors.md of these codes
_EXECUTION_UNKNOWN = (-1006, -1007)
_ENDED = {
    OrderStatus.CANCELED: ExecType.CANCELED,
    OrderStatus.EXPIRED: ExecType.EXPIRED,
    OrderStatus.REJECTED: ExecType.REJECTED,
}


class _Fill(Struct):
    price: str
    quantity: str = field(name="qty")
    commission: str
    commission_asset: str = field(name="commissionAsset")
    trade_id: int = field(name="tradeId")


class _Result(Struct):
    symbol: str = ""
    order_id: int = field(name="orderId", default=0)
    cl_ord_id: str = field(name="clientOrderId", default="")
    original_id: str = field(name="origClientOrderId", default="")
    time: Time = field(name="transactTime", default=0)
    status: str = ""
    fills: list[_Fill] = []


class _Error(Struct):
    code: int
    msg: str


class _Event(Struct):
    kind: str = field(name="e")
    time: Time = field(name="E", default=0)
    symbol: str = field(name="s", default="")
    cl_ord_id: str = field(name="c", default="")
    original_id: str = field(name="C", default="")
    exec_type: str = field(name="x", default="")
    status: str = field(name="X", default="")
    reject_reason: str = field(name="r", default="")
    order_id: int = field(name="i", default=0)
    last_quantity: str = field(name="l", default="0")
    last_price: str = field(name="L", default="0")
    cum_quantity: str = field(name="z", default="0")
    commission: str = field(name="n", default="0")
    commission_asset: str | None = field(name="N", default=None)
    trade_id: int = field(name="t", default=-1)


class _Message(Struct):
    id: str | int | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None
    event: _Event | None = None


_decode = msgspec.json.Decoder(_Message).decode
_decode_result = msgspec.json.Decoder(_Result).decode


class BinanceOrderEntry:
    """One order connection (see `venues.adapter.OrderEntry`).

    Args:
        instruments: what may be traded.
        credentials: an HMAC key of a test account.
    """

    def __init__(self, instruments: Sequence[Instrument], credentials: Credentials) -> None:
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self._key = credentials.key
        # what does not change from order to order, in the order of the signed parameters
        self._signed_key = f"apiKey={credentials.key}&newClientOrderId="
        self._quoted_key = f'","method":"order.place","params":{{"apiKey":"{credentials.key}","newClientOrderId":"'
        self._sides = {
            (instrument, side): (
                f"&recvWindow={RECV_WINDOW_MS}&side={side.name}&symbol={instrument.symbol}&",
                f'","recvWindow":{RECV_WINDOW_MS},"side":"{side.name}","symbol":"{instrument.symbol}",',
            )
            for instrument in instruments
            for side in Side
        }
        self._masks = (credentials.key.encode(), b"*" * len(credentials.key.encode()))
        secret = credentials.secret.encode()
        if len(secret) > _BLOCK_BYTES:
            secret = sha256(secret).digest()
        padded = secret.ljust(_BLOCK_BYTES, b"\0")
        # HMAC (RFC 2104) with both padded keys hashed beforehand: half the time of hmac.digest (benchmarks/signing.py)
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def __repr__(self) -> str:
        return f"BinanceOrderEntry({', '.join(self._by_symbol)})"

    def _sign(self, query: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(query.encode())
        outer.update(inner.digest())
        return outer.hexdigest()

    def _request(self, request_id: str, method: str, params: dict[str, str | int]) -> bytes:
        """Return a signed request of the colder kind; `place` writes its own."""
        signed = {"apiKey": self._key, "recvWindow": RECV_WINDOW_MS, **params}
        signed = dict(sorted(signed.items()))
        signature = self._sign("&".join(f"{name}={value}" for name, value in signed.items()))
        return msgspec.json.encode(
            {"id": request_id, "method": method, "params": {**signed, "signature": signature}},
        )

    def session_requests(self, now_ms: int) -> list[bytes]:
        """Return the subscription to execution reports."""
        return [self._request(_SUBSCRIBE_ID, "userDataStream.subscribe.signature", {"timestamp": now_ms})]

    def place(self, order: Order, now_ms: int) -> bytes:
        """Return the request `order.place`."""
        cl_ord_id, quantity = order.cl_ord_id, order.instrument.qty.text(order.qty_lots)
        signed_side, quoted_side = self._sides[order.instrument, order.side]
        if order.order_type is _MARKET:
            signed_price = quoted_price = signed_tif = quoted_tif = ""
            kind = "MARKET"
        else:
            price, tif = order.instrument.price.text(order.price_ticks), order.time_in_force.name
            signed_price, quoted_price = f"price={price}&", f'"price":"{price}",'
            signed_tif, quoted_tif = f"timeInForce={tif}&", f'"timeInForce":"{tif}",'
            kind = "LIMIT"
        signature = self._sign(
            f"{self._signed_key}{cl_ord_id}&newOrderRespType=FULL&{signed_price}quantity={quantity}"
            f"{signed_side}{signed_tif}timestamp={now_ms}&type={kind}"
        )
        return (
            f'{{"id":"{cl_ord_id}{self._quoted_key}{cl_ord_id}","newOrderRespType":"FULL",{quoted_price}'
            f'"quantity":"{quantity}{quoted_side}{quoted_tif}"timestamp":{now_ms},"type":"{kind}",'
            f'"signature":"{signature}"}}}}'
        ).encode()

    def cancel(self, order: Order, now_ms: int) -> bytes:
        """Return the request `order.cancel`."""
        params: dict[str, str | int] = {
            "symbol": order.instrument.symbol,
            "origClientOrderId": order.cl_ord_id,
            "timestamp": now_ms,
        }
        return self._request(_CANCEL_PREFIX + order.cl_ord_id, "order.cancel", params)

    def mask(self, request: bytes) -> bytes:
        """Blank out key and signature."""
        masked = request.replace(*self._masks)
        start = masked.find(b'"signature":"') + len(b'"signature":"')
        if start < len(b'"signature":"'):
            return masked
        return masked[:start] + b"*" * _SIGNATURE_HEX + masked[start + _SIGNATURE_HEX :]

    def receive(self, payload: bytes) -> Sequence[OrderEvent]:
        """Take a reply or an event."""
        try:
            message = _decode(payload)
            if message.event is not None:
                return self._event(message.event)
            if message.id == _SUBSCRIBE_ID:
                return (SessionEvent(_refusal(message.error)),)
            return self._reply(message)
        except (msgspec.MsgspecError, ScaleError, KeyError, UnicodeError, RecursionError) as error:
            return (Malformed(f"{type(error).__name__}: {error}", payload[:200].decode(errors="replace")),)

    def _reply(self, message: _Message) -> Sequence[OrderEvent]:
        if message.id is None:  # a request that the venue could not read, so that it cannot say which
            return (Malformed(f"a reply to no request: {_refusal(message.error)}", ""),)
        request_id = str(message.id)
        cancel = request_id.startswith(_CANCEL_PREFIX)
        cl_ord_id = request_id.removeprefix(_CANCEL_PREFIX)
        if message.error is not None:
            if cancel:
                kind, status = ExecType.CANCEL_REJECTED, OrderStatus.UNKNOWN
            elif message.status >= 500 or message.error.code in _EXECUTION_UNKNOWN:
                kind, status = ExecType.UNKNOWN, OrderStatus.UNKNOWN
            else:
                kind, status = ExecType.REJECTED, OrderStatus.REJECTED
            return (ExecutionReport(cl_ord_id, kind, status, reason=_refusal(message.error)),)
        result = _decode_result(message.result)
        if not result.symbol:
            return ()  # the reply to something that concerns no order
        return self._result(result, cl_ord_id)

    def _result(self, result: _Result, cl_ord_id: str) -> Sequence[OrderEvent]:
        instrument = self._by_symbol[result.symbol]
        status, order_id = _STATUS[result.status], str(result.order_id)
        exchange_ns = to_ns(result.time)
        reports: list[OrderEvent] = []
        if status not in _ENDED:
            reports.append(
                ExecutionReport(cl_ord_id, ExecType.NEW, OrderStatus.NEW, order_id=order_id, exchange_ns=exchange_ns)
            )
        reports += [
            ExecutionReport(
                cl_ord_id,
                ExecType.TRADE,
                status,
                instrument.price.parse(fill.price),
                instrument.qty.parse(fill.quantity),
                exec_id=str(fill.trade_id),
                order_id=order_id,
                commission=fill.commission,
                commission_asset=fill.commission_asset,
                exchange_ns=exchange_ns,
            )
            for fill in result.fills
        ]
        if status in _ENDED:
            reports.append(
                ExecutionReport(cl_ord_id, _ENDED[status], status, order_id=order_id, exchange_ns=exchange_ns)
            )
        return reports

    def _event(self, event: _Event) -> Sequence[OrderEvent]:
        if event.kind == "eventStreamTerminated":
            return (SessionEvent("the venue ended the stream of execution reports"),)
        if event.kind != "executionReport":
            return ()  # balances: what matters of them is in the fills
        instrument = self._by_symbol[event.symbol]
        fill = event.exec_type == "TRADE"
        if fill and event.trade_id < 0:
            return (Malformed(f"a fill of {event.cl_ord_id} without its trade id", ""),)
        status = _STATUS[event.status]
        reason = "" if event.reject_reason in ("NONE", "") else event.reject_reason
        return (
            ExecutionReport(
                event.original_id or event.cl_ord_id,
                ExecType.TRADE if fill else _ENDED.get(status, ExecType.NEW),
                status,
                instrument.price.parse(event.last_price) if fill else 0,
                instrument.qty.parse(event.last_quantity) if fill else 0,
                cum_lots=instrument.qty.parse(event.cum_quantity),
                exec_id=str(event.trade_id) if fill else "",
                order_id=str(event.order_id),
                commission=event.commission if fill else "",
                commission_asset=(event.commission_asset or "") if fill else "",
                reason=reason,
                exchange_ns=to_ns(event.time),
            ),
        )


def _refusal(error: _Error | None) -> str:
    return f"{error.msg} ({error.code})" if error is not None else ""
