"""The engine: books and strategies fed in order, orders on their way, and what a strategy that raises may not break."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bot.engine import Engine, Seat
from bot.orders.manager import OrderManager
from bot.orders.risk import Risk
from bot.strategy import Strategy, StrategyParams
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
from market.orders import ExecType, ExecutionReport, OrderStatus, TimeInForce
from market.scale import ScaleError
from venues.adapter import SessionEvent


class Listening(Strategy):
    """Notes every callback; may be told to do something in one of them."""

    def __init__(self, params: Any = None) -> None:  # noqa: ANN401 - none of its own
        super().__init__(params or StrategyParams())
        self.heard: list[tuple[str, Any]] = []
        self.then: Callable[[Any], object] = lambda _: None

    def _hear(self, name: str, what: Any, ctx: Any) -> None:  # noqa: ANN401
        self.heard.append((name, what))
        self.then(ctx)

    def on_start(self, ctx: Any) -> None:  # noqa: ANN401, D102
        self._hear("start", ctx.now_ns, ctx)

    def on_trade(self, trade: Trade, ctx: Any) -> None:  # noqa: ANN401, D102
        self._hear("trade", trade, ctx)

    def on_quote(self, quote: Quote, ctx: Any) -> None:  # noqa: ANN401, D102
        self._hear("quote", quote, ctx)

    def on_book(self, book: Any, ctx: Any) -> None:  # noqa: ANN401, D102
        self._hear("book", (book.bid_ticks, book.ask_ticks), ctx)

    def on_order(self, order: Any, ctx: Any) -> None:  # noqa: ANN401, D102
        self._hear("order", order.status, ctx)

    def on_timer(self, ctx: Any) -> None:  # noqa: ANN401, D102
        self._hear("timer", ctx.now_ns, ctx)

    def on_stop(self, ctx: Any) -> None:  # noqa: ANN401, D102
        self._hear("stop", ctx.now_ns, ctx)


class TradesOnly(Strategy):
    """Overrides one callback."""

    def on_trade(self, trade: Trade, ctx: Any) -> None:  # noqa: ANN401, D102
        ctx.buy(trade.instrument, Decimal("0.001"))


@pytest.fixture
def engine(instrument: Instrument, route: Any) -> Engine:  # noqa: ANN401 - the keeping route
    """An engine with one instrument and one route that is ready."""
    orders = OrderManager("ws1", Risk([instrument]), {"main": route})
    orders.ready.add("main")
    return Engine([instrument], orders)


@pytest.fixture
def listening(engine: Engine) -> Listening:
    """A strategy that is seated."""
    strategy = Listening()
    engine.seat("mine", "main", strategy)
    return strategy


def trade(instrument: Instrument, ticks: int = 6_000_000) -> Trade:
    return Trade(instrument, ticks, 100, Side.BUY, 1, None)


def report(ordinal: int, kind: ExecType, status: OrderStatus, **fields: Any) -> ExecutionReport:  # noqa: ANN401
    return ExecutionReport(f"ws1-{ordinal}", kind, status, **fields)


def test_every_kind_of_event_reaches_its_callback(engine: Engine, listening: Listening, instrument: Instrument) -> None:
    """In order; the book that is handed on has the update in it."""
    quote = Quote(instrument, 10, 1, 11, 1, None)
    engine.start(1, 100)
    engine.consume([trade(instrument), quote], 2, 200)
    engine.consume([BookSnapshot(instrument, [(10, 5)], [(12, 5)], 7, None)], 3, 300)
    engine.consume([BookDelta(instrument, [(11, 5)], [], 8, None)], 4, 400)
    engine.tick(5, 500)
    engine.finish(6, 600)
    assert [
        ("start", 100), ("trade", trade(instrument)), ("quote", quote), ("book", (10, 12)), ("book", (11, 12)),
        ("timer", 500), ("stop", 600),
    ] == listening.heard  # fmt: skip
    assert (6, 600, 1, 8) == (engine.trace, engine.now_ns, engine.trades, engine.markets[instrument].book.sequence)


def test_only_overridden_callbacks_are_subscribed(engine: Engine) -> None:
    """Others cost nothing."""
    engine.seat("mine", "main", TradesOnly(StrategyParams()))
    assert ["on_trade"] == [name for name, listeners in engine._listeners.items() if listeners]


def test_strategies_hear_in_the_order_of_their_seats(engine: Engine, instrument: Instrument) -> None:
    """So that a replay hears them alike."""
    heard: list[str] = []
    for name in ("first", "second"):
        strategy = Listening()
        strategy.then = lambda ctx: heard.append(ctx.name)
        engine.seat(name, "main", strategy)
    engine.consume([trade(instrument)], 1, 1)
    assert ["first", "second"] == heard


def test_an_order_carries_its_cause_and_its_strategy(
    engine: Engine,
    listening: Listening,
    instrument: Instrument,
    route: Any,  # noqa: ANN401
) -> None:
    """The trace id of the message that is being handled."""
    listening.then = lambda ctx: (
        ctx.sell(instrument, Decimal("0.5"), 6_000_100, TimeInForce.FOK) if ctx.now_ns == 9 else None
    )
    engine.consume([trade(instrument)], 41, 8)
    engine.consume([trade(instrument)], 42, 9)
    (order,) = route.placed
    assert (42, "mine", Side.SELL, 50_000, 6_000_100, TimeInForce.FOK) == (
        order.cause, order.strategy, order.side, order.qty_lots, order.price_ticks, order.time_in_force,
    )  # fmt: skip


@pytest.mark.parametrize("quantity", ["0", "-1", "0.000001", "NaN"])
def test_a_quantity_that_is_no_number_of_lots_is_the_strategys_mistake(
    engine: Engine, listening: Listening, instrument: Instrument, quantity: str
) -> None:
    """It is stopped and reported with the quantity."""
    told: list[Exception] = []
    engine.on_strategy_stopped = lambda _, error: told.append(error)
    listening.then = lambda ctx: ctx.buy(instrument, Decimal(quantity))
    engine.consume([trade(instrument)], 1, 1)
    assert [ScaleError] == [type(error) for error in told]


def test_a_strategy_that_raises_is_stopped_and_the_others_go_on(engine: Engine, instrument: Instrument) -> None:
    """Within the same message, and for good."""
    told: list[tuple[Seat, Exception]] = []
    engine.on_strategy_stopped = lambda seat, error: told.append((seat, error))
    bad, good = Listening(), Listening()
    bad.then = lambda _: 1 // 0
    seat = engine.seat("bad", "main", bad)
    engine.seat("good", "main", good)
    for number in range(3):
        engine.consume([trade(instrument), Quote(instrument, 1, 1, 2, 1, None)], number, number)
        engine.tick(number, number)
    assert ["trade"] == [name for name, _ in bad.heard]
    assert ["trade", "quote", "timer"] * 3 == [name for name, _ in good.heard]
    ((told_seat, error),) = told
    assert (seat, "ZeroDivisionError: integer division or modulo by zero") == (told_seat, seat.stopped)
    assert isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize("callback", ["on_start", "on_timer", "on_stop", "on_book", "on_quote"])
def test_whatever_callback_raises(engine: Engine, instrument: Instrument, callback: str) -> None:
    """The engine survives it."""
    strategy = Listening()
    seat = engine.seat("bad", "main", strategy)
    strategy.then = lambda _: 1 // 0
    calls: dict[str, Callable[[], None]] = {
        "on_start": lambda: engine.start(1, 1),
        "on_timer": lambda: engine.tick(1, 1),
        "on_stop": lambda: engine.finish(1, 1),
        "on_book": lambda: engine.consume([BookDelta(instrument, [], [], 1, None)], 1, 1),
        "on_quote": lambda: engine.consume([Quote(instrument, 1, 1, 2, 1, None)], 1, 1),
    }
    calls[callback]()
    assert seat.stopped is not None
    assert 1 == len(strategy.heard)


def test_the_last_price_values_market_orders(engine: Engine, instrument: Instrument) -> None:
    """Of a trade, or of a quote's ask; the bid where no one offers."""
    market = engine.markets[instrument]
    seen = []
    for event in (trade(instrument, 70), Quote(instrument, 80, 1, 90, 1, None), Quote(instrument, 80, 1, 0, 0, None)):
        engine.consume([event], 1, 1)
        seen.append(market.reference_ticks)
    assert [70, 90, 80] == seen


def test_reports_move_positions_and_reach_their_owner_only(
    engine: Engine,
    instrument: Instrument,
    route: Any,  # noqa: ANN401
) -> None:
    """Fills add up by side; a repeated one counts once."""
    owner, other = Listening(), Listening()
    owner.then = lambda ctx: ctx.buy(instrument, Decimal("0.001")) if not route.placed else None
    seat, other_seat = engine.seat("owner", "main", owner), engine.seat("other", "main", other)
    engine.consume([trade(instrument)], 1, 1)
    half = {"last_ticks": 6_000_000, "last_lots": 40, "exec_id": "1"}
    acknowledged = report(1, ExecType.NEW, OrderStatus.NEW)
    fill = report(1, ExecType.TRADE, OrderStatus.PARTIALLY_FILLED, **half)
    engine.consume_reports([acknowledged, fill], 2, 2)
    engine.consume_reports([fill, SessionEvent("")], 3, 3)
    assert [OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED] == [what for name, what in owner.heard if name == "order"]
    assert [] == [what for name, what in other.heard if name == "order"]
    assert (40, 0, 3) == (seat.position_lots(instrument), other_seat.position_lots(instrument), engine.trace)


def test_a_lost_route_tells_the_owners_of_unanswered_orders(
    engine: Engine,
    listening: Listening,
    instrument: Instrument,
    route: Any,  # noqa: ANN401
) -> None:
    """They are unknown; when the route is back, orders pass again."""
    listening.then = lambda ctx: ctx.buy(instrument, Decimal("0.001")) if ctx.now_ns != 2 else None
    engine.consume([trade(instrument)], 1, 1)
    engine.route_lost("main", 2, 2)
    assert ("order", OrderStatus.UNKNOWN) == listening.heard[-1]
    engine.consume([trade(instrument)], 3, 3)
    assert (1, 1) == (len(route.placed), engine.orders.refused)
    engine.route_ready("main", 4, 4)
    engine.consume([trade(instrument)], 5, 5)
    assert [1, 5] == [order.cause for order in route.placed]


def test_nothing_is_sent_after_a_halt(
    engine: Engine,
    listening: Listening,
    instrument: Instrument,
    route: Any,  # noqa: ANN401
) -> None:
    """The reason is the refusal's."""
    told: list[str] = []
    engine.orders.on_refusal = lambda *refusal: told.append(refusal[2])
    listening.then = lambda ctx: ctx.buy(instrument, Decimal("0.001"))
    engine.halt("asked to stop", 1, 1)
    engine.consume([trade(instrument)], 2, 2)
    assert (["asked to stop"], []) == (told, route.placed)


def test_a_strategy_cancels_its_order(
    engine: Engine,
    listening: Listening,
    instrument: Instrument,
    route: Any,  # noqa: ANN401
) -> None:
    """With the trace id of the message that made it."""
    engine.consume([trade(instrument)], 1, 1)
    order = engine.seats[0].buy(instrument, Decimal("0.001"), 5_000_000)
    assert order is not None
    listening.then = lambda ctx: ctx.cancel(order)
    engine.consume([trade(instrument)], 8, 8)
    assert [(order, 8)] == route.cancelled


def test_what_the_feeds_say_of_themselves_is_told_on(engine: Engine, instrument: Instrument) -> None:
    """Gaps and dropped messages are counted."""
    told: list[object] = []
    engine.on_status = engine.on_dropped = engine.on_snapshot_wanted = told.append
    events: list[MarketEvent] = [
        FeedStatus(instrument, FeedState.SUSPECT, "gap"),
        SnapshotWanted(instrument, "/depth"),
        FeedStatus(instrument, FeedState.LIVE, "synchronised"),
        Malformed("bad", "{"),
    ]
    engine.consume(events, 1, 1)
    engine.consume_reports([Malformed("bad", "{")], 2, 2)
    assert [*events, events[-1]] == told
    assert (1, 2) == (engine.gaps, engine.dropped)


def test_a_seat_is_the_strategys_view(engine: Engine, listening: Listening, instrument: Instrument) -> None:
    """Of the instruments, their books and the time."""
    engine.consume([trade(instrument)], 1, 77)
    (seat,) = engine.seats
    assert (listening, (instrument,), 77) == (seat.strategy, seat.instruments, seat.now_ns)
    assert seat.book(instrument) is engine.markets[instrument].book
