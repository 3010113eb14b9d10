"""The synthetic market: deterministic, consistent in itself, and like what it was calibrated to."""

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest

from market.book import OrderBook
from market.events import BookDelta, Quote, Trade
from sandbox.binance_symbols import BTCUSDT
from sandbox.errors import OptionsError
from sandbox.synthetic import ORDERS_PER_S, QUOTES_PER_ORDER, Step, SyntheticMarket


def steps(count: int, *, seed: int = 1, rate: float = 1.0) -> list[Step]:
    return list(islice(SyntheticMarket(BTCUSDT, seed=seed, rate=rate), count))


def test_a_seed_is_a_market() -> None:
    """The same seed gives the same events, another one others."""
    assert steps(2000) == steps(2000)
    assert steps(2000) != steps(2000, seed=2)


def test_rate_compresses_time_and_nothing_else() -> None:
    """Ten times the rate is the same market in a tenth of the time."""
    slow, fast = steps(500), steps(500, rate=10.0)
    assert [step.event for step in slow] == [step.event for step in fast]
    assert slow[-1].at_ns // 10 == fast[-1].at_ns


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_is_positive(rate: float) -> None:
    """Nothing else has a meaning."""
    with pytest.raises(OptionsError, match="expected a rate above 0"):
        SyntheticMarket(BTCUSDT, seed=1, rate=rate)


def test_quotes_trades_and_depth_agree() -> None:
    """After each depth update the book it builds is uncrossed and has the last quote's top; prints come at the top."""
    market = SyntheticMarket(BTCUSDT, seed=3, rate=1.0)
    book = OrderBook(BTCUSDT)
    book.reset(market.snapshot())
    quote: Quote | None = None
    changes = 0
    for step in islice(market, 20_000):
        if isinstance(step.event, Quote):
            quote = step.event
            assert quote.bid_ticks < quote.ask_ticks
        elif isinstance(step.event, Trade):
            assert step.event.qty_lots > 0
        else:
            book.update(step.event)
            assert step.event.sequence == step.sequence
            assert not book.is_crossed
            if quote is not None:
                assert (quote.bid_ticks, quote.bid_lots) == (book.bid_ticks, book.bid_lots)
                assert (quote.ask_ticks, quote.ask_lots) == (book.ask_ticks, book.ask_lots)
                changes += 1
    assert changes > 1000


def test_sequence_and_time_never_go_back() -> None:
    """Events are in order."""
    for before, after in pairwise(steps(20_000)):
        assert before.at_ns <= after.at_ns
        assert before.sequence <= after.sequence


def until(seconds: int) -> Iterator[Step]:
    for step in SyntheticMarket(BTCUSDT, seed=1, rate=1.0):
        if step.at_ns > seconds * 10**9:
            return
        yield step


def test_it_resembles_its_calibration() -> None:
    """Rates within a third, orders clustered as recorded, a spread of one tick most of the time."""
    lived = list(until(600))
    quotes = [step.event for step in lived if isinstance(step.event, Quote)]
    depth = [step for step in lived if isinstance(step.event, BookDelta)]
    prints = np.array([step.at_ns for step in lived if isinstance(step.event, Trade)])
    orders = np.unique(prints) / 1e9
    counts = np.histogram(orders, np.arange(0, 600, 1.0))[0]
    assert len(orders) / 600 == pytest.approx(ORDERS_PER_S, rel=0.33)
    assert len(quotes) / 600 == pytest.approx(ORDERS_PER_S * QUOTES_PER_ORDER, rel=0.33)
    assert len(depth) / 600 == pytest.approx(10, rel=0.02)
    assert 8 < counts.var() / counts.mean() < 30
    assert 0.8 < sum(quote.ask_ticks - quote.bid_ticks == 1 for quote in quotes) / len(quotes) < 0.95
