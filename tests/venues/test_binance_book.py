"""Binance's rule of a local order book: buffer, snapshot, no hole; and what a peer may do to it."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import OrderBook
from market.events import BookDelta, BookSnapshot, FeedState, FeedStatus, SnapshotWanted
from market.instrument import Instrument
from market.scale import Scale
from venues.binance import BinanceFeed


@pytest.fixture
def feed(btc_usdt: Instrument) -> BinanceFeed:
    """A feed of the order book."""
    return BinanceFeed([btc_usdt], ("book",))


def depth(first: int, last: int) -> bytes:
    """Return an update `first` to `last` as the venue writes it."""
    data = {"e": "depthUpdate", "E": 1723161255208, "U": first, "u": last, "b": [["10.00", f"{last}.0"]], "a": []}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":")).encode()


def snapshot(last: int) -> bytes:
    body = {"lastUpdateId": last, "bids": [["10.00", "0.50000000"]], "asks": [["10.01", "0.25000000"]]}
    return json.dumps(body).encode()


def kinds(events: Any) -> list[str]:  # noqa: ANN401 - any sequence of events
    """Name events by their class, and states by their name."""
    return [each.state.name if isinstance(each, FeedStatus) else type(each).__name__ for each in events]


def sequences(events: Any) -> list[int]:  # noqa: ANN401
    return [event.sequence for event in events if isinstance(event, BookDelta | BookSnapshot)]


def synchronised(feed: BinanceFeed, instrument: Instrument, last: int) -> None:
    """Bring a feed's book to a state."""
    feed.receive(depth(last, last))
    assert "LIVE" == kinds(feed.receive_snapshot(instrument, snapshot(last)))[-1]


def test_the_recorded_book_equals_one_of_decimal_strings(
    btc_usdt: Instrument, feed: BinanceFeed, recorded: list[bytes]
) -> None:
    """An independent dumb book, a dict of decimal strings a side, after every fiftieth update and at the end."""
    book, plain, updates = OrderBook(btc_usdt), DecimalBook(), 0
    for payload in recorded:
        message = json.loads(payload)
        is_snapshot = "lastUpdateId" in message
        if not is_snapshot and "@depth" not in message["stream"]:
            continue
        for event in feed.receive_snapshot(btc_usdt, payload) if is_snapshot else feed.receive(payload):
            if isinstance(event, BookSnapshot):
                book.reset(event)
            elif isinstance(event, BookDelta):
                book.update(event)
        plain.take(message if is_snapshot else message["data"])
        updates += 1
        if updates % 50 == 0:
            assert plain.levels() == levels_of(book)
    assert 3_452 == updates
    assert plain.levels() == levels_of(book)
    assert plain.last == book.sequence


class DecimalBook:
    """The venue's own words, step by step: buffer, take the snapshot, drop what it holds, apply the rest."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {}
        self.last = 0
        self.waiting: list[dict[str, Any]] = []

    def take(self, data: dict[str, Any]) -> None:
        """Take an update or the snapshot."""
        self.waiting.append(data)
        if "lastUpdateId" in data:
            self.sides = {"b": dict(data["bids"]), "a": dict(data["asks"])}
            self.last = data["lastUpdateId"]
        if self.sides:
            for update in self.waiting:
                if update.get("u", 0) > self.last:
                    self.last = update["u"]
                    for side, levels in self.sides.items():
                        levels.update(dict(update[side]))
            self.waiting.clear()

    def levels(self) -> list[list[tuple[Decimal, Decimal]]]:
        """Return bids and asks, best first."""
        exact = [
            {Decimal(price): Decimal(qty) for price, qty in self.sides.get(side, {}).items() if Decimal(qty)}
            for side in "ba"
        ]
        return [sorted(exact[0].items(), reverse=True), sorted(exact[1].items())]


def levels_of(book: OrderBook) -> list[list[tuple[Decimal, Decimal]]]:
    price, qty = book.instrument.price.value, book.instrument.qty.value
    return [[(price(ticks), qty(lots)) for ticks, lots in side] for side in (book.bids(), book.asks())]


def test_the_first_update_asks_for_a_snapshot_once(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """Updates that follow are buffered."""
    first, second = feed.receive(depth(11, 12)), feed.receive(depth(13, 14))
    assert ["SYNCING", "SnapshotWanted"] == kinds(first)
    assert SnapshotWanted(btc_usdt, "/api/v3/depth?symbol=BTCUSDT&limit=5000") == first[-1]
    assert [] == list(second)


def test_the_snapshot_is_followed_by_what_was_buffered(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """Updates that the snapshot holds already are left out; one that straddles it is applied."""
    for first, last in ((1, 10), (11, 12), (13, 20), (21, 22)):
        feed.receive(depth(first, last))
    events = feed.receive_snapshot(btc_usdt, snapshot(15))
    assert ["BookSnapshot", "BookDelta", "BookDelta", "LIVE"] == kinds(events)
    assert [15, 20, 22] == sequences(events)
    assert [23] == sequences(feed.receive(depth(23, 23)))


def test_a_snapshot_newer_than_every_update_is_enough(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """The next update may overlap it."""
    feed.receive(depth(11, 12))
    assert ["BookSnapshot", "LIVE"] == kinds(feed.receive_snapshot(btc_usdt, snapshot(20)))
    assert () == feed.receive(depth(13, 20))
    assert [22] == sequences(feed.receive(depth(19, 22)))


@pytest.mark.parametrize("last", [9, 1, 0])
def test_a_snapshot_older_than_the_first_update_is_asked_for_again(
    feed: BinanceFeed, btc_usdt: Instrument, last: int
) -> None:
    """There would be a hole between the two."""
    feed.receive(depth(11, 12))
    assert ["SnapshotWanted"] == kinds(feed.receive_snapshot(btc_usdt, snapshot(last)))
    assert ["BookSnapshot", "BookDelta", "LIVE"] == kinds(feed.receive_snapshot(btc_usdt, snapshot(10)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"<html>",
        b"{}",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b"[" * 100_000,
        snapshot(11)[:-1],
        snapshot(11).replace(b"10.01", b"10.001"),
        snapshot(11).replace(b'"10.01"', b"10.01"),
    ],
)
def test_a_snapshot_that_cannot_be_read_is_dropped_and_asked_for_again(
    feed: BinanceFeed, btc_usdt: Instrument, body: bytes
) -> None:
    """The buffer is kept meanwhile."""
    feed.receive(depth(11, 12))
    assert ["Malformed", "SnapshotWanted"] == kinds(feed.receive_snapshot(btc_usdt, body))
    feed.receive(depth(13, 14))
    assert [10, 12, 14] == sequences(feed.receive_snapshot(btc_usdt, snapshot(10)))


def test_updates_follow_one_another(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """`U` is the number after the last `u`, or before it where they overlap; what is old changes nothing."""
    synchronised(feed, btc_usdt, 10)
    assert [12] == sequences(feed.receive(depth(11, 12)))
    assert () == feed.receive(depth(11, 12))
    assert () == feed.receive(depth(3, 4))
    assert [15] == sequences(feed.receive(depth(12, 15)))


def test_a_gap_makes_the_book_suspect_and_starts_it_anew(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """Said once, with the numbers; nothing is applied until the next snapshot."""
    synchronised(feed, btc_usdt, 10)
    events = feed.receive(depth(12, 13))
    assert ["SUSPECT", "SYNCING", "SnapshotWanted"] == kinds(events)
    assert FeedStatus(btc_usdt, FeedState.SUSPECT, "gap: expected update 11, was 12") == events[0]
    assert [] == list(feed.receive(depth(14, 15)))
    assert [11, 13, 15] == sequences(feed.receive_snapshot(btc_usdt, snapshot(11)))


def test_a_gap_among_the_buffered_updates_is_seen(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """No half-made book is handed on."""
    for first, last in ((11, 12), (15, 16)):
        feed.receive(depth(first, last))
    assert ["SUSPECT", "SnapshotWanted"] == kinds(feed.receive_snapshot(btc_usdt, snapshot(10)))
    feed.receive(depth(17, 18))
    assert [16, 18] == sequences(feed.receive_snapshot(btc_usdt, snapshot(16)))


def test_a_lost_connection_starts_every_book_anew(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """Books that never began have nothing to lose."""
    assert [] == list(feed.disconnected())
    synchronised(feed, btc_usdt, 10)
    assert ["DOWN"] == kinds(feed.disconnected())
    assert ["SYNCING", "SnapshotWanted"] == kinds(feed.receive(depth(50, 51)))


def test_a_snapshot_of_before_the_loss_changes_nothing(feed: BinanceFeed, btc_usdt: Instrument) -> None:
    """Its answer may come when the connection is lost, or when the next one has its own snapshot already."""
    feed.receive(depth(11, 12))
    feed.disconnected()
    assert () == feed.receive_snapshot(btc_usdt, snapshot(11))
    feed.receive(depth(50, 51))
    assert ["BookSnapshot", "BookDelta", "LIVE"] == kinds(feed.receive_snapshot(btc_usdt, snapshot(49)))
    assert () == feed.receive_snapshot(btc_usdt, snapshot(12))
    assert [52] == sequences(feed.receive(depth(52, 52)))


def test_each_instrument_has_a_book_of_its_own(btc_usdt: Instrument) -> None:
    """A gap in one leaves the other alone."""
    scale = Scale(Decimal("0.01")), Scale(Decimal("0.0001"))
    eth = Instrument(8, "ETH-USDT", "binance", "ETHUSDT", "ETH", "USDT", *scale)
    feed = BinanceFeed([btc_usdt, eth], ("book",))
    synchronised(feed, btc_usdt, 10)
    assert ["SYNCING", "SnapshotWanted"] == kinds(feed.receive(depth(70, 71).replace(b"btcusdt", b"ethusdt")))
    assert 8 == feed.instrument_id
    assert [11] == sequences(feed.receive(depth(11, 11)))
    assert [70, 71] == sequences(feed.receive_snapshot(eth, snapshot(70)))


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30),
    at=st.integers(0, 30),
    base=st.integers(0, 60),
)
def test_a_live_book_has_seen_every_number(
    btc_usdt: Instrument, steps: list[tuple[int, int]], at: int, base: int
) -> None:
    """Whatever is skipped, repeated or late: what is applied follows the snapshot without a hole."""
    feed = BinanceFeed([btc_usdt], ("book",))
    known, following = 0, 20
    for number, (skip, more) in enumerate(steps):
        first, last = following + skip - 1, following + skip + more
        following = last + 1
        events = [*feed.receive(depth(first, last))]
        if number == at:
            events += feed.receive_snapshot(btc_usdt, snapshot(base))
        for event in events:
            if isinstance(event, BookSnapshot):
                known = event.sequence
            elif isinstance(event, BookDelta):
                assert known < event.sequence
                known = event.sequence
            elif isinstance(event, FeedStatus) and event.state is FeedState.SUSPECT:
                known = 0
        if known > base:
            assert known == last
