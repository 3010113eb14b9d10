"""Binance spot: combined market streams, book synchronisation, order entry over the WebSocket API.

Loss rule: the depth stream numbers its updates, `U` to `u`; one that begins behind the next number shows a gap, and the
book is synchronised anew from a REST snapshot. Trades and quotes carry no number that shows a loss.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams (streams, and "How to manage a
local order book correctly"), .../websocket-api (order entry, request security), .../user-data-stream (execution
reports), .../filters. Times are in milliseconds or, where asked for, microseconds.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Struct, field

from market.events import (
    BookDelta,
    BookSnapshot,
    FeedState,
    FeedStatus,
    Level,
    Malformed,
    MarketEvent,
    Quote,
    Side,
    SnapshotWanted,
    Trade,
)
from market.instrument import Instrument, OrderLimits
from market.scale import Scale, ScaleError
from venues.adapter import Credentials, Endpoints, UnknownSymbol
from venues.binance_orders import BinanceOrderEntry
from venues.binance_time import Time, to_ns

NAME = "binance"
SNAPSHOT_LEVELS = 5000

_STREAMS = {"trade": "trade", "book": "depth@100ms", "quote": "bookTicker"}
_BUY, _SELL = (
    Side.BUY,
    Side.SELL,
)  # bound once: Python 3.11 looks an enum's member up through a property written in Python (benchmarks/hot_path.py)
_PREFIX = len(b'{"stream":"')
_MAX_BUFFERED = 20_000  # updates kept while a snapshot is under way, half an hour of them


class _TradeData(Struct, gc=False):
    time: Time = field(name="E")
    trade_id: int = field(name="t")
    price: str = field(name="p")
    quantity: str = field(name="q")
    buyer_is_maker: bool = field(name="m")


class _QuoteData(Struct, gc=False):
    bid: str = field(name="b")
    bid_quantity: str = field(name="B")
    ask: str = field(name="a")
    ask_quantity: str = field(name="A")
    time: Time = field(name="E", default=0)  # not sent on spot


class _DepthData(Struct, gc=False):
    time: Time = field(name="E")
    first_id: int = field(name="U")
    last_id: int = field(name="u")
    bids: list[tuple[str, str]] = field(name="b")
    asks: list[tuple[str, str]] = field(name="a")


class _TradeMessage(Struct, gc=False):
    data: _TradeData


class _QuoteMessage(Struct, gc=False):
    data: _QuoteData


class _DepthMessage(Struct, gc=False):
    data: _DepthData


class _SnapshotBody(Struct):
    last_id: int = field(name="lastUpdateId")
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


# msgspec lets bad UTF-8 and JSON that nests thousands deep through as Python's own errors
_UNREADABLE = (msgspec.MsgspecError, ScaleError, UnicodeError, RecursionError)

_decode_trade = msgspec.json.Decoder(_TradeMessage).decode
_decode_quote = msgspec.json.Decoder(_QuoteMessage).decode
_decode_depth = msgspec.json.Decoder(_DepthMessage).decode
_decode_snapshot = msgspec.json.Decoder(_SnapshotBody).decode


class _Depth:
    """How far one instrument's book is synchronised."""

    __slots__ = ("buffered", "last_id", "snapshot_asked")

    def __init__(self) -> None:
        self.last_id = 0  # of the last update applied; 0 while there is no book
        self.buffered: list[tuple[int, BookDelta]] = []  # (U, update) since the snapshot was asked for
        self.snapshot_asked = False


class BinanceFeed:
    """One combined-stream connection (see `venues.adapter.Feed`).

    Args:
        instruments: what to subscribe to.
        channels: `trade`, `book`, `quote`.
    """

    def __init__(self, instruments: Sequence[Instrument], channels: Sequence[str]) -> None:
        self.instrument_id = 0
        self.exchange_ns: int | None = None
        self._depths = {instrument: _Depth() for instrument in instruments}
        self._routes: dict[bytes, tuple[Callable[[Instrument, bytes], Sequence[MarketEvent]], Instrument]] = {}
        handlers = {"trade": self._trade, "book": self._depth, "quote": self._quote}
        for instrument in instruments:
            for channel in channels:
                stream = f"{instrument.symbol.lower()}@{_STREAMS[channel]}"
                self._routes[stream.encode()] = (handlers[channel], instrument)
        self.target = "/stream?streams=" + "/".join(map(bytes.decode, self._routes)) + "&timeUnit=MICROSECOND"

    def receive(self, payload: bytes) -> Sequence[MarketEvent]:
        """Take one message of the combined stream."""
        # the venue puts the stream's name first: reading it in place saves a second parse (benchmarks/throughput.py)
        route = self._routes.get(payload[_PREFIX : payload.find(b'"', _PREFIX)])
        if route is None:
            return self._rare(payload)
        try:
            return route[0](route[1], payload)
        except _UNREADABLE as error:
            return self._malformed(str(error), payload)

    def _trade(self, instrument: Instrument, payload: bytes) -> Sequence[MarketEvent]:
        data = _decode_trade(payload).data
        self.instrument_id = instrument.id
        self.exchange_ns = exchange_ns = to_ns(data.time)
        return (
            Trade(
                instrument,
                instrument.price.parse(data.price),
                instrument.qty.parse(data.quantity),
                _SELL if data.buyer_is_maker else _BUY,
                data.trade_id,
                exchange_ns,
            ),
        )

    def _quote(self, instrument: Instrument, payload: bytes) -> Sequence[MarketEvent]:
        data = _decode_quote(payload).data
        price, qty = instrument.price.parse, instrument.qty.parse
        self.instrument_id = instrument.id
        self.exchange_ns = exchange_ns = to_ns(data.time)
        return (
            Quote(
                instrument,
                price(data.bid),
                qty(data.bid_quantity),
                price(data.ask),
                qty(data.ask_quantity),
                exchange_ns,
            ),
        )

    def _depth(self, instrument: Instrument, payload: bytes) -> Sequence[MarketEvent]:
        data = _decode_depth(payload).data
        self.instrument_id = instrument.id
        self.exchange_ns = exchange_ns = to_ns(data.time)
        bids, asks = _levels(instrument, data.bids), _levels(instrument, data.asks)
        delta = BookDelta(instrument, bids, asks, data.last_id, exchange_ns)
        depth = self._depths[instrument]
        expected = depth.last_id + 1
        if depth.last_id and data.first_id <= expected:
            if data.last_id < expected:
                return ()
            depth.last_id = data.last_id
            return (delta,)
        events: list[MarketEvent] = []
        if depth.last_id:
            reason = f"gap: expected update {expected}, was {data.first_id}"
            events.append(FeedStatus(instrument, FeedState.SUSPECT, reason))
            depth.last_id = 0
        depth.buffered.append((data.first_id, delta))
        if len(depth.buffered) > _MAX_BUFFERED:  # no snapshot came: the oldest would not be needed any more
            del depth.buffered[: _MAX_BUFFERED // 2]
        if not depth.snapshot_asked:
            events.append(FeedStatus(instrument, FeedState.SYNCING, "waiting for a snapshot"))
            events.append(self._want_snapshot(instrument))
        return events

    def _want_snapshot(self, instrument: Instrument) -> SnapshotWanted:
        self._depths[instrument].snapshot_asked = True
        return SnapshotWanted(instrument, f"/api/v3/depth?symbol={instrument.symbol}&limit={SNAPSHOT_LEVELS}")

    def receive_snapshot(self, instrument: Instrument, body: bytes) -> Sequence[MarketEvent]:
        """Take the REST snapshot and the updates that were buffered meanwhile."""
        depth = self._depths[instrument]
        if not depth.snapshot_asked:  # asked for before the connection was lost, or answered twice
            return ()
        try:
            data = _decode_snapshot(body)
            bids, asks = _levels(instrument, data.bids), _levels(instrument, data.asks)
        except _UNREADABLE as error:
            return (*self._malformed(f"snapshot: {error}", body), self._want_snapshot(instrument))
        fresh = [(first, delta) for first, delta in depth.buffered if delta.sequence > data.last_id]
        if fresh and fresh[0][0] > data.last_id + 1:  # older than the first update that was seen
            return (self._want_snapshot(instrument),)
        depth.buffered.clear()
        depth.snapshot_asked = False
        depth.last_id = data.last_id
        events: list[MarketEvent] = [BookSnapshot(instrument, bids, asks, data.last_id, None)]
        for first_id, delta in fresh:
            if first_id > depth.last_id + 1:
                reason = f"gap: expected update {depth.last_id + 1}, was {first_id}"
                depth.last_id = 0
                return (FeedStatus(instrument, FeedState.SUSPECT, reason), self._want_snapshot(instrument))
            depth.last_id = delta.sequence
            events.append(delta)
        events.append(FeedStatus(instrument, FeedState.LIVE, f"synchronised at update {data.last_id}"))
        return events

    def disconnected(self) -> Sequence[MarketEvent]:
        """Start every book anew."""
        events = []
        for instrument, depth in self._depths.items():
            if depth.last_id or depth.buffered:
                events.append(FeedStatus(instrument, FeedState.DOWN, "the connection was lost"))
            self._depths[instrument] = _Depth()
        return events

    def _rare(self, payload: bytes) -> Sequence[MarketEvent]:
        """Take a message that does not begin with a known stream's name."""
        try:
            message = msgspec.json.decode(payload)
            stream = message.get("stream")
            route = self._routes.get(str(stream).encode())
            if route is not None:  # the same with other white space or key order
                return route[0](route[1], payload)
        except (*_UNREADABLE, AttributeError) as error:
            return self._malformed(f"expected a JSON object of a combined stream: {error}", payload)
        if "id" in message and "error" not in message:
            self.instrument_id, self.exchange_ns = 0, None
            return ()  # the answer to a subscription
        return self._malformed(f"unknown stream {str(stream)[:64]!r}", payload)

    def _malformed(self, reason: str, payload: bytes) -> Sequence[MarketEvent]:
        self.instrument_id, self.exchange_ns = 0, None
        return (Malformed(reason, payload[:200].decode(errors="replace")),)


def _levels(instrument: Instrument, pairs: list[tuple[str, str]]) -> list[Level]:
    price, qty = instrument.price.parse, instrument.qty.parse
    return [(price(at), qty(quantity)) for at, quantity in pairs]


class _Error(Struct):
    code: int
    msg: str


class _Filter(Struct):
    kind: str = field(name="filterType")
    tick_size: str = field(name="tickSize", default="0")
    min_price: str = field(name="minPrice", default="0")
    max_price: str = field(name="maxPrice", default="0")
    step_size: str = field(name="stepSize", default="0")
    min_qty: str = field(name="minQty", default="0")
    max_qty: str = field(name="maxQty", default="0")
    min_notional: str | None = field(name="minNotional", default=None)
    max_notional: str | None = field(name="maxNotional", default=None)
    max_orders: int | None = field(name="maxNumOrders", default=None)


class _Symbol(Struct):
    symbol: str
    base: str = field(name="baseAsset")
    base_decimals: int = field(name="baseAssetPrecision")
    quote: str = field(name="quoteAsset")
    filters: list[_Filter]


class _ExchangeInfo(Struct):
    symbols: list[_Symbol]


class Binance:
    """The venue (see `venues.adapter.Venue`)."""

    name = NAME

    def endpoints(self, environment: str, local_url: str | None) -> Endpoints:
        """Return the endpoints of `production` (market data only), `testnet` or `local`."""
        if environment == "production":  # these hosts serve market data and nothing else
            return Endpoints("https://data-api.binance.vision", "wss://data-stream.binance.vision")
        if environment == "testnet":
            return Endpoints(
                "https://testnet.binance.vision",
                "wss://stream.testnet.binance.vision",
                "wss://ws-api.testnet.binance.vision/ws-api/v3",
            )
        if environment != "local":
            raise ValueError(f"binance has production, testnet and local, not {environment!r}")
        if local_url is None:
            raise ValueError("environment 'local' needs [local] url")
        base = local_url.rstrip("/")
        socket = "ws" + base.removeprefix("http")
        return Endpoints(base, socket, f"{socket}/ws-api/v3")

    def instrument_target(self, name: str) -> str:
        """Return the path and query that describe an instrument."""
        return f"/api/v3/exchangeInfo?symbol={name.replace('-', '')}"

    def parse_instrument(self, name: str, number: int, status: int, body: bytes) -> Instrument:
        """Read `exchangeInfo` of one symbol."""
        if status != 200:
            raise UnknownSymbol(f"binance does not list {name}: {_words(status, body)}")
        try:
            (symbol,) = msgspec.json.decode(body, type=_ExchangeInfo).symbols
            scales_and_limits = _scales_and_limits(symbol)
        except (*_UNREADABLE, InvalidOperation, KeyError, TypeError, ValueError) as error:
            raise UnknownSymbol(f"binance describes {name} in a form that cannot be read: {error!r}") from error
        if name != f"{symbol.base}-{symbol.quote}":
            raise UnknownSymbol(f"binance does not list {name}: its {symbol.symbol} is {symbol.base}-{symbol.quote}")
        return Instrument(number, name, NAME, symbol.symbol, symbol.base, symbol.quote, *scales_and_limits)

    def feed(self, instruments: Sequence[Instrument], channels: Sequence[str]) -> BinanceFeed:
        """Return a fresh feed."""
        return BinanceFeed(instruments, channels)

    def order_entry(self, instruments: Sequence[Instrument], credentials: Credentials) -> BinanceOrderEntry:
        """Return a fresh order entry session."""
        return BinanceOrderEntry(instruments, credentials)


def _words(status: int, body: bytes) -> str:
    try:
        error = msgspec.json.decode(body, type=_Error)
    except _UNREADABLE:
        return f"HTTP {status} {body[:100].decode(errors='replace')}"
    return f"{error.msg} ({error.code})"


def _scales_and_limits(symbol: _Symbol) -> tuple[Scale, Scale, OrderLimits]:
    """Read the exchange filters of one symbol (filters.md); a limit of 0 means none.

    A lot is the asset's last decimal, not the order step: books still hold quantities from finer steps of former years.
    """
    filters = {each.kind: each for each in symbol.filters}
    price_filter, lot_size = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    none = _Filter("")
    market, count = filters.get("MARKET_LOT_SIZE", none), filters.get("MAX_NUM_ORDERS", none)
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or none
    price, qty = Scale(Decimal(price_filter.tick_size)), Scale(Decimal(1).scaleb(-symbol.base_decimals))
    limits = OrderLimits(
        min_price_ticks=price.parse(price_filter.min_price),
        max_price_ticks=price.parse(price_filter.max_price) or None,
        qty_step_lots=qty.parse(lot_size.step_size) or 1,
        min_qty_lots=qty.parse(lot_size.min_qty),
        max_qty_lots=qty.parse(lot_size.max_qty) or None,
        max_market_qty_lots=qty.parse(market.max_qty) or None,
        min_notional=_amount(notional.min_notional),
        max_notional=_amount(notional.max_notional),
        max_open_orders=count.max_orders,
    )
    return price, qty, limits


def _amount(text: str | None) -> Decimal | None:
    if text is None:
        return None
    amount = Decimal(text)
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"expected an amount of money, was {text}")
    return amount
