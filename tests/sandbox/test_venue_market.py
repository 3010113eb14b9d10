"""One instrument's market: the published book and the average price."""

from market.events import BookDelta, BookSnapshot, Side, Trade
from sandbox.binance_symbols import BTCUSDT
from sandbox.venue_market import VenueMarket

SEED = BookSnapshot(BTCUSDT, [(100, 5)], [(102, 5)], 10, None)


def test_updates_older_than_the_book_change_nothing() -> None:
    """A snapshot holds what the first recorded updates say; they are passed over."""
    market = VenueMarket(BTCUSDT)
    market.reset(SEED)
    market.apply(BookDelta(BTCUSDT, [(100, 1)], [], 10, None), 0)
    assert market.book.bids() == [(100, 5)]
    market.apply(BookDelta(BTCUSDT, [(100, 1)], [], 11, None), 0)
    assert (market.book.bids(), market.book.sequence) == ([(100, 1)], 11)
    assert market.engine.best(Side.BUY) == (100, 1)
    market.reset(SEED)
    assert market.book.sequence == 11


def test_a_level_may_move_through_the_other_side_in_one_update() -> None:
    """The ask at 102 goes and a bid comes there, in one update."""
    market = VenueMarket(BTCUSDT)
    market.reset(SEED)
    market.apply(BookDelta(BTCUSDT, [(102, 7)], [(102, 0), (103, 4)], 11, None), 0)
    assert (market.engine.best(Side.BUY), market.engine.best(Side.SELL)) == ((102, 7), (103, 4))


def test_the_average_price_is_of_five_minutes() -> None:
    """Weighted by volume; without trades the middle of the book; without a book 0."""
    market = VenueMarket(BTCUSDT)
    assert market.average_ticks(0) == 0
    market.reset(SEED)
    assert market.average_ticks(0) == 101
    market.apply(Trade(BTCUSDT, 200, 3, Side.BUY, 1, None), 1000)
    market.apply(Trade(BTCUSDT, 300, 1, Side.BUY, 2, None), 1001)
    assert market.average_ticks(1001) == 225
    assert market.average_ticks(1300) == 300
    assert market.average_ticks(1301) == 101
