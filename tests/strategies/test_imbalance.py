"""BookImbalance: which books make it buy and sell, and what it remembers."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from market.events import BookSnapshot, Side
from market.instrument import Instrument
from strategies.imbalance import BookImbalance

if TYPE_CHECKING:
    from conftest import FakeContext

RAW = BookImbalance.Params(half_life=0, entry=0.6, exit=0.2, pause_ms=0)
KEY = "binance:BTC-USDT"


def started(ctx: "FakeContext", params: BookImbalance.Params = RAW) -> BookImbalance:
    strategy = BookImbalance(params)
    strategy.on_start(ctx)
    return strategy


@pytest.mark.parametrize(
    ("bid_lots", "ask_lots", "sides"),
    [(80, 20, [Side.BUY]), (20, 80, [Side.SELL]), (79, 21, []), (21, 79, []), (50, 50, []), (10**18, 1, [Side.BUY])],
)
def test_trades_in_the_direction_that_the_best_level_leans_to(
    ctx: "FakeContext", instrument: Instrument, bid_lots: int, ask_lots: int, sides: list[Side]
) -> None:
    """80 to 20 is ρ = 0.6, the entry; one lot less is not enough."""
    started(ctx).on_book(ctx.quote(instrument, (100, bid_lots), (101, ask_lots)), ctx)
    assert sides == [order.side for order in ctx.orders]


def test_closes_when_the_lean_is_gone(ctx: "FakeContext", instrument: Instrument) -> None:
    """Held between exit and entry, closed at the exit: 60 to 40 is ρ = 0.2."""
    strategy = started(ctx)
    asked = []
    for bid_lots in (80, 61, 60):
        strategy.on_book(ctx.quote(instrument, (100, bid_lots), (101, 100 - bid_lots)), ctx)
        for order in [each for each in ctx.orders if each.is_open]:
            ctx.fill(order)
        asked.append(ctx.asked)
    assert [1, 1, 2] == asked
    assert 0 == ctx.position_lots(instrument)


@pytest.mark.parametrize(("bid_lots", "ask_lots"), [(0, 0), (100, 0), (0, 100)])
def test_a_book_without_two_sides_says_nothing(
    ctx: "FakeContext", instrument: Instrument, bid_lots: int, ask_lots: int
) -> None:
    """Neither an order nor a memory of it."""
    strategy = started(ctx)
    strategy.on_book(ctx.quote(instrument, (100, bid_lots), (101, ask_lots)), ctx)
    assert 0 == ctx.asked
    assert {"smoothed": {}} == strategy.save()


def test_deeper_levels_are_counted_when_asked_for(ctx: "FakeContext", instrument: Instrument) -> None:
    """The best level leans to the bid, three levels lean to the ask; the fourth is not looked at."""
    bids, asks = [(100, 90), (99, 5), (98, 5), (97, 10_000)], [(101, 10), (102, 440), (103, 450)]
    ctx.book(instrument).reset(BookSnapshot(instrument, bids, asks, 1, None))
    for levels, side in ((1, Side.BUY), (3, Side.SELL)):
        ctx.orders.clear()
        strategy = started(ctx, RAW.model_copy(update={"levels": levels}))
        strategy.on_book(ctx.book(instrument), ctx)
        assert [side] == [order.side for order in ctx.orders]


def test_smoothing_halves_an_observations_weight_every_half_life(ctx: "FakeContext", instrument: Instrument) -> None:
    """From ρ = 0 to ρ = 1 (almost): half way after one half-life, three quarters after two."""
    strategy = started(ctx, RAW.model_copy(update={"half_life": 4.0}))
    strategy.on_book(ctx.quote(instrument, (100, 1), (101, 1)), ctx)
    for expected in (0.5, 0.75):
        for _ in range(4):
            strategy.on_book(ctx.quote(instrument, (100, 10**15), (101, 1)), ctx)
        assert expected == pytest.approx(strategy.save()["smoothed"][KEY], abs=1e-12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    books=st.lists(st.tuples(st.integers(1, 2**62), st.integers(1, 2**62)), min_size=1, max_size=60),
    half_life=st.floats(0, 100),
)
def test_the_smoothed_signal_is_the_weighted_mean_of_its_definition(
    context: Callable[[], "FakeContext"], books: list[tuple[int, int]], half_life: float
) -> None:
    """Against the sum over all books with explicit weights; it never leaves [−1, 1]."""
    ctx = context()
    (instrument,) = ctx.instruments
    strategy = started(ctx, RAW.model_copy(update={"half_life": half_life}))
    for bid_lots, ask_lots in books:
        strategy.on_book(ctx.quote(instrument, (100, bid_lots), (101, ask_lots)), ctx)
    keep = 2 ** (-1 / half_life) if half_life > 1e-3 else 0.0
    rho = [(bid - ask) / (bid + ask) for bid, ask in books]
    last = len(rho) - 1
    weights = [keep**last] + [(1 - keep) * keep ** (last - i) for i in range(1, last + 1)]
    expected = sum(weight * each for weight, each in zip(weights, rho, strict=True))
    smoothed = strategy.save()["smoothed"][KEY]
    assert expected == pytest.approx(smoothed, abs=1e-9)
    assert abs(smoothed) <= 1 + 1e-12


@pytest.mark.parametrize("first", ["load", "start"])
def test_a_loaded_state_goes_on_where_it_was_saved(ctx: "FakeContext", instrument: Instrument, first: str) -> None:
    """Through JSON, bit for bit; whether it is loaded before or after the start."""
    params = RAW.model_copy(update={"half_life": 3.0, "entry": 1.0})
    book = ctx.quote(instrument, (100, 70), (101, 30))
    old = started(ctx, params)
    old.on_book(ctx.quote(instrument, (100, 1), (101, 6)), ctx)
    state = json.loads(json.dumps(old.save()))
    new = BookImbalance(params)
    if first == "load":
        new.load(state)
        new.on_start(ctx)
    else:
        new.on_start(ctx)
        new.load(state)
    assert state == new.save()
    ctx.quote(instrument, (100, 70), (101, 30))
    old.on_book(book, ctx)
    new.on_book(book, ctx)
    assert old.save() == new.save()


@pytest.mark.parametrize(
    "bad", [{"entry": 1.01}, {"entry": 0}, {"levels": 0}, {"levels": 51}, {"half_life": -1}, {"exit": 0.6}]
)
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    """The error names the key."""
    with pytest.raises(ValidationError, match=next(iter(bad))):
        BookImbalance.Params.model_validate(bad)
