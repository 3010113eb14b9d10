"""Requests answered by the API behind both protocols, on the laboratory's exchange."""

from typing import Any

import pytest

from sandbox.binance_api import BinanceApi, Call
from sandbox.binance_errors import ApiError
from sandbox.binance_reports import microseconds, milliseconds

Lab = Any  # conftest's; test folders are not packages
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100.00", "quantity": "1"}


@pytest.fixture
def api(lab: Lab) -> BinanceApi:
    return BinanceApi(lab.exchange, lab.store)


def call(lab: Lab, **params: str) -> Call:
    return Call(params, 5_000_000, milliseconds, lab.ann)


def refused(code: int, handler: Any, request: Call) -> None:  # noqa: ANN401 - any of the API's methods
    with pytest.raises(ApiError) as caught:
        handler(request)
    assert code == caught.value.code


def test_depth_is_the_published_book(lab: Lab, api: BinanceApi) -> None:
    """An own order is not in it: it is the recorded market's book."""
    api.place(call(lab, **BUY))
    assert api.depth(call(lab, symbol="BTCUSDT", limit="1")) == {
        "lastUpdateId": 10,
        "bids": [("100.00000000", "1.00000000")],
        "asks": [("101.00000000", "1.00000000")],
    }


def test_the_three_answers_to_an_order(lab: Lab, api: BinanceApi) -> None:
    """ACK has no state, RESULT no fills, FULL both."""
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.5"}
    ack, result, full = (api.place(call(lab, **market, newOrderRespType=kind)) for kind in ("ACK", "RESULT", "FULL"))
    assert list(ack) == ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime"]
    assert (result["status"], result["cummulativeQuoteQty"]) == ("FILLED", "50.50000000")
    assert "fills" not in result
    (fill,) = full["fills"]
    assert (fill["price"], fill["qty"], fill["tradeId"]) == ("102.00000000", "0.50000000", 3)
    assert (fill["commission"], fill["commissionAsset"]) == ("0.00050000", "BTC")


def test_cancel_restrictions_are_obeyed(lab: Lab, api: BinanceApi) -> None:
    """ONLY_NEW and ONLY_PARTIALLY_FILLED, and a word that is neither."""
    order = {"symbol": "BTCUSDT", "orderId": str(api.place(call(lab, **BUY))["orderId"])}
    refused(-2011, api.cancel, call(lab, **order, cancelRestrictions="ONLY_PARTIALLY_FILLED"))
    refused(-1145, api.cancel, call(lab, **order, cancelRestrictions="ALWAYS"))
    assert api.cancel(call(lab, **order, cancelRestrictions="ONLY_NEW"))["status"] == "CANCELED"
    refused(-2011, api.cancel, call(lab, **order))


def test_post_only_and_duplicates_are_rejected_in_the_venues_words(lab: Lab, api: BinanceApi) -> None:
    """-2010 with the reason that bots look for."""
    maker = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "price": "101.00", "quantity": "1"}
    with pytest.raises(ApiError, match=r"Order would immediately match and take\."):
        api.place(call(lab, **maker))
    api.place(call(lab, **BUY, newClientOrderId="same"))
    with pytest.raises(ApiError, match=r"Duplicate order sent\."):
        api.place(call(lab, **BUY, newClientOrderId="same"))
    with pytest.raises(ApiError, match="insufficient balance"):
        api.place(call(lab, **BUY | {"quantity": "10"}))


def test_both_ids_must_fit(lab: Lab, api: BinanceApi) -> None:
    """An order id with another order's client id names nothing."""
    placed = api.place(call(lab, **BUY, newClientOrderId="mine"))
    named = {"symbol": "BTCUSDT", "orderId": str(placed["orderId"])}
    assert api.order_status(call(lab, **named, origClientOrderId="mine"))["clientOrderId"] == "mine"
    refused(-2013, api.order_status, call(lab, **named, origClientOrderId="other"))


def test_a_tested_order_is_checked_and_not_placed(lab: Lab, api: BinanceApi) -> None:
    """Filters apply; nothing rests afterwards."""
    assert api.test_order(call(lab, **BUY)) == {}
    refused(-1013, api.test_order, call(lab, **BUY | {"quantity": "0.00001"}))
    assert api.open_orders(call(lab)) == []


def test_cancelling_all_takes_every_open_order(lab: Lab, api: BinanceApi) -> None:
    """And says so when there is none."""
    for _ in range(3):
        api.place(call(lab, **BUY))
    assert [entry["status"] for entry in api.cancel_all(call(lab, symbol="BTCUSDT"))] == ["CANCELED"] * 3
    refused(-2011, api.cancel_all, call(lab, symbol="BTCUSDT"))


def test_symbols_are_chosen_by_name_or_list(lab: Lab, api: BinanceApi) -> None:
    """One, several or all; an unknown one is an error, and so are both parameters at once."""
    for params in ({}, {"symbol": "BTCUSDT"}, {"symbols": '["BTCUSDT"]'}):
        assert [entry["symbol"] for entry in api.exchange_info(call(lab, **params))["symbols"]] == ["BTCUSDT"]
    refused(-1121, api.exchange_info, call(lab, symbol="DOGEUSDT"))
    refused(-1100, api.exchange_info, call(lab, symbols="BTCUSDT"))
    refused(-1128, api.exchange_info, call(lab, symbol="BTCUSDT", symbols="[]"))


def test_times_are_in_the_callers_unit(lab: Lab, api: BinanceApi) -> None:
    """Milliseconds, or microseconds."""
    assert api.time(call(lab)) == {"serverTime": 5000}
    assert api.time(Call({}, 5_000_000, microseconds)) == {"serverTime": 5_000_000}
