"""Every order's state: from an intent through the risk check to the route, and from reports to the strategy. Pure.

The route is given in as something to call, so that a run and its replay share all of this and differ only there.
"""

from collections.abc import Callable
from typing import Protocol

from bot.orders.risk import Risk
from market.events import Side
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, Order, OrderStatus, OrderType, TimeInForce

_LIMIT, _MARKET = OrderType.LIMIT, OrderType.MARKET  # bound once, as in venues/binance.py
_CLOSED_KEPT = 10_000  # closed orders remembered, so that a late or repeated report still finds its order


class Route(Protocol):
    """Where orders go."""

    def place(self, order: Order) -> None:
        """Send a new order."""

    def cancel(self, order: Order, cause: int) -> None:
        """Ask for an order to be cancelled."""


class OrderManager:
    """All orders of a run.

    Args:
        prefix: beginning of every client order id, unique to the run, in the venues' alphabet.
        risk: the checks in front of every order.
        routes: by name.

    Attributes:
        halted: why no new order may be sent, or None.
        ready: the names of the routes that can take orders now.
        placed, fills, rejects: how many orders were sent, fills counted, orders rejected by the venue.
        refused: how many intents were refused here.
        orphans: how many reports were about orders that this run did not send.
        on_refusal: told of each refusal: the strategy, the instrument, the reason.
        on_change: told of each report that changed an order.
    """

    def __init__(self, prefix: str, risk: Risk, routes: dict[str, Route]) -> None:
        self.halted: str | None = None
        self.ready: set[str] = set()
        self.placed = self.fills = self.rejects = self.refused = self.orphans = 0
        self.on_refusal: Callable[[str, Instrument, str], None] = _ignore
        self.on_change: Callable[[Order, ExecutionReport], None] = _ignore
        self._prefix = prefix
        self._refusal = risk.refusal
        self._routes = routes
        self._orders: dict[str, Order] = {}
        self._route_of: dict[str, str] = {}
        self._closed: list[str] = []

    def submit(  # noqa: PLR0913, PLR0917 - an order is its fields
        self,
        strategy: str,
        route_name: str,
        cause: int,
        instrument: Instrument,
        side: Side,
        qty_lots: int,
        limit_ticks: int,
        time_in_force: TimeInForce,
        reference_ticks: int,
    ) -> Order | None:
        """Check an intent and send it.

        Args:
            strategy: who decided.
            route_name: where to.
            cause: trace id of the message that made it decide.
            instrument: what to trade.
            side: buy or sell.
            qty_lots: how much.
            limit_ticks: the limit, 0 for a market order.
            time_in_force: how long a limit order stands.
            reference_ticks: the last price seen, 0 when none was.

        Returns:
            The order, sent; or None when it was refused.
        """
        reason = self.halted or (None if route_name in self.ready else f"route {route_name} is not connected")
        if reason is None:
            reason = self._refusal(instrument, qty_lots, limit_ticks, reference_ticks)
        if reason is not None:
            self.refused += 1
            self.on_refusal(strategy, instrument, reason)
            return None
        self.placed = ordinal = self.placed + 1
        cl_ord_id = f"{self._prefix}-{ordinal}"
        kind = _LIMIT if limit_ticks else _MARKET
        order = Order(
            ordinal, cl_ord_id, cause, strategy, instrument, side, kind, qty_lots, limit_ticks, time_in_force
        )  # fmt: skip
        self._orders[cl_ord_id] = order
        self._route_of[cl_ord_id] = route_name
        self._routes[route_name].place(order)
        return order

    def cancel(self, order: Order, cause: int) -> None:
        """Ask the venue to cancel an order, unless it is over or its route is down."""
        route_name = self._route_of.get(order.cl_ord_id)
        if order.is_open and route_name in self.ready:
            self._routes[route_name].cancel(order, cause)

    def find(self, cl_ord_id: str) -> Order | None:
        """Return the order with this client order id, if it is one of this run and not long over."""
        return self._orders.get(cl_ord_id)

    def report(self, report: ExecutionReport) -> Order | None:
        """Take a venue's report into account.

        Returns:
            The order if the report changed it, else None.
        """
        order = self._orders.get(report.cl_ord_id)
        if order is None:
            self.orphans += 1  # another session's order on the same account
            return None
        was_open = order.is_open
        if not order.apply(report):
            return None
        if report.exec_type is ExecType.TRADE:
            self.fills += 1
        elif report.exec_type is ExecType.REJECTED:
            self.rejects += 1
        if was_open and not order.is_open:
            self._remember_closed(order.cl_ord_id)
        self.on_change(order, report)
        return order

    def route_lost(self, route_name: str) -> list[Order]:
        """Mark what is on its way as unknown: silence after a send is no answer.

        Returns:
            The orders that are unknown now.
        """
        self.ready.discard(route_name)
        unknown = []
        for cl_ord_id, order in self._orders.items():
            if self._route_of[cl_ord_id] == route_name and order.status is OrderStatus.PENDING_NEW:
                order.status = OrderStatus.UNKNOWN
                unknown.append(order)
        return unknown

    def open_orders(self) -> list[Order]:
        """Return the orders that may still be filled."""
        return [order for order in self._orders.values() if order.is_open]

    def unanswered(self) -> int:
        """Return how many orders were sent and not answered yet."""
        return sum(order.status is OrderStatus.PENDING_NEW for order in self._orders.values())

    def _remember_closed(self, cl_ord_id: str) -> None:
        self._closed.append(cl_ord_id)
        if len(self._closed) > 2 * _CLOSED_KEPT:
            for old in self._closed[:_CLOSED_KEPT]:
                del self._orders[old], self._route_of[old]
            del self._closed[:_CLOSED_KEPT]


def _ignore(*_: object) -> None:
    """Nobody listens yet."""
