"""OnePosition: thresholds, and what it does while orders, books and pauses are in the way."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.strategy import TimeInForce
from market.events import Side
from market.instrument import Instrument
from market.scale import ScaleError
from strategies.position import OnePosition, PositionParams

if TYPE_CHECKING:
    from conftest import FakeContext

PARAMS = PositionParams(quantity=Decimal("0.001"), entry=2.0, exit=0.5, pause_ms=1000)
LOTS = 100
SECOND_NS = 1_000_000_000


@pytest.fixture
def position(instrument: Instrument) -> OnePosition:
    return OnePosition(PARAMS, instrument)


@pytest.mark.parametrize(
    ("signal", "held", "target"),
    [
        (1.99, 0, 0), (2.0, 0, LOTS), (-1.99, 0, 0), (-2.0, 0, -LOTS),  # entry: inside, at the limit
        (0.51, LOTS, LOTS), (0.5, LOTS, 0), (-0.51, -LOTS, -LOTS), (-0.5, -LOTS, 0),  # exit: outside, at the limit
        (2.0, 40, LOTS), (1.0, 40, 40), (-3.0, LOTS, 0), (3.0, -LOTS, 0), (0.0, LOTS, 0), (0.0, -40, 0),
    ],
)  # fmt: skip
def test_opens_at_entry_holds_between_and_closes_at_exit(
    position: OnePosition, signal: float, held: int, target: int
) -> None:
    """A part of a position is completed at entry, kept in between, and closed before the other side is opened."""
    assert target == position.target_lots(signal, held)


def test_long_only_never_sells_short(instrument: Instrument) -> None:
    """It still closes a long position at a sell signal."""
    position = OnePosition(PARAMS.model_copy(update={"long_only": True}), instrument)
    assert 0 == position.target_lots(-9.0, 0)
    assert 0 == position.target_lots(-9.0, LOTS)
    assert LOTS == position.target_lots(9.0, 0)


def test_orders_are_immediate_or_cancel_at_the_opposite_best(position: OnePosition, ctx: "FakeContext") -> None:
    """A buy pays at most the ask that was seen, a sell takes at least the bid."""
    position.follow(2.0, ctx)
    ctx.fill(ctx.orders[0])
    ctx.now_ns += SECOND_NS
    position.follow(0.0, ctx)
    expected = [(Side.BUY, LOTS, 6_000_001, TimeInForce.IOC), (Side.SELL, LOTS, 6_000_000, TimeInForce.IOC)]
    assert expected == [(each.side, each.qty_lots, each.price_ticks, each.time_in_force) for each in ctx.orders]


def test_no_order_while_one_is_pending(position: OnePosition, ctx: "FakeContext") -> None:
    """Neither a second entry nor the exit, until the first order is closed; partly filled is not closed."""
    position.follow(2.0, ctx)
    for signal in (2.0, -2.0, 0.0):
        ctx.now_ns += SECOND_NS
        position.follow(signal, ctx)
    ctx.fill(ctx.orders[0], 40)
    position.follow(0.0, ctx)
    assert 1 == ctx.asked
    ctx.expire(ctx.orders[0])
    position.follow(0.0, ctx)
    assert [LOTS, 40] == [order.qty_lots for order in ctx.orders]


@pytest.mark.parametrize(
    ("bid", "ask"),
    [((0, 0), (0, 0)), ((10, 5), (11, 0)), ((10, 0), (11, 5)), ((11, 5), (11, 5)), ((12, 5), (11, 5))],
    ids=["empty", "no asks", "no bids", "locked", "crossed"],
)
def test_no_order_without_a_sound_book(
    position: OnePosition, ctx: "FakeContext", instrument: Instrument, bid: tuple[int, int], ask: tuple[int, int]
) -> None:
    """And the next sound book is used at once: what was not ordered starts no pause."""
    ctx.quote(instrument, bid, ask)
    position.follow(2.0, ctx)
    assert 0 == ctx.asked
    ctx.quote(instrument, (10, 5), (11, 5))
    position.follow(2.0, ctx)
    assert 1 == ctx.asked


def test_a_refused_order_is_tried_again_only_after_the_pause(position: OnePosition, ctx: "FakeContext") -> None:
    """One nanosecond before its end is too early."""
    ctx.refuse = True
    asked = []
    for later_ns in (0, 1, SECOND_NS - 2, 1, 1):
        ctx.now_ns += later_ns
        position.follow(2.0, ctx)
        asked.append(ctx.asked)
    assert [1, 1, 1, 2, 2] == asked


def test_a_quantity_between_two_lots_is_refused_at_start(instrument: Instrument) -> None:
    """Before anything is traded."""
    with pytest.raises(ScaleError):
        OnePosition(PARAMS.model_copy(update={"quantity": Decimal("0.000001")}), instrument)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"entry": 1, "exit": 1}, "exit must be less than entry, was 1.0 and 1.0"),
        ({"entry": 0, "exit": 0}, "entry"),
        ({"entry": 1, "exit": -0.1}, "exit"),
        ({"entry": 1, "exit": 0, "pause_ms": -1}, "pause_ms"),
        ({"entry": 1, "exit": 0, "quantity": "0"}, "quantity"),
        ({"entry": "inf", "exit": "nan"}, "exit"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, object], match: str) -> None:
    """The error says what was wrong."""
    with pytest.raises(ValidationError, match=match):
        PositionParams.model_validate(bad)


steps = st.tuples(
    st.floats(-4, 4), st.sampled_from(["fill", "part", "expire", "wait"]), st.booleans(), st.integers(0, 2 * SECOND_NS)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, max_size=40))
def test_the_position_never_exceeds_its_quantity(
    context: Callable[[], "FakeContext"], history: list[tuple[float, str, bool, int]]
) -> None:
    """Whatever the signals, partial fills, expiries and refusals; and no order is sent beside an open one."""
    ctx = context()
    (instrument,) = ctx.instruments
    position = OnePosition(PARAMS, instrument)
    for signal, what, refuse, later_ns in history:
        ctx.refuse = refuse
        ctx.now_ns += later_ns + 1
        position.follow(signal, ctx)
        for order in [each for each in ctx.orders if each.is_open]:
            if what == "fill":
                ctx.fill(order)
            elif what == "part" and order.leaves_lots > 1:
                ctx.fill(order, order.leaves_lots // 2)
            elif what == "expire":
                ctx.expire(order)
        assert abs(ctx.positions[instrument]) <= LOTS
        assert sum(order.is_open for order in ctx.orders) <= 1
