"""The synthetic market's book."""

from market.events import Side
from sandbox.synthetic_book import SyntheticBook


def test_changes_are_numbered_and_told_once() -> None:
    """A level changed twice is told once, with its last quantity; a removal is told as 0."""
    book = SyntheticBook(100)
    book.set(Side.BUY, 98, 5)
    book.set(Side.BUY, 98, 7)
    book.set(Side.SELL, 103, 1)
    book.set(Side.SELL, 103, 0)
    assert book.sequence == 4
    assert book.take_changes() == ([(98, 7)], [(103, 0)])
    assert book.take_changes() == ([], [])


def test_a_side_is_never_empty() -> None:
    """The last level cannot be removed, so a best price always exists."""
    book = SyntheticBook(100)
    book.set(Side.BUY, 99, 0)
    assert book.best(Side.BUY) == 99
    assert book.sequence == 0


def test_levels_are_found_by_rank_and_by_price() -> None:
    """Best, worst and nearest of either side."""
    book = SyntheticBook(100)
    for ticks in (90, 95):
        book.set(Side.BUY, ticks, 1)
    assert [ticks for ticks, _ in book.levels(Side.BUY)] == [99, 95, 90]
    assert (book.best(Side.BUY), book.worst(Side.BUY), book.size(Side.BUY)) == (99, 90, 3)
    assert (book.nearest(Side.BUY, 91), book.nearest(Side.BUY, 1000)) == (95, 99)
