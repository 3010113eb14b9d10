"""What the engine tells about itself: all of it in the journal, and in the log what a person should know, once."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.engine import Engine
from bot.notices import Notices
from bot.orders.manager import OrderManager
from bot.orders.risk import Risk
from bot.strategy import Strategy, StrategyParams, Trade
from journal.layout import RecordType
from market.events import FeedState, FeedStatus, Malformed, Side
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, OrderStatus


class Buyer(Strategy):
    """Buys as much as it was told, or raises."""

    quantity = Decimal("0.001")

    def on_trade(self, trade: Trade, ctx: Any) -> None:  # noqa: ANN401, D102
        if not self.quantity:
            raise RuntimeError("nothing to do")
        ctx.buy(trade.instrument, self.quantity)


@pytest.fixture
def engine(instrument: Instrument, route: Any, written: Any) -> Engine:  # noqa: ANN401
    """An engine whose notices are written."""
    orders = OrderManager("ws1", Risk([instrument], Decimal(1_000)), {"main": route})
    orders.ready.add("main")
    made = Engine([instrument], orders)
    Notices(made, written.recorder)
    return made


@pytest.fixture
def trade(instrument: Instrument) -> Callable[..., Trade]:
    """Make trades."""
    return lambda: Trade(instrument, 6_000_000, 1, Side.BUY, 1, None)


@pytest.mark.parametrize("state", list(FeedState))
def test_every_change_of_a_feed_is_logged(
    engine: Engine,
    instrument: Instrument,
    written: Any,  # noqa: ANN401
    state: FeedState,
) -> None:
    """Loud where the book cannot be trusted."""
    level = "warning" if state in {FeedState.SUSPECT, FeedState.DOWN} else "info"
    with capture_logs() as logs:
        engine.consume([FeedStatus(instrument, state, "why")], 4, 9)
    expected = {"event": f"feed {state.name.lower()}", "instrument": "BTC-USDT", "reason": "why", "log_level": level}
    assert [expected] == logs
    assert [{"instrument": 1, "state": state.name, "reason": "why"}] == written.payloads(RecordType.FEED_STATUS)


def test_dropped_messages_are_said_once_and_all_recorded(engine: Engine, written: Any) -> None:  # noqa: ANN401
    """A broken venue may send a thousand a second."""
    with capture_logs() as logs:
        for number in range(5):
            engine.consume([Malformed(f"bad {number}", "{")], number, number)
    assert ["bad 0"] == [entry["reason"] for entry in logs]
    assert [f"bad {number}" for number in range(5)] == [each["reason"] for each in written.payloads(RecordType.DROPPED)]


def test_a_strategy_that_raises_is_reported_with_its_traceback(
    engine: Engine,
    written: Any,  # noqa: ANN401
    trade: Callable[..., Trade],
) -> None:
    """An error in the log and a record in the journal."""
    strategy = Buyer(StrategyParams())
    strategy.quantity = Decimal(0)
    engine.seat("mine", "main", strategy)
    with capture_logs() as logs:
        engine.consume([trade()], 4, 9)
    (entry,) = logs
    assert ("error", "mine", "nothing to do") == (entry["log_level"], entry["strategy"], str(entry["exc_info"]))
    expected = {"event": "raised", "strategy": "mine", "error": "RuntimeError: nothing to do"}
    assert [expected] == written.payloads(RecordType.STRATEGY)


def test_refusals_are_said_once_a_strategy_and_all_recorded(
    engine: Engine,
    written: Any,  # noqa: ANN401
    trade: Callable[..., Trade],
) -> None:
    """With the limit."""
    for name in ("first", "second"):
        strategy = Buyer(StrategyParams())
        strategy.quantity = Decimal(1)
        engine.seat(name, "main", strategy)
    with capture_logs() as logs:
        for number in range(3):
            engine.consume([trade()], number, number)
    assert ["first", "second"] == [entry["strategy"] for entry in logs]
    recorded = written.payloads(RecordType.STRATEGY)
    assert ["first", "second"] * 3 == [each["strategy"] for each in recorded]
    assert {"notional 60000.0000000 exceeds 1000.0000000 USDT"} == {each["reason"] for each in recorded}


def test_every_execution_is_recorded_and_a_reject_is_said(
    engine: Engine,
    written: Any,  # noqa: ANN401
    trade: Callable[..., Trade],
) -> None:
    """Fills are no news to a person."""
    engine.seat("mine", "main", Buyer(StrategyParams()))
    for number in range(3):
        engine.consume([trade()], number, number)
    fill = ExecutionReport("ws1-1", ExecType.TRADE, OrderStatus.FILLED, 6_000_000, 100, exec_id="1")
    rejects = [
        ExecutionReport(f"ws1-{n}", ExecType.REJECTED, OrderStatus.REJECTED, reason="no balance") for n in (2, 3)
    ]
    with capture_logs() as logs:
        for report in (fill, fill, *rejects):
            engine.consume_reports([report], 9, 9)
    assert [("warning", "no balance")] == [(entry["log_level"], entry["reason"]) for entry in logs]
    recorded = written.payloads(RecordType.EXECUTION)
    assert [(1, 15), (2, 8), (3, 8)] == [(each["ordinal"], each["exec_type"]) for each in recorded]
