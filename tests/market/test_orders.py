"""How execution reports move an order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.events import Side
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, Order, OrderStatus, OrderType, TimeInForce

CLOSING = {
    ExecType.CANCELED: OrderStatus.CANCELED,
    ExecType.REJECTED: OrderStatus.REJECTED,
    ExecType.EXPIRED: OrderStatus.EXPIRED,
}


@pytest.fixture
def order(btc_usdt: Instrument) -> Order:
    """A limit order of ten lots that has just been sent."""
    return new_order(btc_usdt)


def new_order(instrument: Instrument) -> Order:
    return Order(1, "w-1", 7, "s", instrument, Side.BUY, OrderType.LIMIT, 10, 100, TimeInForce.GTC)


def report(exec_type: ExecType, status: OrderStatus, order_id: str = "", reason: str = "") -> ExecutionReport:
    return ExecutionReport("w-1", exec_type, status, order_id=order_id, reason=reason)


def fill(exec_id: str, lots: int, ticks: int = 100) -> ExecutionReport:
    status = OrderStatus.PARTIALLY_FILLED
    return ExecutionReport("w-1", ExecType.TRADE, status, last_ticks=ticks, last_lots=lots, exec_id=exec_id)


def state(order: Order) -> tuple[OrderStatus, int, int]:
    return order.status, order.cum_lots, order.leaves_lots


def test_life_of_a_filled_order(order: Order) -> None:
    """New, partly filled, filled; the average price is that of both fills."""
    assert (OrderStatus.PENDING_NEW, 0, 10) == state(order)
    assert order.apply(report(ExecType.NEW, OrderStatus.NEW, order_id="42"))
    assert (OrderStatus.NEW, 0, 10) == state(order)
    assert order.apply(fill("a", 4, 100))
    assert (OrderStatus.PARTIALLY_FILLED, 4, 6) == state(order)
    assert order.apply(fill("b", 6, 90))
    assert (OrderStatus.FILLED, 10, 0) == state(order)
    assert not order.is_open
    assert 4 * 100 + 6 * 90 == order.cum_tick_lots
    assert "42" == order.order_id


def test_repeated_fill_counts_once(order: Order) -> None:
    """A fill that the venue reports twice, or that a query reports again, changes nothing the second time."""
    assert order.apply(fill("a", 4))
    assert not order.apply(fill("a", 4))
    assert (OrderStatus.PARTIALLY_FILLED, 4, 6) == state(order)


def test_fill_before_acknowledgement(order: Order) -> None:
    """The acknowledgement may arrive after the fill and takes nothing back but brings the venue's id."""
    order.apply(fill("a", 4))
    assert not order.apply(report(ExecType.NEW, OrderStatus.NEW, order_id="42"))
    assert (OrderStatus.PARTIALLY_FILLED, 4, 6) == state(order)
    assert "42" == order.order_id


@pytest.mark.parametrize(("exec_type", "status"), CLOSING.items())
def test_closing_reports(order: Order, exec_type: ExecType, status: OrderStatus) -> None:
    """Each way to end closes what is open and keeps what was filled and why; only a late fill counts afterwards."""
    order.apply(fill("a", 4))
    assert order.apply(report(exec_type, status, reason="said so"))
    assert (status, 4, 0) == state(order)
    assert not order.is_open
    assert "said so" == order.reason
    assert not order.apply(report(ExecType.NEW, OrderStatus.NEW))
    assert order.apply(fill("b", 1))
    assert (status, 5, 0) == state(order)


def test_rejected_cancel_leaves_the_order_open(order: Order) -> None:
    """That a cancel failed says nothing about the order."""
    order.apply(report(ExecType.NEW, OrderStatus.NEW))
    assert not order.apply(report(ExecType.CANCEL_REJECTED, OrderStatus.REJECTED))
    assert (OrderStatus.NEW, 0, 10) == state(order)


def test_unknown_order_is_open_until_the_venue_speaks(order: Order) -> None:
    """An order whose fate is unknown may still be filled; an acknowledgement settles it."""
    assert order.apply(report(ExecType.UNKNOWN, OrderStatus.UNKNOWN))
    assert (OrderStatus.UNKNOWN, 0, 10) == state(order)
    assert order.is_open
    assert order.apply(report(ExecType.NEW, OrderStatus.NEW))
    assert (OrderStatus.NEW, 0, 10) == state(order)


def test_overfill_is_refused(order: Order) -> None:
    """A fill beyond the order's quantity raises and changes nothing, and the right one still counts."""
    order.apply(fill("a", 4))
    with pytest.raises(ValueError, match="fills of 11 lots exceed its 10"):
        order.apply(fill("b", 7))
    assert (OrderStatus.PARTIALLY_FILLED, 4, 6) == state(order)
    assert order.apply(fill("b", 6))
    assert OrderStatus.FILLED is order.status


others = st.sampled_from([
    report(ExecType.NEW, OrderStatus.NEW),
    report(ExecType.CANCEL_REJECTED, OrderStatus.REJECTED),
    report(ExecType.UNKNOWN, OrderStatus.UNKNOWN),
    *(report(exec_type, status) for exec_type, status in CLOSING.items()),
])  # fmt: skip
fills = st.builds(fill, st.sampled_from("abcdefgh"), st.integers(1, 6), st.integers(90, 110))


@given(reports=st.lists(others | fills, max_size=20))
def test_any_interleaving(btc_usdt: Instrument, reports: list[ExecutionReport]) -> None:
    """Whatever arrives in whatever order: each fill counts once, sums hold, and a closed order stays closed."""
    order = new_order(btc_usdt)
    counted: dict[str, ExecutionReport] = {}
    for arrived in reports:
        was_open, before = order.is_open, (state(order), order.cum_tick_lots)
        try:
            changed = order.apply(arrived)
        except ValueError:
            assert before == (state(order), order.cum_tick_lots)
            continue
        if arrived.exec_type is ExecType.TRADE and changed:
            assert arrived.exec_id not in counted
            counted[arrived.exec_id] = arrived
        assert sum(one.last_lots for one in counted.values()) == order.cum_lots
        assert sum(one.last_lots * one.last_ticks for one in counted.values()) == order.cum_tick_lots
        assert order.leaves_lots == (order.qty_lots - order.cum_lots if order.is_open else 0)
        assert was_open or not order.is_open
