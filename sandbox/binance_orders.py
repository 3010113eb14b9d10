"""Binance's new-order parameters: from their strings to an order within the symbol's filters, or the venue's refusal.

Sources: binance-spot-api-docs, web-socket-api.md "Place new order", filters.md, errors.md. The checks come in the
venue's order as far as it shows: parameters (-1100 … -1128), then filters (-1013); what depends on the account and the
book (-2010) is the exchange's to say.
"""

import re
from collections.abc import Mapping

from market.events import Side
from market.instrument import Instrument
from market.orders import TimeInForce
from market.scale import ScaleError
from sandbox.accounts import Account, ExchangeOrder
from sandbox.binance_errors import ApiError, filter_failure, illegal, missing
from sandbox.binance_symbols import ORDER_TYPES, PERCENT_PRICE_DOWN, PERCENT_PRICE_UP, PRECISION, STEP_LOTS, UNIT
from sandbox.money import tick_lot_units, whole_units
from sandbox.venue_market import VenueMarket

ORDER_PARAMS = frozenset({
    "symbol", "side", "type", "timeInForce", "price", "quantity", "quoteOrderQty", "newClientOrderId",
    "newOrderRespType", "selfTradePreventionMode", "apiKey", "recvWindow", "signature", "timestamp",
})  # fmt: skip
RESPONSES = ("ACK", "RESULT", "FULL")
_DECIMAL = re.compile(r"^([0-9]{1,20})(\.[0-9]{1,20})?$")
_CLIENT_ID = re.compile(r"^[a-zA-Z0-9-_]{1,36}$")
_UNSUPPORTED = "Unsupported order combination."


def response_type(params: Mapping[str, str]) -> str:
    """Return how much the answer to a new order says; LIMIT and MARKET orders default to FULL, others to ACK.

    Raises:
        ApiError: it is none of the three.
    """
    default = "FULL" if params.get("type") in {"LIMIT", "MARKET"} else "ACK"
    wanted = params.get("newOrderRespType", default)
    if wanted not in RESPONSES:
        raise missing("newOrderRespType")
    return wanted


def client_id(params: Mapping[str, str], name: str, default: str) -> str:
    """Return a client order id, or the default when none is sent.

    Raises:
        ApiError: it has characters or a length that the venue refuses.
    """
    value = params.get(name, default)
    if not _CLIENT_ID.match(value):
        raise illegal(name, _CLIENT_ID.pattern)
    return value


def new_order(
    params: Mapping[str, str], account: Account, market: VenueMarket, generated_id: str, now_us: int
) -> ExchangeOrder:
    """Read the parameters of `order.place`.

    Args:
        params: as sent, values as text.
        account: whose order it will be.
        market: the symbol's market.
        generated_id: the client order id when none is sent.
        now_us: Unix µs, the order's time.

    Raises:
        ApiError: a parameter is missing, malformed or superfluous, or a filter is not passed.
    """
    _check_names(params)
    side, order_type = _enumerations(params)
    identifier = client_id(params, "newClientOrderId", generated_id)
    time_in_force = _time_in_force(params, order_type)
    price_ticks = qty_lots = quote_units = 0
    instrument = market.instrument
    if order_type == "MARKET":
        _refuse(params, "price")
        if ("quantity" in params) == ("quoteOrderQty" in params):
            if "quantity" in params:
                raise ApiError(-1128, "Combination of optional parameters invalid.")
            raise ApiError(-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!")
    else:
        _refuse(params, "quoteOrderQty")
        price_ticks = _price(params, instrument)
    if "quoteOrderQty" in params:
        quote_units = _quote_amount(params)
    else:
        qty_lots = _quantity(params, instrument, is_market=order_type == "MARKET")
    order = ExchangeOrder(
        0, account.key, instrument, identifier, side, order_type, time_in_force, price_ticks, qty_lots, quote_units,
        now_us, now_us,
    )  # fmt: skip
    _check_market(order, account, market, now_us)
    return order


def _check_names(params: Mapping[str, str]) -> None:
    unread = params.keys() - ORDER_PARAMS
    if unread:
        sent = len(params)
        read = sent - len(unread)
        raise ApiError(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def _enumerations(params: Mapping[str, str]) -> tuple[Side, str]:
    for name in ("symbol", "side", "type"):
        if not params.get(name):
            raise missing(name)
    if params["side"] not in {"BUY", "SELL"}:
        raise ApiError(-1117, "Invalid side.")
    if params["type"] not in ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    if params.get("selfTradePreventionMode", "NONE") != "NONE":
        raise ApiError(-1013, "This symbol does not allow the specified self-trade prevention mode.")
    return Side[params["side"]], params["type"]


def _time_in_force(params: Mapping[str, str], order_type: str) -> TimeInForce:
    if order_type != "LIMIT":
        _refuse(params, "timeInForce")
        return TimeInForce.GTC
    if not params.get("timeInForce"):
        raise missing("timeInForce")
    if params["timeInForce"] not in TimeInForce.__members__:
        raise ApiError(-1115, "Invalid timeInForce.")
    return TimeInForce[params["timeInForce"]]


def _refuse(params: Mapping[str, str], name: str) -> None:
    if name in params:
        raise ApiError(-1106, f"Parameter '{name}' sent when not required.")


def _decimal(params: Mapping[str, str], name: str) -> str:
    text = params.get(name, "")
    if not text:
        raise missing(name)
    if not _DECIMAL.match(text):
        raise illegal(name, _DECIMAL.pattern)
    if len(text.partition(".")[2].rstrip("0")) > PRECISION:
        raise ApiError(-1111, f"Parameter '{name}' has too much precision.")
    return text.rstrip("0") if "." in text else text


def _price(params: Mapping[str, str], instrument: Instrument) -> int:
    text = _decimal(params, "price")
    limits = instrument.limits
    try:
        ticks = instrument.price.parse(text)
    except ScaleError:
        raise filter_failure("PRICE_FILTER") from None
    if not ticks:
        raise ApiError(-1013, "Invalid price.")
    if ticks < limits.min_price_ticks or ticks > (limits.max_price_ticks or ticks):
        raise filter_failure("PRICE_FILTER")
    return ticks


def _quantity(params: Mapping[str, str], instrument: Instrument, *, is_market: bool) -> int:
    text = _decimal(params, "quantity")
    limits = instrument.limits
    try:
        lots = instrument.qty.parse(text)
    except ScaleError:
        raise filter_failure("LOT_SIZE") from None
    if not lots:
        raise ApiError(-1013, "Invalid quantity.")
    if lots % STEP_LOTS or lots < limits.min_qty_lots or lots > (limits.max_qty_lots or lots):
        raise filter_failure("LOT_SIZE")
    if is_market and lots > (limits.max_market_qty_lots or lots):
        raise filter_failure("MARKET_LOT_SIZE")
    return lots


def _quote_amount(params: Mapping[str, str]) -> int:
    try:
        units = UNIT.parse(_decimal(params, "quoteOrderQty"))
    except ScaleError:
        raise ApiError(-1108, "Parameter 'quoteOrderQty' overflowed.") from None
    if not units:
        raise ApiError(-1013, "Invalid quantity.")
    return units


def _check_market(order: ExchangeOrder, account: Account, market: VenueMarket, now_us: int) -> None:
    """Pass the filters that need a price to compare with, or the account's open orders."""
    limits = order.instrument.limits
    average_ticks = market.average_ticks(now_us // 1_000_000)
    ticks = order.price_ticks or average_ticks
    if order.price_ticks and average_ticks:
        highest, lowest = average_ticks * PERCENT_PRICE_UP, average_ticks * PERCENT_PRICE_DOWN
        if not lowest <= ticks <= highest:
            raise filter_failure("PERCENT_PRICE_BY_SIDE")
    notional = order.quote_units or ticks * order.qty_lots * tick_lot_units(order.instrument)
    if ticks and limits.min_notional is not None and notional < whole_units(limits.min_notional):
        raise filter_failure("NOTIONAL")
    if order.price_ticks and limits.max_notional is not None and notional > whole_units(limits.max_notional):
        raise filter_failure("NOTIONAL")
    rests = order.price_ticks and order.time_in_force is TimeInForce.GTC
    if rests and len(account.open_orders) >= (limits.max_open_orders or len(account.open_orders) + 1):
        raise filter_failure("MAX_NUM_ORDERS")
