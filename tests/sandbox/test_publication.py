"""A publication is its bytes, with the times of the moment."""

from market.events import BookDelta
from sandbox.binance_symbols import BTCUSDT
from sandbox.publication import Publication

EVENT = BookDelta(BTCUSDT, [], [], 1, None)


def test_times_are_put_between_the_pieces() -> None:
    """Each time stands where the recorded one stood."""
    publication = Publication(0, "s", (b'{"E":', b',"T":', b"}"), (1, 2), EVENT)
    assert publication.payload((7, 8)) == b'{"E":7,"T":8}'


def test_a_message_without_times_is_its_bytes() -> None:
    """Nothing is copied or changed."""
    publication = Publication(0, "s", (b"{}",), (), EVENT)
    assert publication.payload(()) is publication.pieces[0]
