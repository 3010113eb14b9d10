"""Every order's state: what is sent, what is refused, and what reports and losses make of it."""

from decimal import Decimal
from typing import Protocol

import pytest

from bot.orders import manager as managers
from bot.orders.manager import OrderManager
from bot.orders.risk import Risk
from market.events import Side
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, Order, OrderStatus, OrderType, TimeInForce


class KeepingRoute(Protocol):
    """The route of the fixtures."""

    placed: list[Order]
    cancelled: list[tuple[Order, int]]

    def place(self, order: Order) -> None:
        """Keep a new order."""

    def cancel(self, order: Order, cause: int) -> None:
        """Keep a cancel."""


@pytest.fixture
def orders(instrument: Instrument, route: KeepingRoute) -> OrderManager:
    """A manager with one route that is ready, and a maximum of 1,000 USDT."""
    made = OrderManager("ws1", Risk([instrument], Decimal(1_000)), {"main": route})
    made.ready.add("main")
    return made


def submit(orders: OrderManager, instrument: Instrument, lots: int = 1_000, ticks: int = 6_000_000) -> Order | None:
    return orders.submit("mine", "main", 7, instrument, Side.SELL, lots, ticks, TimeInForce.IOC, 6_000_000)


def sent(orders: OrderManager, instrument: Instrument, lots: int = 1_000) -> Order:
    order = submit(orders, instrument, lots)
    assert order is not None
    return order


def ended(order: Order, kind: ExecType = ExecType.CANCELED) -> ExecutionReport:
    status = {ExecType.CANCELED: OrderStatus.CANCELED, ExecType.REJECTED: OrderStatus.REJECTED}[kind]
    return ExecutionReport(order.cl_ord_id, kind, status)


def fill(order: Order, lots: int, exec_id: str = "1") -> ExecutionReport:
    status = OrderStatus.PARTIALLY_FILLED
    return ExecutionReport(order.cl_ord_id, ExecType.TRADE, status, 6_000_000, lots, exec_id=exec_id)


def test_an_order_is_sent_with_its_cause(orders: OrderManager, instrument: Instrument, route: KeepingRoute) -> None:
    """Numbered from 1, and named after the run."""
    first, second = sent(orders, instrument), submit(orders, instrument, ticks=0)
    assert [first, second] == route.placed
    assert ("ws1-1", 1, 7, "mine", Side.SELL) == (
        first.cl_ord_id, first.ordinal, first.cause, first.strategy, first.side,
    )  # fmt: skip
    assert [OrderType.LIMIT, OrderType.MARKET] == [order.order_type for order in route.placed]
    assert (2, 2) == (orders.placed, orders.unanswered())
    assert first is orders.find("ws1-1")


@pytest.mark.parametrize("why", ["halted", "not ready", "risk"])
def test_a_refused_intent_is_counted_and_told(
    orders: OrderManager, instrument: Instrument, route: KeepingRoute, why: str
) -> None:
    """It takes no number, and nothing is sent."""
    told: list[tuple[str, Instrument, str]] = []
    orders.on_refusal = lambda *refusal: told.append(refusal)
    if why == "halted":
        orders.halted = "the disk is full"
    elif why == "not ready":
        orders.ready.clear()
    lots = 10_000 if why == "risk" else 1_000
    expected = {
        "halted": "the disk is full",
        "not ready": "route main is not connected",
        "risk": "notional 6000.0000000 exceeds 1000.0000000 USDT",
    }
    assert submit(orders, instrument, lots) is None
    assert [("mine", instrument, expected[why])] == told
    assert (1, 0, []) == (orders.refused, orders.placed, route.placed)


def test_reports_change_their_order(orders: OrderManager, instrument: Instrument) -> None:
    """And are told on, once each."""
    told: list[ExecType] = []
    orders.on_change = lambda _, report: told.append(report.exec_type)
    order = sent(orders, instrument)
    acknowledged = ExecutionReport(order.cl_ord_id, ExecType.NEW, OrderStatus.NEW)
    for report in (acknowledged, acknowledged, fill(order, 400), fill(order, 400), fill(order, 600, "2")):
        orders.report(report)
    assert [ExecType.NEW, ExecType.TRADE, ExecType.TRADE] == told
    assert (OrderStatus.FILLED, 2, 0) == (order.status, orders.fills, orders.unanswered())
    assert [] == orders.open_orders()


def test_a_rejected_order_is_counted(orders: OrderManager, instrument: Instrument) -> None:
    """Once, however often it is said."""
    order = sent(orders, instrument)
    assert [order, None] == [orders.report(ended(order, ExecType.REJECTED)) for _ in range(2)]
    assert (1, 0) == (orders.rejects, orders.fills)


def test_a_report_of_a_strange_order_is_an_orphan(orders: OrderManager) -> None:
    """Another session trades on the same account."""
    assert orders.report(ExecutionReport("other-1", ExecType.NEW, OrderStatus.NEW)) is None
    assert 1 == orders.orphans


def test_a_cancel_is_for_open_orders_of_routes_that_stand(
    orders: OrderManager, instrument: Instrument, route: KeepingRoute
) -> None:
    """Anything else has nobody to ask."""
    order = sent(orders, instrument)
    orders.cancel(order, 9)
    orders.ready.clear()
    orders.cancel(order, 10)
    orders.ready.add("main")
    orders.report(ended(order))
    orders.cancel(order, 11)
    assert [(order, 9)] == route.cancelled


def test_a_lost_route_leaves_its_unanswered_orders_unknown(orders: OrderManager, instrument: Instrument) -> None:
    """Silence after a send is no answer; what was answered keeps its state, and the truth may still come."""
    answered, silent = sent(orders, instrument), sent(orders, instrument)
    orders.report(ExecutionReport(answered.cl_ord_id, ExecType.NEW, OrderStatus.NEW))
    assert [silent] == orders.route_lost("main")
    assert (OrderStatus.NEW, OrderStatus.UNKNOWN) == (answered.status, silent.status)
    assert submit(orders, instrument) is None
    assert [] == orders.route_lost("main")
    orders.report(fill(silent, 1_000))
    assert OrderStatus.FILLED is silent.status


def test_another_routes_orders_are_left_alone(instrument: Instrument, route: KeepingRoute) -> None:
    """Each route has its own."""
    orders = OrderManager("ws1", Risk([instrument]), {"main": route, "spare": route})
    orders.ready |= {"main", "spare"}
    order = sent(orders, instrument)
    assert [] == orders.route_lost("spare")
    assert OrderStatus.PENDING_NEW is order.status


def test_memory_is_bounded_and_late_reports_still_find_their_order(
    orders: OrderManager, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late fill of a cancelled order counts, and does not count it as closed once more."""
    monkeypatch.setattr(managers, "_CLOSED_KEPT", 10)
    for number in range(200):
        order = sent(orders, instrument)
        orders.report(ended(order))
        assert order is orders.report(fill(order, 400, f"late {number}"))
    assert 200 == orders.fills
    assert len(orders._orders) == len(orders._route_of) <= 20
    assert orders.find("ws1-1") is None
    assert order is orders.find(order.cl_ord_id)


def test_open_orders_are_never_forgotten(
    orders: OrderManager, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others come and go."""
    monkeypatch.setattr(managers, "_CLOSED_KEPT", 2)
    resting = sent(orders, instrument)
    for _ in range(50):
        orders.report(ended(sent(orders, instrument)))
    assert [resting] == orders.open_orders()


def test_a_report_that_fills_more_than_was_ordered_is_refused(orders: OrderManager, instrument: Instrument) -> None:
    """The venue and this record disagree: nobody may go on as if they did not."""
    order = sent(orders, instrument)
    with pytest.raises(ValueError, match="exceed"):
        orders.report(fill(order, 1_001))
    assert (0, 0) == (order.cum_lots, orders.fills)
