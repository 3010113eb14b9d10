"""An instrument, a market and an engine in memory, as strategies see them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from bot.strategy import Order, OrderBook, TimeInForce, Trade
from market.events import BookSnapshot, Side
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, OrderStatus, OrderType
from market.scale import Scale


@dataclass
class FakeContext:
    """Implements `bot.strategy.Context`: accepts every order and fills what the test says."""

    instruments: tuple[Instrument, ...]
    now_ns: int = 1_000_000_000_000
    refuse: bool = False
    orders: list[Order] = field(default_factory=list)
    asked: int = 0  # orders asked for, refused ones included

    def __post_init__(self) -> None:
        self.books = {instrument: OrderBook(instrument) for instrument in self.instruments}
        self.positions = dict.fromkeys(self.instruments, 0)

    def book(self, instrument: Instrument) -> OrderBook:
        """Return the book that the test has set."""
        return self.books[instrument]

    def position_lots(self, instrument: Instrument) -> int:
        """Return the sum of the fills."""
        return self.positions[instrument]

    def buy(
        self,
        instrument: Instrument,
        quantity: Decimal,
        limit_ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> Order | None:
        """Accept the order, or refuse it when `refuse` is set."""
        return self._order(Side.BUY, instrument, quantity, limit_ticks, time_in_force)

    def sell(
        self,
        instrument: Instrument,
        quantity: Decimal,
        limit_ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> Order | None:
        """Accept the order, or refuse it when `refuse` is set."""
        return self._order(Side.SELL, instrument, quantity, limit_ticks, time_in_force)

    def cancel(self, order: Order) -> None:
        """Fail: these strategies only send immediate orders."""
        raise AssertionError(f"no strategy here cancels, yet one cancelled {order.cl_ord_id}")

    def _order(
        self, side: Side, instrument: Instrument, quantity: Decimal, limit_ticks: int, time_in_force: TimeInForce
    ) -> Order | None:
        self.asked += 1
        if self.refuse:
            return None
        ordinal = len(self.orders) + 1
        kind = OrderType.LIMIT if limit_ticks else OrderType.MARKET
        lots = instrument.qty.count(quantity)
        order = Order(ordinal, f"T{ordinal}", ordinal, "s", instrument, side, kind, lots, limit_ticks, time_in_force)
        self.orders.append(order)
        return order

    def fill(self, order: Order, lots: int | None = None) -> None:
        """Fill an order, in full unless said otherwise; the rest of it stays open."""
        filled = order.leaves_lots if lots is None else lots
        report = ExecutionReport(
            order.cl_ord_id, ExecType.TRADE, OrderStatus.FILLED, order.price_ticks, filled, exec_id=f"E{self.now_ns}"
        )
        assert order.apply(report)
        self.positions[order.instrument] += filled if order.side is Side.BUY else -filled

    def expire(self, order: Order) -> None:
        """End an order's open rest, as venues end an immediate-or-cancel order."""
        assert order.apply(ExecutionReport(order.cl_ord_id, ExecType.EXPIRED, OrderStatus.EXPIRED))

    def quote(self, instrument: Instrument, bid: tuple[int, int], ask: tuple[int, int]) -> OrderBook:
        """Set the book to one level a side, (ticks, lots), 0 lots for an empty side."""
        book = self.books[instrument]
        book.reset(BookSnapshot(instrument, [bid], [ask], book.sequence + 1, None))
        return book


@pytest.fixture
def make_instrument() -> Callable[..., Instrument]:
    """Make instruments with BTC-USDT's scales on Binance: ticks of 0.01, lots of 0.00001."""

    def make(name: str = "BTC-USDT", number: int = 1, venue: str = "binance") -> Instrument:
        base, quote = name.split("-")
        scales = Scale(Decimal("0.01")), Scale(Decimal("0.00001"))
        return Instrument(number, name, venue, base + quote, base, quote, *scales)

    return make


@pytest.fixture
def instrument(make_instrument: Callable[..., Instrument]) -> Instrument:
    """BTC-USDT."""
    return make_instrument()


@pytest.fixture
def context(instrument: Instrument) -> Callable[[], FakeContext]:
    """Make engines whose book has 5 lots a side, one tick apart, at 60,000."""

    def make() -> FakeContext:
        made = FakeContext((instrument,))
        made.quote(instrument, (6_000_000, 5), (6_000_001, 5))
        return made

    return make


@pytest.fixture
def ctx(context: Callable[[], FakeContext]) -> FakeContext:
    """One such engine."""
    return context()


@pytest.fixture
def trade(instrument: Instrument) -> Callable[..., Trade]:
    """Make trades of the instrument."""

    def make(price_ticks: int = 6_000_000, qty_lots: int = 1) -> Trade:
        return Trade(instrument, price_ticks, qty_lots, Side.BUY, 1, None)

    return make
