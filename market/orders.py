"""Orders and execution reports in FIX's terms, and how a report moves an order.

`Order` is the trader's own record of one order; `ExecutionReport` is what a venue says about it. `Order.apply` is the
only thing that changes a sent order, and it refuses what would break leaves_qty + cum_qty = order qty.
"""

from enum import IntEnum

from msgspec import Struct

from market.events import Side
from market.instrument import Instrument


class OrderType(IntEnum):
    """FIX tag 40."""

    MARKET = 1
    LIMIT = 2


class TimeInForce(IntEnum):
    """FIX tag 59."""

    GTC = 1
    IOC = 3
    FOK = 4


class OrderStatus(IntEnum):
    """FIX tag 39, and UNKNOWN: sent, but the venue has not said what became of it."""

    NEW = 0
    PARTIALLY_FILLED = 1
    FILLED = 2
    CANCELED = 4
    REJECTED = 8
    PENDING_NEW = 10
    EXPIRED = 12
    UNKNOWN = 100


CLOSED = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED})


class ExecType(IntEnum):
    """FIX tag 150: why a report was sent."""

    NEW = 0
    CANCELED = 4
    REJECTED = 8
    EXPIRED = 12
    TRADE = 15
    CANCEL_REJECTED = 100
    UNKNOWN = 101  # the venue cannot say whether the order was accepted


class ExecutionReport(Struct, frozen=True, gc=False):
    """What the venue says about one order.

    Attributes:
        cl_ord_id: the trader's identifier of the order (FIX 11).
        exec_type: why the report was sent.
        status: the order's status after it.
        last_ticks, last_lots: price and quantity of the fill, for TRADE; else 0.
        cum_lots: the total filled so far according to the venue; None where this message does not say.
        exec_id: the venue's identifier of the fill, so that a repeated report is counted once; empty when not a fill.
        order_id: the venue's own identifier of the order; empty when it gave none.
        commission, commission_asset: the fee of the fill as the venue's decimal string; empty when none.
        reason: the venue's code and words of a reject.
        exchange_ns: the venue's own time of the event, ns.
    """

    cl_ord_id: str
    exec_type: ExecType
    status: OrderStatus
    last_ticks: int = 0
    last_lots: int = 0
    cum_lots: int | None = None
    exec_id: str = ""
    order_id: str = ""
    commission: str = ""
    commission_asset: str = ""
    reason: str = ""
    exchange_ns: int | None = None


class Order(Struct, eq=False):
    """One order of the trader, from its intent to its end; compared and hashed by identity.

    Attributes:
        ordinal: number of the order within the run, from 1; with the run it makes the client order id.
        cl_ord_id: the client order id (FIX 11).
        cause: trace id of the message that made a strategy decide.
        strategy: the name of the strategy that owns it.
        instrument: what it trades.
        side: buy or sell.
        order_type: market or limit.
        qty_lots: how much was ordered.
        price_ticks: the limit, 0 for a market order.
        time_in_force: how long a limit order stands.
        status: where it stands.
        cum_lots: how much was filled.
        cum_tick_lots: sum of price × quantity over the fills; divided by `cum_lots` it is the average price in ticks.
        order_id: the venue's own identifier, empty until it gave one.
        reason: the venue's words when it ended the order.
    """

    ordinal: int
    cl_ord_id: str
    cause: int
    strategy: str
    instrument: Instrument
    side: Side
    order_type: OrderType
    qty_lots: int
    price_ticks: int
    time_in_force: TimeInForce
    status: OrderStatus = OrderStatus.PENDING_NEW
    cum_lots: int = 0
    cum_tick_lots: int = 0
    order_id: str = ""
    reason: str = ""
    _exec_ids: set[str] | None = None  # made with the first fill

    @property
    def leaves_lots(self) -> int:
        """What may still be filled: with `cum_lots` it is `qty_lots` while the order is open, and 0 afterwards."""
        return self.qty_lots - self.cum_lots if self.is_open else 0

    @property
    def is_open(self) -> bool:
        """Whether the order may still be filled."""
        return self.status not in CLOSED

    def apply(self, report: ExecutionReport) -> bool:
        """Take a venue's report into account.

        A fill is counted once by its exec id, also when it arrives after the order closed (a late fill is still a
        fill). A report that is older than what is known changes nothing.

        Args:
            report: a report for this order's client order id.

        Returns:
            Whether anything changed.

        Raises:
            ValueError: the report would fill more than was ordered.
        """
        if report.order_id and not self.order_id:
            self.order_id = report.order_id
        if report.exec_type is ExecType.TRADE:
            return self._fill(report)
        if report.exec_type is ExecType.CANCEL_REJECTED or not self.is_open:
            return False
        if report.exec_type is ExecType.UNKNOWN:
            self.status = OrderStatus.UNKNOWN
            return True
        if report.exec_type is ExecType.NEW:
            if self.status not in (OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN):
                return False
            self.status = OrderStatus.NEW
            return True
        self.status = report.status
        self.reason = report.reason
        return True

    def _fill(self, report: ExecutionReport) -> bool:
        if self._exec_ids is None:
            self._exec_ids = set()
        elif report.exec_id in self._exec_ids:
            return False
        cum_lots = self.cum_lots + report.last_lots
        if cum_lots > self.qty_lots:
            raise ValueError(f"order {self.cl_ord_id}: fills of {cum_lots} lots exceed its {self.qty_lots}")
        self._exec_ids.add(report.exec_id)
        self.cum_lots = cum_lots
        self.cum_tick_lots += report.last_ticks * report.last_lots
        if self.is_open:
            self.status = OrderStatus.FILLED if cum_lots == self.qty_lots else OrderStatus.PARTIALLY_FILLED
        return True
