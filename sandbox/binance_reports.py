"""Binance's words for orders, fills and balances: answers, query results and user-data events.

Sources: binance-spot-api-docs, web-socket-api.md (responses), user-data-stream.md (events). Amounts are decimal strings
with eight places; times are ms, or µs for those who asked (`stamp`).
"""

from collections.abc import Callable, Iterable
from typing import Any

from market.instrument import Instrument
from market.orders import ExecType, OrderStatus
from sandbox.accounts import Account, Balance, ExchangeOrder, Execution, Positions, Report
from sandbox.binance_symbols import UNIT, padded

Stamp = Callable[[int], int]  # Unix µs → what the client is told
_ZERO = "0.00000000"


def milliseconds(time_us: int) -> int:
    """Return a time as ms."""
    return time_us // 1000


def microseconds(time_us: int) -> int:
    """Return a time as µs."""
    return time_us


def placed(order: ExchangeOrder, fills: Iterable[Execution], response: str, stamp: Stamp) -> dict[str, Any]:
    """Return the answer to a new order: `ACK`, `RESULT` or `FULL`."""
    answer: dict[str, Any] = {
        "symbol": order.instrument.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": stamp(order.created_us),
    }
    if response == "ACK":
        return answer
    answer |= _state(order) | {"workingTime": stamp(order.created_us), "selfTradePreventionMode": "NONE"}
    if response == "FULL":
        answer["fills"] = [
            {
                "price": padded(order.instrument.price, fill.price_ticks),
                "qty": padded(order.instrument.qty, fill.qty_lots),
                "commission": UNIT.text(fill.commission_units),
                "commissionAsset": fill.commission_asset,
                "tradeId": fill.trade_id,
            }
            for fill in fills
        ]
    return answer


def canceled(order: ExchangeOrder, cancel_id: str, stamp: Stamp) -> dict[str, Any]:
    """Return the answer to a cancel."""
    return {
        "symbol": order.instrument.symbol,
        "origClientOrderId": order.client_id,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": cancel_id,
        "transactTime": stamp(order.updated_us),
        **_state(order),
        "selfTradePreventionMode": "NONE",
    }


def queried(order: ExchangeOrder, stamp: Stamp) -> dict[str, Any]:
    """Return the state of an order as `order.status` and `openOrders.status` tell it."""
    return {
        "symbol": order.instrument.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        **_state(order),
        "stopPrice": _ZERO,
        "icebergQty": _ZERO,
        "time": stamp(order.created_us),
        "updateTime": stamp(order.updated_us),
        "isWorking": True,
        "workingTime": stamp(order.created_us),
        "selfTradePreventionMode": "NONE",
    }


def traded(fill: Execution, instrument: Instrument, stamp: Stamp) -> dict[str, Any]:
    """Return one entry of `myTrades`."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": padded(instrument.price, fill.price_ticks),
        "qty": padded(instrument.qty, fill.qty_lots),
        "quoteQty": UNIT.text(fill.quote_units),
        "commission": UNIT.text(fill.commission_units),
        "commissionAsset": fill.commission_asset,
        "time": stamp(fill.time_us),
        "isBuyer": fill.side.name == "BUY",
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def account_status(account: Account, maker: str, taker: str, now_us: int, stamp: Stamp) -> dict[str, Any]:
    """Return the account's rates and balances; rates are decimal strings."""
    return {
        "makerCommission": 0,
        "takerCommission": 0,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": maker, "taker": taker, "buyer": _ZERO, "seller": _ZERO},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": stamp(now_us),
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": UNIT.text(balance.free), "locked": UNIT.text(balance.locked)}
            for asset, balance in account.balances.items()
        ],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def event(happened: Report | Positions, stamp: Stamp) -> dict[str, Any]:
    """Return the user-data event for one step."""
    return _positions(happened, stamp) if isinstance(happened, Positions) else _report(happened, stamp)


def _positions(positions: Positions, stamp: Stamp) -> dict[str, Any]:
    return {
        "e": "outboundAccountPosition",
        "E": stamp(positions.time_us),
        "u": stamp(positions.time_us),
        "B": [_balance(asset, balance) for asset, balance in positions.balances.items()],
    }


def _balance(asset: str, balance: Balance) -> dict[str, str]:
    return {"a": asset, "f": UNIT.text(balance.free), "l": UNIT.text(balance.locked)}


def _report(report: Report, stamp: Stamp) -> dict[str, Any]:
    order, fill, scales = report.order, report.execution, report.order.instrument
    is_new = report.kind is ExecType.NEW
    return {
        "e": "executionReport",
        "E": stamp(report.time_us),
        "s": scales.symbol,
        "c": report.cancel_id or order.client_id,
        "S": order.side.name,
        "o": order.order_type,
        "f": order.time_in_force.name,
        "q": padded(scales.qty, order.qty_lots),
        "p": padded(scales.price, order.price_ticks),
        "P": _ZERO,
        "F": _ZERO,
        "g": -1,
        "C": order.client_id if report.cancel_id else "",
        "x": report.kind.name,
        "X": "NEW" if is_new else order.status.name,
        "r": "NONE",
        "i": order.order_id,
        "l": padded(scales.qty, fill.qty_lots) if fill else _ZERO,
        "z": _ZERO if is_new else padded(scales.qty, order.cum_lots),
        "L": padded(scales.price, fill.price_ticks) if fill else _ZERO,
        "n": UNIT.text(fill.commission_units) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": stamp(report.time_us),
        "t": fill.trade_id if fill else -1,
        "I": order.order_id,
        "w": order.status in {OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED},
        "m": fill.is_maker if fill else False,
        "M": fill is not None,
        "O": stamp(order.created_us),
        "Z": _ZERO if is_new else UNIT.text(order.cum_units),
        "Y": UNIT.text(fill.quote_units) if fill else _ZERO,
        "Q": UNIT.text(order.quote_units),
        "W": stamp(order.created_us),
        "V": "NONE",
    }


def _state(order: ExchangeOrder) -> dict[str, str]:
    return {
        "price": padded(order.instrument.price, order.price_ticks),
        "origQty": padded(order.instrument.qty, order.qty_lots),
        "executedQty": padded(order.instrument.qty, order.cum_lots),
        "origQuoteOrderQty": UNIT.text(order.quote_units),
        "cummulativeQuoteQty": UNIT.text(order.cum_units),
        "status": order.status.name,
        "timeInForce": order.time_in_force.name,
        "type": order.order_type,
        "side": order.side.name,
    }
