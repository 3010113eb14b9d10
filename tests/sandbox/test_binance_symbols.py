"""What is listed, in Binance's words."""

from sandbox.binance_symbols import BTCUSDT, padded, symbol_information


def test_numbers_have_eight_decimals() -> None:
    """As in every Binance message."""
    assert padded(BTCUSDT.price, 6183763) == "61837.63000000"
    assert padded(BTCUSDT.qty, 10) == "0.00001000"


def test_the_announced_filters_are_the_checked_ones() -> None:
    """The numbers that an order is checked against are those announced."""
    filters = {entry["filterType"]: entry for entry in symbol_information(BTCUSDT)["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["PRICE_FILTER"]["maxPrice"] == "1000000.00000000"
    assert filters["LOT_SIZE"] == {
        "filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000",
    }  # fmt: skip
    assert filters["MARKET_LOT_SIZE"]["maxQty"] == "83.76572000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert filters["MAX_NUM_ORDERS"]["maxNumOrders"] == 200
