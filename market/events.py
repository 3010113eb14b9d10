"""What a feed tells: the events that adapters produce, the engine consumes and strategies see.

All are immutable. Times are int nanoseconds of the venue's clock (`exchange_ns`), None where the venue sends none;
prices are ticks and quantities lots of the event's instrument. `gc=False` keeps them out of the garbage collector's
lists: they hold no cycle, and a feed makes thousands a second (measured in benchmarks/throughput.py).
"""

from decimal import Decimal
from enum import IntEnum

from msgspec import Struct

from market.instrument import Instrument

Level = tuple[int, int]  # (price in ticks, quantity in lots)


class Side(IntEnum):
    """FIX tag 54."""

    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> "Side":
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Trade(Struct, frozen=True, gc=False):
    """One trade of the market. `aggressor` is the side that took liquidity."""

    instrument: Instrument
    price_ticks: int
    qty_lots: int
    aggressor: Side
    trade_id: int | str
    exchange_ns: int | None

    def qty_in(self, lot: Decimal) -> int:
        """Return the quantity as a whole number of another lot size, rounded down (see `Instrument.qty_in`)."""
        return self.instrument.qty_in(self.qty_lots, lot)


class Quote(Struct, frozen=True, gc=False):
    """Best bid and offer with the quantity at each; a side without orders has quantity 0."""

    instrument: Instrument
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    exchange_ns: int | None


class BookSnapshot(Struct, frozen=True, gc=False):
    """A whole book: replaces whatever was known. `sequence` is the venue's own number of this state."""

    instrument: Instrument
    bids: list[Level]
    asks: list[Level]
    sequence: int
    exchange_ns: int | None


class BookDelta(Struct, frozen=True, gc=False):
    """New quantities of some levels; 0 removes the level. `sequence` is the venue's number of the state afterwards."""

    instrument: Instrument
    bids: list[Level]
    asks: list[Level]
    sequence: int
    exchange_ns: int | None


class FeedState(IntEnum):
    """How far a feed's book data can be trusted."""

    SYNCING = 1  # waiting for a snapshot; no book yet
    LIVE = 2  # every update since the snapshot was seen
    SUSPECT = 3  # a gap was seen; a new snapshot is on its way
    DOWN = 4  # the connection is lost


class FeedStatus(Struct, frozen=True, gc=False):
    """A change of a feed's state for one instrument, with its reason."""

    instrument: Instrument
    state: FeedState
    reason: str


class SnapshotWanted(Struct, frozen=True, gc=False):
    """The adapter asks its caller to fetch `target` by HTTP GET and hand the body to the feed."""

    instrument: Instrument
    target: str


class Malformed(Struct, frozen=True, gc=False):
    """A message of the venue that could not be understood: what was wrong, and its beginning. Counted as dropped."""

    reason: str
    excerpt: str


MarketEvent = Trade | Quote | BookSnapshot | BookDelta | FeedStatus | SnapshotWanted | Malformed
