"""Binance's requests, whichever way they come: parameters in, result out, or the venue's error.

REST (`binance_rest`) and the WebSocket API (`binance_wsapi`) share this; each has its own table of names. A handler
gets a `Call` and returns what becomes JSON.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import msgspec
from msgspec import Struct

from market.orders import CLOSED, OrderStatus
from sandbox.accounts import Account, ExchangeOrder, InsufficientBalanceError
from sandbox.binance_errors import (
    DUPLICATE_ORDER,
    INSUFFICIENT_BALANCE,
    INVALID_SYMBOL,
    NO_SUCH_ORDER,
    UNKNOWN_ORDER,
    WOULD_TAKE,
    ApiError,
    illegal,
    missing,
    rejected,
)
from sandbox.binance_orders import client_id, new_order, response_type
from sandbox.binance_reports import Stamp, account_status, canceled, placed, queried, traded
from sandbox.binance_symbols import padded, rate_limits, symbol_information
from sandbox.exchange import DuplicateClientIdError, Exchange, WouldTakeError
from sandbox.store import Store
from sandbox.venue_market import VenueMarket

MAX_DEPTH = 5000


class Security(Enum):
    """Who may make a request."""

    NONE = 0
    SIGNED = 1


class Call(Struct):
    """One request.

    Attributes:
        params: its parameters, values as text.
        now_us: when it is served, Unix µs.
        stamp: turns Unix µs into the client's time unit.
        account: who signed it; None for a public request.
    """

    params: dict[str, str]
    now_us: int
    stamp: Stamp
    account: Account | None = None

    @property
    def signer(self) -> Account:
        """The account of a signed request."""
        assert self.account is not None
        return self.account


Handler = Callable[[Call], Any]


class BinanceApi:
    """What can be asked.

    Args:
        exchange: the exchange behind it.
        store: where closed orders and fills are found.
    """

    def __init__(self, exchange: Exchange, store: Store) -> None:
        self.exchange = exchange
        self._store = store
        self._generated = 0

    def ping(self, _call: Call) -> dict[str, Any]:
        """Answer nothing."""
        return {}

    def time(self, call: Call) -> dict[str, Any]:
        """Answer the time."""
        return {"serverTime": call.stamp(call.now_us)}

    def exchange_info(self, call: Call) -> dict[str, Any]:
        """Answer what is listed, for all, one or several symbols."""
        symbols = self._symbols(call.params)
        return {
            "timezone": "UTC",
            "serverTime": call.stamp(call.now_us),
            "rateLimits": rate_limits(),
            "exchangeFilters": [],
            "symbols": [symbol_information(self._market(symbol).instrument) for symbol in symbols],
        }

    def depth(self, call: Call) -> dict[str, Any]:
        """Answer the published book, 100 levels a side unless another limit is asked for."""
        book = self._named_market(call.params).book
        limit = min(_integer(call.params, "limit", 100), MAX_DEPTH)
        price, qty = book.instrument.price, book.instrument.qty
        return {
            "lastUpdateId": book.sequence,
            "bids": [(padded(price, ticks), padded(qty, lots)) for ticks, lots in book.bids(limit)],
            "asks": [(padded(price, ticks), padded(qty, lots)) for ticks, lots in book.asks(limit)],
        }

    def place(self, call: Call) -> dict[str, Any]:
        """Place an order."""
        response = response_type(call.params)
        market = self._named_market(call.params)
        order = new_order(call.params, call.signer, market, self._generate_id(call), call.now_us)
        try:
            fills = self.exchange.place(call.signer, order, post_only=order.order_type == "LIMIT_MAKER")
        except InsufficientBalanceError:
            raise rejected(INSUFFICIENT_BALANCE) from None
        except DuplicateClientIdError:
            raise rejected(DUPLICATE_ORDER) from None
        except WouldTakeError:
            raise rejected(WOULD_TAKE) from None
        return placed(order, fills, response, call.stamp)

    def test_order(self, call: Call) -> dict[str, Any]:
        """Check an order's parameters and filters, and place nothing."""
        new_order(call.params, call.signer, self._named_market(call.params), self._generate_id(call), call.now_us)
        return {}

    def cancel(self, call: Call) -> dict[str, Any]:
        """Cancel one open order."""
        self._named_market(call.params)
        cancel_id = client_id(call.params, "newClientOrderId", self._generate_id(call))
        restriction = call.params.get("cancelRestrictions")
        if restriction not in {None, "ONLY_NEW", "ONLY_PARTIALLY_FILLED"}:
            raise ApiError(-1145, "Invalid cancelRestrictions")
        order = self._find(call)
        if order is None or order.status in CLOSED:
            raise ApiError(*UNKNOWN_ORDER)
        order = call.signer.open_orders[order.order_id]
        is_new = order.status is OrderStatus.NEW
        if (restriction == "ONLY_NEW" and not is_new) or (restriction == "ONLY_PARTIALLY_FILLED" and is_new):
            raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
        self.exchange.cancel(call.signer, order, cancel_id, call.now_us)
        return canceled(order, cancel_id, call.stamp)

    def cancel_all(self, call: Call) -> list[dict[str, Any]]:
        """Cancel every open order of a symbol; -2011 when there is none."""
        symbol = self._named_market(call.params).instrument.symbol
        orders = [order for order in call.signer.open_orders.values() if order.instrument.symbol == symbol]
        if not orders:
            raise ApiError(*UNKNOWN_ORDER)
        answers = []
        for order in orders:
            cancel_id = self._generate_id(call)
            self.exchange.cancel(call.signer, order, cancel_id, call.now_us)
            answers.append(canceled(order, cancel_id, call.stamp))
        return answers

    def order_status(self, call: Call) -> dict[str, Any]:
        """Answer one order, open or closed."""
        self._named_market(call.params)
        order = self._find(call)
        if order is None:
            raise ApiError(*NO_SUCH_ORDER)
        return queried(order, call.stamp)

    def open_orders(self, call: Call) -> list[dict[str, Any]]:
        """Answer the open orders, of one symbol when it is named."""
        orders = list(call.signer.open_orders.values())
        if "symbol" in call.params:
            symbol = self._named_market(call.params).instrument.symbol
            orders = [order for order in orders if order.instrument.symbol == symbol]
        return [queried(order, call.stamp) for order in orders]

    def account(self, call: Call) -> dict[str, Any]:
        """Answer balances and commission rates."""
        maker, taker = (f"{rate:.8f}" for rate in (self.exchange.maker_fee, self.exchange.taker_fee))
        return account_status(call.signer, maker, taker, call.now_us, call.stamp)

    def my_trades(self, call: Call) -> list[dict[str, Any]]:
        """Answer the fills of a symbol, from a trade id on, of one order when it is named."""
        symbol = self._named_market(call.params).instrument.symbol
        order_id = _integer(call.params, "orderId", 0) or None
        from_id, limit = _integer(call.params, "fromId", 0), min(_integer(call.params, "limit", 500), 1000)
        fills = self._store.executions(call.signer.key, symbol, from_id, order_id, limit)
        instrument = self.exchange.markets[symbol].instrument
        return [traded(fill, instrument, call.stamp) for fill in fills]

    def _symbols(self, params: Mapping[str, str]) -> list[str]:
        if "symbol" in params and "symbols" in params:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if "symbol" in params:
            return [params["symbol"]]
        if "symbols" in params:
            try:
                return msgspec.json.decode(params["symbols"], type=list[str])
            except msgspec.DecodeError:
                raise illegal("symbols", r'^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$') from None
        return list(self.exchange.markets)

    def _named_market(self, params: Mapping[str, str]) -> VenueMarket:
        if not params.get("symbol"):
            raise missing("symbol")
        return self._market(params["symbol"])

    def _market(self, symbol: str) -> VenueMarket:
        market = self.exchange.markets.get(symbol)
        if market is None:
            raise ApiError(*INVALID_SYMBOL)
        return market

    def _find(self, call: Call) -> ExchangeOrder | None:
        """Return the order that `orderId` or `origClientOrderId` names; both must fit when both are sent."""
        params, account = call.params, call.signer
        named = params.get("origClientOrderId")
        if "orderId" not in params:
            if not named:
                raise ApiError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
            return account.open_client_ids.get(named) or self._store.find_client_id(account.key, named)
        order_id = _integer(params, "orderId", 0)
        order = account.open_orders.get(order_id) or self._store.find_order(account.key, order_id)
        return None if order is None or (named and order.client_id != named) else order

    def _generate_id(self, call: Call) -> str:
        self._generated += 1
        return f"sandbox{call.now_us}x{self._generated}"


def _integer(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise illegal(name, "^[0-9]{1,18}$")
    return int(text)
