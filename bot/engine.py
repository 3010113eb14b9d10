"""The middle of the trader: events in, strategy callbacks out. Pure: no I/O, no clock, no logging.

Everything that it consumes is an *input* with a trace id, counted from 1 in the order of consumption, and a time; the
same inputs always lead to the same intents. Who listens to what is decided when strategies are seated, not per message.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from bot.orders.manager import OrderManager
from bot.strategy import Strategy
from market.book import OrderBook
from market.events import (
    BookDelta,
    BookSnapshot,
    FeedState,
    FeedStatus,
    Malformed,
    MarketEvent,
    Quote,
    Side,
    SnapshotWanted,
    Trade,
)
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, Order, TimeInForce
from market.scale import ScaleError
from venues.adapter import OrderEvent

_BUY, _SELL = Side.BUY, Side.SELL  # bound once, as in venues/binance.py
_ANYTHING = (Exception, SystemExit)  # a plug-in that calls sys.exit must not end the trader


class Market:
    """What is known of one instrument's market."""

    __slots__ = ("book", "reference_ticks")

    def __init__(self, instrument: Instrument) -> None:
        self.book = OrderBook(instrument)
        self.reference_ticks = 0  # the last price seen


class Seat:
    """One strategy's place in the engine, and the `Context` that its callbacks get.

    Args:
        engine: the engine.
        name: the strategy's name in the configuration.
        route: the name of the route that its orders take.
        strategy: the strategy.
    """

    def __init__(self, engine: "Engine", name: str, route: str, strategy: Strategy) -> None:
        self.name = name
        self.route = route
        self.strategy = strategy
        self.stopped: str | None = None
        self._engine = engine
        self._markets = engine.markets
        self._submit = engine.orders.submit
        self._positions: dict[Instrument, int] = dict.fromkeys(engine.markets, 0)

    @property
    def now_ns(self) -> int:
        """When the message that is being handled was read."""
        return self._engine.now_ns

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instruments of the feeds."""
        return tuple(self._markets)

    def book(self, instrument: Instrument) -> OrderBook:
        """Return the instrument's order book."""
        return self._markets[instrument].book

    def position_lots(self, instrument: Instrument) -> int:
        """Return what this strategy's own fills add up to."""
        return self._positions[instrument]

    def buy(
        self,
        instrument: Instrument,
        quantity: Decimal,
        limit_ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> Order | None:
        """Send a buy order at once."""
        return self._order(instrument, _BUY, quantity, limit_ticks, time_in_force)

    def sell(
        self,
        instrument: Instrument,
        quantity: Decimal,
        limit_ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> Order | None:
        """Send a sell order at once."""
        return self._order(instrument, _SELL, quantity, limit_ticks, time_in_force)

    def _order(
        self, instrument: Instrument, side: Side, quantity: Decimal, limit_ticks: int, time_in_force: TimeInForce
    ) -> Order | None:
        qty_lots = instrument.qty.count(quantity)
        if not qty_lots:
            raise ScaleError(f"an order needs a quantity above 0, was {quantity}")
        return self._submit(
            self.name,
            self.route,
            self._engine.trace,
            instrument,
            side,
            qty_lots,
            limit_ticks,
            time_in_force,
            self._markets[instrument].reference_ticks,
        )

    def cancel(self, order: Order) -> None:
        """Ask the venue to cancel an open order."""
        self._engine.orders.cancel(order, self._engine.trace)

    def filled(self, order: Order, lots: int) -> None:
        """Count a fill of one of this strategy's orders."""
        self._positions[order.instrument] += lots if order.side is _BUY else -lots


class Engine:
    """Dispatches inputs to books and strategies.

    Args:
        instruments: everything that feeds may speak of.
        orders: who sends and keeps orders.

    Attributes:
        trace: the number of the input that is being consumed.
        now_ns: its time, which is the strategies' time.
        trades, gaps, dropped: how many trades, sequence gaps and messages that could not be used were seen.
        on_snapshot_wanted: told when a feed needs a REST snapshot.
        on_status: told of each change of a feed's state.
        on_dropped: told of each message that could not be used.
        on_strategy_stopped: told when a strategy raised: its seat and the exception.
    """

    def __init__(self, instruments: Sequence[Instrument], orders: OrderManager) -> None:
        self.trace = 0
        self.now_ns = 0
        self.trades = self.gaps = self.dropped = 0
        self.orders = orders
        self.markets = {instrument: Market(instrument) for instrument in instruments}
        self.seats: list[Seat] = []
        self.on_snapshot_wanted: Callable[[SnapshotWanted], None] = _ignore
        self.on_status: Callable[[FeedStatus], None] = _ignore
        self.on_dropped: Callable[[Malformed], None] = _ignore
        self.on_strategy_stopped: Callable[[Seat, BaseException], None] = _ignore
        self._listeners: dict[str, list[tuple[Callable[..., None], Seat]]] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            Trade: self._on_trade,
            Quote: self._on_quote,
            BookDelta: self._on_delta,
            BookSnapshot: self._on_snapshot,
            FeedStatus: self._on_feed_status,
            SnapshotWanted: self._on_snapshot_request,
            Malformed: self._on_malformed,
        }
        self._subscribe()

    # -- strategies ---------------------------------------------------------------------------------------------------

    def seat(self, name: str, route: str, strategy: Strategy) -> Seat:
        """Add a strategy; it hears from the next input on."""
        seat = Seat(self, name, route, strategy)
        self.seats.append(seat)
        self._subscribe()
        return seat

    def _subscribe(self) -> None:
        for callback in ("on_start", "on_trade", "on_quote", "on_book", "on_order", "on_timer", "on_stop"):
            self._listeners[callback] = [
                (getattr(seat.strategy, callback), seat)
                for seat in self.seats
                if seat.stopped is None and getattr(type(seat.strategy), callback) is not getattr(Strategy, callback)
            ]
        self._trade_listeners = self._listeners["on_trade"]
        self._quote_listeners = self._listeners["on_quote"]
        self._book_listeners = self._listeners["on_book"]

    def _call(self, listeners: list[tuple[Callable[..., None], Seat]], *arguments: object) -> None:
        for callback, seat in listeners:
            try:
                callback(*arguments, seat)
            except _ANYTHING as error:  # a plug-in may raise anything; it is stopped and reported
                self._stop(seat, error)

    def _stop(self, seat: Seat, error: BaseException) -> None:
        seat.stopped = f"{type(error).__name__}: {error}"
        self._subscribe()
        self.on_strategy_stopped(seat, error)

    # -- inputs -------------------------------------------------------------------------------------------------------

    def consume(self, events: Sequence[MarketEvent], trace: int, now_ns: int) -> None:
        """Consume what one message of a feed says.

        Args:
            events: the decoded message.
            trace: its trace id, one more than the input before.
            now_ns: when it was read.
        """
        self.trace = trace
        self.now_ns = now_ns
        handlers = self._handlers
        for event in events:
            handlers[type(event)](event)

    def consume_reports(self, events: Sequence[OrderEvent], trace: int, now_ns: int) -> None:
        """Consume what one message of an order connection says (see `consume`)."""
        self.trace = trace
        self.now_ns = now_ns
        for event in events:
            if isinstance(event, ExecutionReport):
                self._on_report(event)
            elif isinstance(event, Malformed):
                self._on_malformed(event)

    def _on_report(self, report: ExecutionReport) -> None:
        try:
            order = self.orders.report(report)
        except ValueError as error:  # the venue contradicts itself
            self._on_malformed(Malformed(str(error), report.cl_ord_id))
            return
        if order is None:
            return
        if report.exec_type is ExecType.TRADE:
            for seat in self.seats:
                if seat.name == order.strategy:
                    seat.filled(order, report.last_lots)
        self._tell_owner(order)

    def _tell_owner(self, order: Order) -> None:
        self._call([pair for pair in self._listeners["on_order"] if pair[1].name == order.strategy], order)

    def route_ready(self, route: str, trace: int, now_ns: int) -> None:
        """Let orders through this route from now on."""
        self.trace = trace
        self.now_ns = now_ns
        self.orders.ready.add(route)

    def route_lost(self, route: str, trace: int, now_ns: int) -> None:
        """Let no order through this route; those without an answer are unknown now."""
        self.trace = trace
        self.now_ns = now_ns
        for order in self.orders.route_lost(route):
            self._tell_owner(order)

    def halt(self, reason: str, trace: int, now_ns: int) -> None:
        """Let no new order through any more."""
        self.trace = trace
        self.now_ns = now_ns
        self.orders.halted = reason

    def start(self, trace: int, now_ns: int) -> None:
        """Let strategies begin."""
        self._tell("on_start", trace, now_ns)

    def tick(self, trace: int, now_ns: int) -> None:
        """Let a second pass."""
        self._tell("on_timer", trace, now_ns)

    def finish(self, trace: int, now_ns: int) -> None:
        """Let strategies end."""
        self._tell("on_stop", trace, now_ns)

    def _tell(self, callback: str, trace: int, now_ns: int) -> None:
        self.trace = trace
        self.now_ns = now_ns
        self._call(self._listeners[callback])

    # -- events -------------------------------------------------------------------------------------------------------

    def _on_trade(self, trade: Trade) -> None:
        self.trades += 1
        self.markets[trade.instrument].reference_ticks = trade.price_ticks
        for callback, seat in self._trade_listeners:
            try:
                callback(trade, seat)
            except _ANYTHING as error:  # as in `_call`, which costs a call more
                self._stop(seat, error)

    def _on_quote(self, quote: Quote) -> None:
        self.markets[quote.instrument].reference_ticks = quote.ask_ticks or quote.bid_ticks
        self._call(self._quote_listeners, quote)

    def _on_delta(self, delta: BookDelta) -> None:
        book = self.markets[delta.instrument].book
        book.update(delta)
        self._call(self._book_listeners, book)

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        book = self.markets[snapshot.instrument].book
        book.reset(snapshot)
        self._call(self._book_listeners, book)

    def _on_feed_status(self, status: FeedStatus) -> None:
        self.gaps += status.state is FeedState.SUSPECT
        self.on_status(status)

    def _on_snapshot_request(self, wanted: SnapshotWanted) -> None:
        self.on_snapshot_wanted(wanted)

    def _on_malformed(self, malformed: Malformed) -> None:
        self.dropped += 1
        self.on_dropped(malformed)


def _ignore(*_: object) -> None:
    """Nobody listens yet."""
