"""What Binance says of an instrument, and where its environments live."""

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.adapter import UnknownSymbol
from venues.binance import Binance

FILTERS: list[dict[str, object]] = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01000000"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
    {"filterType": "ICEBERG_PARTS", "limit": 10},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "81.18331312", "stepSize": "0.00000000"},
    {
        "filterType": "NOTIONAL",
        "minNotional": "5.00000000",
        "applyMinToMarket": True,
        "maxNotional": "9000000.00000000",
    },
    {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
]


def description(filters: list[dict[str, object]] = FILTERS, **changes: object) -> bytes:
    symbol = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8}
    symbol |= {"quoteAsset": "USDT", "filters": filters}
    return json.dumps({"timezone": "UTC", "symbols": [symbol | changes]}).encode()


def changed(kind: str, **changes: object) -> bytes:
    return description([each | changes if each["filterType"] == kind else each for each in FILTERS])


def test_an_instrument_is_what_the_venue_describes() -> None:
    """Ticks of its price filter, lots of the asset's last decimal, every limit in those units."""
    found = Binance().parse_instrument("BTC-USDT", 3, 200, description())
    assert (3, "BTC-USDT", "binance", "BTCUSDT") == (found.id, found.name, found.venue, found.symbol)
    assert (Decimal("0.01"), Decimal("1E-8")) == (found.price.step, found.qty.step)
    limits = found.limits
    assert (1, 100_000_000) == (limits.min_price_ticks, limits.max_price_ticks)
    assert (1000, 1000, 900_000_000_000) == (limits.qty_step_lots, limits.min_qty_lots, limits.max_qty_lots)
    assert 8_118_331_312 == limits.max_market_qty_lots
    assert (Decimal(5), Decimal(9_000_000), 200) == (limits.min_notional, limits.max_notional, limits.max_open_orders)


def test_a_missing_filter_is_no_limit() -> None:
    """Zero means none as well (filters.md)."""
    found = Binance().parse_instrument(
        "BTC-USDT", 1, 200, description([{**FILTERS[0], "maxPrice": "0.00"}, {**FILTERS[1], "maxQty": "0.00"}])
    )
    limits = found.limits
    assert [None] * 6 == [
        limits.max_price_ticks,
        limits.max_qty_lots,
        limits.max_market_qty_lots,
        limits.min_notional,
        limits.max_notional,
        limits.max_open_orders,
    ]


def test_the_old_name_of_the_notional_filter_is_read() -> None:
    """MIN_NOTIONAL came before NOTIONAL."""
    old: dict[str, object] = {"filterType": "MIN_NOTIONAL", "minNotional": "10.00"}
    found = Binance().parse_instrument("BTC-USDT", 1, 200, description([*FILTERS[:2], old]))
    assert Decimal(10) == found.limits.min_notional


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"symbols":[]}',
        description()[:-1],
        description([]),
        description(FILTERS[1:]),
        description(baseAssetPrecision="8"),
        description(baseAssetPrecision=10**9),
        description(baseAssetPrecision=-(10**9)),
        description(baseAssetPrecision=30),
        description().replace(json.dumps(FILTERS).encode(), b"null"),
        description([{}]),
        changed("PRICE_FILTER", tickSize="0.00"),
        changed("PRICE_FILTER", tickSize="-0.01"),
        changed("PRICE_FILTER", tickSize="NaN"),
        changed("PRICE_FILTER", tickSize="one"),
        changed("PRICE_FILTER", tickSize=0.01),
        changed("PRICE_FILTER", tickSize=None),
        changed("PRICE_FILTER", minPrice=1),
        changed("PRICE_FILTER", minPrice="0.001"),
        changed("LOT_SIZE", stepSize="0.000000001"),
        changed("LOT_SIZE", maxQty="inf"),
        changed("NOTIONAL", minNotional="NaN"),
        changed("NOTIONAL", maxNotional="Infinity"),
        changed("NOTIONAL", minNotional="-5"),
        changed("NOTIONAL", minNotional=5),
        changed("MAX_NUM_ORDERS", maxNumOrders="200"),
    ],
)
def test_a_description_that_cannot_be_read_is_the_symbols_fault(body: bytes) -> None:
    """One kind of error, which names the instrument."""
    with pytest.raises(UnknownSymbol, match="binance describes BTC-USDT in a form that cannot be read"):
        Binance().parse_instrument("BTC-USDT", 1, 200, body)


def test_a_name_must_be_split_as_the_venue_splits_it() -> None:
    """BTCU-SDT has the same letters and is not the same."""
    with pytest.raises(UnknownSymbol, match="does not list BTCU-SDT: its BTCUSDT is BTC-USDT"):
        Binance().parse_instrument("BTCU-SDT", 1, 200, description())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"code":-1121,"msg":"Invalid symbol."}', r"does not list BTC-USDT: Invalid symbol. \(-1121\)"),
        (b"<html>busy</html>", "does not list BTC-USDT: HTTP 400 <html>busy</html>"),
        (b"[" * 100_000, "HTTP 400"),
        (b"\xff", "HTTP 400"),
    ],
)
def test_a_refusal_carries_the_venues_words(body: bytes, words: str) -> None:
    """Its code and message, or what else it said."""
    with pytest.raises(UnknownSymbol, match=words):
        Binance().parse_instrument("BTC-USDT", 1, 400, body)


keys = st.sampled_from(["symbols", "symbol", "filters", "filterType", "tickSize", "baseAssetPrecision"])
json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
)


@given(body=st.binary(max_size=200) | json_values.map(msgspec.json.encode), status=st.sampled_from([200, 404]))
def test_any_description_gives_an_instrument_or_says_why_not(body: bytes, status: int) -> None:
    """Never another exception."""
    with pytest.raises(UnknownSymbol):
        Binance().parse_instrument("BTC-USDT", 1, status, body)


def test_production_has_no_order_endpoint() -> None:
    """Market data only."""
    assert Binance().endpoints("production", None).orders is None


@pytest.mark.parametrize(
    ("url", "stream_url", "orders"),
    [
        ("https://127.0.0.1:8443", "wss://127.0.0.1:8443", "wss://127.0.0.1:8443/ws-api/v3"),
        ("http://localhost:8080/", "ws://localhost:8080", "ws://localhost:8080/ws-api/v3"),
    ],
)
def test_a_local_exchange_is_where_the_configuration_says(url: str, stream_url: str, orders: str) -> None:
    """TLS for https, plain text for http."""
    found = Binance().endpoints("local", url)
    assert (stream_url, orders) == (found.stream, found.orders)
    assert url.rstrip("/") == found.rest


@pytest.mark.parametrize(("environment", "words"), [("live", "not 'live'"), ("local", r"needs \[local\] url")])
def test_an_environment_that_is_not_there_is_refused(environment: str, words: str) -> None:
    """In words for the configuration's author."""
    with pytest.raises(ValueError, match=words):
        Binance().endpoints(environment, None)
