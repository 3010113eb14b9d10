"""New-order parameters: what is accepted, and the venue's refusal at each filter's limit."""

from decimal import Decimal

import pytest

from market.events import BookSnapshot, Side
from market.orders import TimeInForce
from sandbox.accounts import Account, ExchangeOrder
from sandbox.binance_errors import ApiError
from sandbox.binance_orders import new_order, response_type
from sandbox.binance_symbols import BTCUSDT
from sandbox.venue_market import VenueMarket

LIMIT = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "60000.00", "quantity": "0.001",
}  # fmt: skip
MARKET = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.001"}


def market() -> VenueMarket:
    venue = VenueMarket(BTCUSDT)
    venue.reset(BookSnapshot(BTCUSDT, [(59_999_99, 10**9)], [(60_000_01, 10**9)], 1, None))
    return venue


def read(params: dict[str, str], account: Account | None = None) -> ExchangeOrder:
    return new_order(params, account or Account("k", "s"), market(), "generated", 1_000_000)


def without(params: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in params.items() if key != name}


def test_a_limit_order_is_read() -> None:
    """Ticks, lots and the client's own id."""
    order = read(LIMIT | {"newClientOrderId": "mine-1"})
    assert (order.client_id, order.side, order.time_in_force) == ("mine-1", Side.BUY, TimeInForce.GTC)
    assert (order.price_ticks, order.qty_lots) == (6_000_000, 1000)


def test_a_market_order_by_quote_amount_is_read() -> None:
    """It has an amount instead of a quantity, and a generated id."""
    order = read(without(MARKET, "quantity") | {"quoteOrderQty": "100.5"})
    assert (order.client_id, order.qty_lots, order.quote_units) == ("generated", 0, int(Decimal("100.5") * 10**8))


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        (without(LIMIT, "side"), -1102, "Mandatory parameter 'side'"),
        (without(LIMIT, "price"), -1102, "Mandatory parameter 'price'"),
        (without(LIMIT, "timeInForce"), -1102, "Mandatory parameter 'timeInForce'"),
        (without(MARKET, "quantity"), -1102, "Param 'quantity' or 'quoteOrderQty' must be sent"),
        (MARKET | {"quoteOrderQty": "10"}, -1128, "Combination"),
        (MARKET | {"price": "1"}, -1106, "Parameter 'price' sent when not required."),
        (MARKET | {"timeInForce": "GTC"}, -1106, "Parameter 'timeInForce' sent when not required."),
        (LIMIT | {"quoteOrderQty": "1"}, -1106, "Parameter 'quoteOrderQty'"),
        (LIMIT | {"side": "buy"}, -1117, "Invalid side."),
        (LIMIT | {"type": "ICEBERG"}, -1116, "Invalid orderType."),
        (LIMIT | {"timeInForce": "DAY"}, -1115, "Invalid timeInForce."),
        (LIMIT | {"price": "-1"}, -1100, "Illegal characters found in parameter 'price'"),
        (LIMIT | {"price": "1e3"}, -1100, "Illegal characters"),
        (LIMIT | {"price": "60000.000000001"}, -1111, "Parameter 'price' has too much precision."),
        (LIMIT | {"newClientOrderId": "a b"}, -1100, "'newClientOrderId'"),
        (LIMIT | {"newClientOrderId": "x" * 37}, -1100, "'newClientOrderId'"),
        (LIMIT | {"colour": "red"}, -1104, "read '6' parameter(s) but was sent '7'"),
        (LIMIT | {"selfTradePreventionMode": "EXPIRE_BOTH"}, -1013, "self-trade prevention"),
    ],
)
def test_a_bad_parameter_is_refused(params: dict[str, str], code: int, words: str) -> None:
    """With the code and the words of errors.md."""
    with pytest.raises(ApiError) as caught:
        read(params)
    assert code == caught.value.code
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("inside", "outside", "failure"),
    [
        (LIMIT | {"price": "60000.01"}, LIMIT | {"price": "60000.001"}, "PRICE_FILTER"),
        (LIMIT | {"quantity": "0.00101"}, LIMIT | {"quantity": "0.001001"}, "LOT_SIZE"),
        (MARKET | {"quantity": "83.76572"}, MARKET | {"quantity": "83.76573"}, "MARKET_LOT_SIZE"),
        (LIMIT | {"price": "300000"}, LIMIT | {"price": "300000.01"}, "PERCENT_PRICE_BY_SIDE"),
        (LIMIT | {"price": "12000"}, LIMIT | {"price": "11999.99"}, "PERCENT_PRICE_BY_SIDE"),
        (LIMIT | {"quantity": "0.00009"}, LIMIT | {"quantity": "0.00008"}, "NOTIONAL"),
        (MARKET | {"quantity": "0.00009"}, MARKET | {"quantity": "0.00008"}, "NOTIONAL"),
        (LIMIT | {"quantity": "150"}, LIMIT | {"quantity": "150.00001"}, "NOTIONAL"),
    ],
)
def test_a_filter_passes_at_its_limit_and_fails_one_step_outside(
    inside: dict[str, str], outside: dict[str, str], failure: str
) -> None:
    """-1013 with the filter's name."""
    assert read(inside).status.name == "NEW"
    with pytest.raises(ApiError) as caught:
        read(outside)
    assert (caught.value.code, caught.value.message) == (-1013, f"Filter failure: {failure}")


def test_an_account_has_at_most_200_open_orders() -> None:
    """MAX_NUM_ORDERS counts what would rest, not market or IOC orders."""
    account = Account("k", "s")
    for number in range(199):
        account.open_orders[number] = read(LIMIT)
    read(LIMIT, account)
    account.open_orders[200] = read(LIMIT)
    with pytest.raises(ApiError, match="MAX_NUM_ORDERS"):
        read(LIMIT, account)
    read(MARKET, account)
    read(LIMIT | {"timeInForce": "IOC"}, account)


def test_how_much_is_answered_depends_on_the_type() -> None:
    """LIMIT and MARKET: FULL; LIMIT_MAKER: ACK."""
    assert response_type({"type": "LIMIT"}) == "FULL"
    assert response_type({"type": "LIMIT_MAKER"}) == "ACK"
    assert response_type({"type": "MARKET", "newOrderRespType": "RESULT"}) == "RESULT"
    with pytest.raises(ApiError):
        response_type({"type": "MARKET", "newOrderRespType": "NONE"})
