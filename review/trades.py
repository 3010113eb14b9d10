"""Counting the trades of a run from its raw messages, by the venue's own adapter.

The journal keeps bytes, not events, and a trader that was killed leaves no count behind. The messages are decoded by
a feed that is subscribed to trades alone: it keeps no book, so any part of a run can be counted by itself.
"""

from http import HTTPStatus

import msgspec
from msgspec import Struct

from market.events import Trade
from market.instrument import Instrument
from venues.adapter import Feed
from venues.registry import VENUES


class FeedEntry(Struct, frozen=True):
    """One `[[feed]]` of the configuration."""

    venue: str
    symbols: list[str]
    channels: list[str]


class _Purpose(Struct):
    purpose: str
    feed: int = 0
    name: str = ""
    number: int = 0
    status: int = 0


_decode_purpose = msgspec.json.Decoder(_Purpose).decode


class TradeCounter:
    """Counts trades as records go by.

    Args:
        feeds: the configuration's feeds, in its order.

    Attributes:
        trades: how many there were so far.
    """

    def __init__(self, feeds: list[FeedEntry]) -> None:
        self.trades = 0
        self._tables = feeds
        self._instruments: list[list[Instrument]] = [[] for _ in feeds]
        self._feeds: dict[int, Feed] = {}  # by connection

    def reply(self, payload: bytes) -> None:
        """Take an HTTP reply: one that describes an instrument gives its scales.

        Raises:
            UnknownSymbol: the description cannot be read.
            msgspec.MsgspecError: the reply's head is not what the trader writes.
        """
        head, _, body = payload.partition(b"\n")
        asked = _decode_purpose(head)
        if (
            asked.purpose == "instrument" and asked.status == HTTPStatus.OK
        ):  # else the run's end says why it never began
            venue = VENUES[self._tables[asked.feed].venue]
            instrument = venue.parse_instrument(asked.name, asked.number, asked.status, body)
            self._instruments[asked.feed].append(instrument)

    def connected(self, conn: int, index: int) -> None:
        """Take note that this connection carries the feed at `index` in the configuration."""
        table = self._tables[index]
        if "trade" in table.channels:
            self._feeds[conn] = VENUES[table.venue].feed(self._instruments[index], ["trade"])

    def inbound(self, conn: int, payload: bytes) -> None:
        """Take one inbound message."""
        feed = self._feeds.get(conn)
        if feed is not None:
            self.trades += sum(type(event) is Trade for event in feed.receive(payload))
