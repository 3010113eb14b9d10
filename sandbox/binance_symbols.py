"""What the sandbox's Binance lists: BTCUSDT with its filters, and `exchangeInfo`'s words for it.

Source of the numbers: an undated exchangeInfo answer of the venue, kept in public code; they were not compared with an
answer of August 2024. MARKET_LOT_SIZE's maximum, which the venue moves daily, is cut to a whole lot. Rate limits are
announced as numbers that nobody reaches, because the sandbox counts requests but throttles none.
"""

from decimal import Decimal
from typing import Any

from market.instrument import Instrument, OrderLimits
from market.scale import Scale

PRECISION = 8  # decimals of every price, quantity and amount in Binance's JSON
STEP_LOTS = 10  # an order is a multiple of 0.00001, but the book still holds quantities of an older, finer step
UNIT = Scale(Decimal("0.00000001"))  # the exact unit of balances and commissions
PERCENT_PRICE_UP = 5  # × the average price, both sides (PERCENT_PRICE_BY_SIDE)
PERCENT_PRICE_DOWN = Decimal("0.2")

RATE_LIMITS: tuple[tuple[str, str, int, int], ...] = (
    ("REQUEST_WEIGHT", "MINUTE", 1, 60_000_000),
    ("ORDERS", "SECOND", 10, 10_000_000),
    ("ORDERS", "DAY", 1, 1_000_000_000),
    ("RAW_REQUESTS", "MINUTE", 5, 300_000_000),
)
ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET")

BTCUSDT = Instrument(
    id=1,
    name="BTC-USDT",
    venue="binance",
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    price=Scale(Decimal("0.01")),
    qty=Scale(Decimal("0.000001")),
    limits=OrderLimits(
        min_price_ticks=1,
        max_price_ticks=100_000_000,
        min_qty_lots=10,
        max_qty_lots=9_000_000_000,
        max_market_qty_lots=83_765_720,
        min_notional=Decimal(5),
        max_notional=Decimal(9_000_000),
        max_open_orders=200,
    ),
)


def padded(scale: Scale, count: int) -> str:
    """Write a count of ticks or lots with Binance's eight decimals: 6183763 → `"61837.63000000"`."""
    return scale.text(count) + "0" * (PRECISION - scale.decimals)


def rate_limits() -> list[dict[str, Any]]:
    """Return exchangeInfo's `rateLimits`."""
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in RATE_LIMITS
    ]


def symbol_information(instrument: Instrument) -> dict[str, Any]:
    """Return one entry of exchangeInfo's `symbols`."""
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": PRECISION,
        "quoteAsset": instrument.quote,
        "quotePrecision": PRECISION,
        "quoteAssetPrecision": PRECISION,
        "baseCommissionPrecision": PRECISION,
        "quoteCommissionPrecision": PRECISION,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(instrument),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def _filters(instrument: Instrument) -> list[dict[str, Any]]:
    limits = instrument.limits
    price, qty = instrument.price, instrument.qty
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": padded(price, limits.min_price_ticks),
            "maxPrice": padded(price, limits.max_price_ticks or 0),
            "tickSize": padded(price, 1),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": padded(qty, limits.min_qty_lots),
            "maxQty": padded(qty, limits.max_qty_lots or 0),
            "stepSize": padded(qty, STEP_LOTS),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": padded(qty, 0),
            "maxQty": padded(qty, limits.max_market_qty_lots or 0),
            "stepSize": padded(qty, 0),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(PERCENT_PRICE_UP),
            "bidMultiplierDown": str(PERCENT_PRICE_DOWN),
            "askMultiplierUp": str(PERCENT_PRICE_UP),
            "askMultiplierDown": str(PERCENT_PRICE_DOWN),
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": f"{limits.min_notional:.8f}",
            "applyMinToMarket": True,
            "maxNotional": f"{limits.max_notional:.8f}",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": limits.max_open_orders},
    ]
