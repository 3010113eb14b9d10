"""The matching engine by examples, one rule each; test_matching_model.py holds it against a second formulation."""

import pytest

from market.events import Side
from market.instrument import Instrument
from market.matching import WOULD_TAKE, Fill, MatchingEngine, Outcome, RestingOrder, UnknownOrder
from market.orders import TimeInForce

BUY, SELL = Side.BUY, Side.SELL
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


@pytest.fixture
def engine(btc_usdt: Instrument) -> MatchingEngine:
    """Outside bids of 5 at 99 and 7 at 98, outside asks of 4 at 101 and 6 at 102."""
    made = MatchingEngine(btc_usdt)
    for side, price_ticks, qty_lots in ((BUY, 99, 5), (BUY, 98, 7), (SELL, 101, 4), (SELL, 102, 6)):
        assert [] == made.set_liquidity(side, price_ticks, qty_lots)
    return made


def test_market_order_walks_the_book(engine: MatchingEngine) -> None:
    """A market order takes level by level, each at its own price, and expires what is left."""
    expected = [Fill(0, 1, BUY, 101, 4), Fill(0, 1, BUY, 102, 6)]
    assert Outcome(expected, expired_lots=2) == engine.submit(1, BUY, 12)
    assert (0, 0) == engine.best(SELL)
    assert [] == engine.resting()


def test_market_sell_takes_the_bids(engine: MatchingEngine) -> None:
    """A market sell takes the highest bid first."""
    assert Outcome([Fill(0, 1, SELL, 99, 5), Fill(0, 1, SELL, 98, 1)]) == engine.submit(1, SELL, 6)
    assert (98, 6) == engine.best(BUY)


def test_limit_order_rests_what_it_cannot_take(engine: MatchingEngine) -> None:
    """A limit order takes up to its price and the remainder becomes the best bid."""
    assert Outcome([Fill(0, 1, BUY, 101, 4)], leaves_lots=3) == engine.submit(1, BUY, 7, 101)
    assert [RestingOrder(1, BUY, 101, 3)] == engine.resting()
    assert (101, 3) == engine.best(BUY)
    assert (99, 5) == engine.best_outside(BUY)
    assert (102, 6) == engine.best(SELL)


def test_ioc_expires_the_rest(engine: MatchingEngine) -> None:
    """Immediate-or-cancel never rests."""
    assert Outcome([Fill(0, 1, BUY, 101, 4)], expired_lots=3) == engine.submit(1, BUY, 7, 101, IOC)
    assert [] == engine.resting()


@pytest.mark.parametrize(("qty_lots", "filled"), [(10, True), (11, False)])
def test_fok_fills_whole_or_not_at_all(engine: MatchingEngine, qty_lots: int, filled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Fill-or-kill at exactly what the book holds fills; one lot more expires and touches nothing."""
    outcome = engine.submit(1, BUY, qty_lots, 102, FOK)
    assert (0 if filled else qty_lots) == outcome.expired_lots
    assert (10 if filled else 0) == sum(fill.qty_lots for fill in outcome.fills)
    assert ((0, 0) if filled else (101, 4)) == engine.best(SELL)


def test_fok_counts_only_within_its_limit(engine: MatchingEngine) -> None:
    """Liquidity beyond the limit does not help a fill-or-kill order."""
    assert Outcome([], expired_lots=5) == engine.submit(1, BUY, 5, 101, FOK)


@pytest.mark.parametrize(("price_ticks", "reject"), [(101, WOULD_TAKE), (100, "")])
def test_post_only_never_takes(engine: MatchingEngine, price_ticks: int, reject: str) -> None:
    """A post-only order is rejected whole when it would take, and rests one tick further out."""
    outcome = engine.submit(1, BUY, 3, price_ticks, post_only=True)
    assert reject == outcome.reject
    assert [] == outcome.fills
    assert (0 if reject else 3) == outcome.leaves_lots
    assert (0 if reject else 1) == len(engine.resting())


def test_own_orders_match_first_come_first_served(engine: MatchingEngine) -> None:
    """Between own orders at one price the earlier one fills first; a better price comes before both."""
    engine.submit(1, SELL, 2, 100)
    engine.submit(2, SELL, 2, 100)
    engine.set_liquidity(BUY, 99, 0)
    engine.submit(3, SELL, 1, 99)
    expected = [Fill(3, 4, BUY, 99, 1), Fill(1, 4, BUY, 100, 2), Fill(2, 4, BUY, 100, 1)]
    assert Outcome(expected) == engine.submit(4, BUY, 4, 100)
    assert [RestingOrder(2, SELL, 100, 1)] == engine.resting()


def test_outside_liquidity_that_was_there_first_fills_first(engine: MatchingEngine) -> None:
    """The level's aggregate stands ahead of the order that joins it; what is added later stands behind."""
    engine.submit(1, SELL, 2, 101)
    engine.set_liquidity(SELL, 101, 9)
    expected = [Fill(0, 2, BUY, 101, 4), Fill(1, 2, BUY, 101, 2), Fill(0, 2, BUY, 101, 3)]
    assert Outcome(expected) == engine.submit(2, BUY, 9, 101)
    assert (101, 2) == engine.best(SELL) == engine.best_outside(SELL)


def test_print_fills_after_what_stood_ahead(engine: MatchingEngine) -> None:
    """Prints at the order's price use up the four lots ahead before the order trades, over several prints."""
    engine.submit(1, SELL, 2, 101)
    assert [] == engine.trade(101, 3, BUY)
    assert (101, 1) == engine.best_outside(SELL)
    assert [Fill(1, 0, BUY, 101, 1)] == engine.trade(101, 2, BUY)
    assert [Fill(1, 0, BUY, 101, 1)] == engine.trade(101, 5, BUY)
    assert [] == engine.resting()


@pytest.mark.parametrize(("shrunk_to", "filled"), [(6, 0), (4, 0), (3, 1), (0, 2)])
def test_shrinking_level_advances_only_past_what_stood_ahead(
    engine: MatchingEngine, shrunk_to: int, filled: int
) -> None:
    """Of a level that grew behind the order, the growth leaves first: four lots stay ahead until fewer are left."""
    engine.submit(1, SELL, 2, 101)
    engine.set_liquidity(SELL, 101, 9)
    engine.set_liquidity(SELL, 101, shrunk_to)
    assert filled == sum(fill.qty_lots for fill in engine.trade(101, 4, BUY))


def test_print_through_a_better_price_fills_without_a_queue(engine: MatchingEngine) -> None:
    """A print at 102 has gone through 101: the order there fills first, and the total never exceeds the print."""
    engine.submit(1, SELL, 2, 101)
    engine.submit(2, SELL, 2, 102)
    assert [Fill(1, 0, BUY, 101, 2)] == engine.trade(102, 8, BUY)
    assert (101, 4) == engine.best_outside(SELL)
    assert [Fill(2, 0, BUY, 102, 1)] == engine.trade(102, 1, BUY)
    assert [RestingOrder(2, SELL, 102, 1)] == engine.resting()


@pytest.mark.parametrize(("price_ticks", "aggressor"), [(100, BUY), (101, SELL)])
def test_print_that_misses_fills_nothing(engine: MatchingEngine, price_ticks: int, aggressor: Side) -> None:
    """A print at a worse price for the taker, or of a taker on the order's own side, is none of its business."""
    engine.submit(1, SELL, 2, 101)
    assert [] == engine.trade(price_ticks, 50, aggressor)
    assert [RestingOrder(1, SELL, 101, 2)] == engine.resting()


def test_consumed_liquidity_stays_consumed_until_the_level_is_set(engine: MatchingEngine) -> None:
    """Own takes leave the level short; the outside market's next word on it counts as new liquidity."""
    engine.submit(1, BUY, 3, 101, IOC)
    assert Outcome([Fill(0, 2, BUY, 101, 1)], expired_lots=2) == engine.submit(2, BUY, 3, 101, IOC)
    engine.set_liquidity(SELL, 102, 6)
    assert (102, 6) == engine.best(SELL)
    engine.set_liquidity(SELL, 101, 4)
    assert (101, 4) == engine.best(SELL)


def test_crossing_aggregate_fills_own_orders_at_their_prices(engine: MatchingEngine) -> None:
    """An outside bid through two own asks takes them best first and rests with what remains of it."""
    engine.submit(1, SELL, 2, 100)
    engine.submit(2, SELL, 2, 101)
    assert [Fill(1, 0, BUY, 100, 2), Fill(2, 0, BUY, 101, 1)] == engine.set_liquidity(BUY, 101, 3)
    assert (101, 1) == engine.best(SELL)
    assert (99, 5) == engine.best(BUY)
    assert [Fill(2, 0, BUY, 101, 1)] == engine.set_liquidity(BUY, 101, 3)
    assert (101, 2) == engine.best(BUY)


def test_newer_outside_level_replaces_older_ones_that_it_crosses(engine: MatchingEngine) -> None:
    """The two halves of one depth update need not arrive in an uncrossed order."""
    assert [] == engine.set_liquidity(BUY, 101, 8)
    assert (101, 8) == engine.best(BUY)
    assert (102, 6) == engine.best(SELL)


def test_clear_liquidity_leaves_own_orders(engine: MatchingEngine) -> None:
    """Only the outside market is forgotten; the order then stands at the front of its level."""
    engine.submit(1, SELL, 2, 101)
    engine.clear_liquidity()
    assert (0, 0) == engine.best_outside(SELL) == engine.best_outside(BUY) == engine.best(BUY)
    assert [Fill(1, 0, BUY, 101, 2)] == engine.trade(101, 9, BUY)


def test_cancel_returns_what_was_open(engine: MatchingEngine) -> None:
    """A cancelled order is out of the book; cancelling it again, or a filled one, says that it is unknown."""
    engine.submit(1, SELL, 3, 100)
    engine.submit(2, BUY, 1, 100)
    assert 2 == engine.cancel(1)
    assert (101, 4) == engine.best(SELL)
    for order_id in (1, 2, 77):
        with pytest.raises(UnknownOrder, match=str(order_id)):
            engine.cancel(order_id)


def test_cancel_in_the_middle_keeps_the_order_of_the_others(engine: MatchingEngine) -> None:
    """Who stood behind a cancelled order moves up and nobody changes places."""
    for order_id in (1, 2, 3):
        engine.submit(order_id, BUY, 1, 100)
    engine.cancel(2)
    assert Outcome([Fill(1, 4, SELL, 100, 1), Fill(3, 4, SELL, 100, 1)]) == engine.submit(4, SELL, 2, 100)


@pytest.mark.parametrize(
    ("order_id", "qty_lots", "price_ticks", "time_in_force", "post_only", "said"),
    [
        (0, 1, 100, TimeInForce.GTC, False, "was 0"),
        (1, 1, 100, TimeInForce.GTC, False, "was 1"),
        (2, 0, 100, TimeInForce.GTC, False, "was 0 at 100"),
        (2, 1, -1, TimeInForce.GTC, False, "was 1 at -1"),
        (2, 1, 0, TimeInForce.GTC, True, "post_only"),
        (2, 1, 100, TimeInForce.IOC, True, "post_only"),
    ],
)
def test_misuse_is_refused_before_anything_changes(
    engine: MatchingEngine,
    order_id: int,
    qty_lots: int,
    price_ticks: int,
    time_in_force: TimeInForce,
    post_only: bool,  # noqa: FBT001 - a parameter of the test
    said: str,
) -> None:
    """A wrong call of submit raises, names what it was and leaves the book as it was."""
    engine.submit(1, BUY, 1, 50)
    with pytest.raises(ValueError, match=said):
        engine.submit(order_id, SELL, qty_lots, price_ticks, time_in_force, post_only=post_only)
    assert [RestingOrder(1, BUY, 50, 1)] == engine.resting()
    assert (99, 5) == engine.best(BUY)


@pytest.mark.parametrize(("price_ticks", "qty_lots"), [(0, 1), (-1, 1), (100, -1)])
def test_impossible_market_data_is_refused(engine: MatchingEngine, price_ticks: int, qty_lots: int) -> None:
    """A level or a print without a positive price, or with a negative quantity, is the caller's mistake."""
    with pytest.raises(ValueError, match=f"was {qty_lots} at {price_ticks}"):
        engine.set_liquidity(BUY, price_ticks, qty_lots)
    with pytest.raises(ValueError, match=f"was {qty_lots} at {price_ticks}"):
        engine.trade(price_ticks, qty_lots, BUY)
