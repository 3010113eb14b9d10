"""The order book against a dict of the venue's own decimal strings, on recordings and on generated updates."""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import OrderBook
from market.events import BookDelta, BookSnapshot, Level, Side
from market.instrument import Instrument
from market.scale import Scale

level = st.tuples(st.integers(1, 12), st.integers(0, 3))
changes = st.lists(level, max_size=8)
whole = st.lists(level, max_size=8, unique_by=lambda at: at[0])


class StringBook:
    """The dumb reference: what the venue wrote, as it wrote it."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.bids = dict(snapshot["bids"])
        self.asks = dict(snapshot["asks"])

    def update(self, data: dict[str, Any]) -> None:
        """Write the update's strings over what stands; a quantity of zero strikes the level out."""
        for mine, changes in ((self.bids, data["b"]), (self.asks, data["a"])):
            for price, quantity in changes:
                mine[price] = quantity
                if not quantity.strip("0."):
                    del mine[price]

    def best(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Best bid and its quantity, best ask and its quantity, by a search of everything."""
        bid, ask = max(self.bids, key=float), min(self.asks, key=float)
        return Decimal(bid), Decimal(self.bids[bid]), Decimal(ask), Decimal(self.asks[ask])


def depth_messages(path: Path) -> list[dict[str, Any]]:
    """The REST snapshot, then every depth update that is newer, those included that were received before it."""
    snapshot: dict[str, Any] = {}
    updates = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            body = json.loads(line.split(" ", 1)[1])
            if "lastUpdateId" in body:
                snapshot = body
            elif "@depth" in body["stream"]:
                updates.append(body["data"])
    return [snapshot, *(data for data in updates if data["u"] > snapshot["lastUpdateId"])]


def in_steps(instrument: Instrument, pairs: list[list[str]]) -> list[Level]:
    return [(instrument.price.parse(price), instrument.qty.parse(quantity)) for price, quantity in pairs]


def as_decimals(instrument: Instrument, side: list[Level]) -> list[tuple[Decimal, Decimal]]:
    return [(instrument.price.value(ticks), instrument.qty.value(lots)) for ticks, lots in side]


def sorted_decimals(side: dict[str, str], *, reverse: bool) -> list[tuple[Decimal, Decimal]]:
    return sorted(((Decimal(price), Decimal(quantity)) for price, quantity in side.items()), reverse=reverse)


@pytest.mark.parametrize(
    ("name", "tick", "lot", "updates", "top_every"),
    [
        ("spot_btcusdt_20240808.gz", "0.01", "0.000001", 3_449, 1),
        ("usdm_btcusdt_20240808.gz", "0.1", "0.001", 6_547, 10),
    ],
)
def test_recorded_book(recordings: Path, name: str, tick: str, lot: str, updates: int, top_every: int) -> None:
    """Touched levels equal the reference after each update, the top and the whole book at intervals.

    The spot book still holds levels of six decimals, from before its lot size became 0.00001.
    """
    instrument = Instrument(1, "X", "binance", "X", "B", "Q", Scale(Decimal(tick)), Scale(Decimal(lot)))
    book = OrderBook(instrument)
    first, *messages = depth_messages(recordings / "binance" / name)
    reference = StringBook(first)
    bids, asks = in_steps(instrument, first["bids"]), in_steps(instrument, first["asks"])
    book.reset(BookSnapshot(instrument, bids, asks, first["lastUpdateId"], None))
    assert updates == len(messages)
    for count, data in enumerate(messages, 1):
        reference.update(data)
        bids, asks = in_steps(instrument, data["b"]), in_steps(instrument, data["a"])
        book.update(BookDelta(instrument, bids, asks, data["u"], None))
        assert data["u"] == book.sequence
        assert all(lots == book.quantity(Side.BUY, ticks) for ticks, lots in bids)
        assert all(lots == book.quantity(Side.SELL, ticks) for ticks, lots in asks)
        if count % top_every == 0:
            top = [(book.bid_ticks, book.bid_lots), (book.ask_ticks, book.ask_lots)]
            (bid, bid_quantity), (ask, ask_quantity) = as_decimals(instrument, top)
            assert reference.best() == (bid, bid_quantity, ask, ask_quantity)
            assert not book.is_crossed
        if count % 200 == 0:
            assert sorted_decimals(reference.bids, reverse=True) == as_decimals(instrument, book.bids())
            assert sorted_decimals(reference.asks, reverse=False) == as_decimals(instrument, book.asks())
    assert sorted_decimals(reference.bids, reverse=True) == as_decimals(instrument, book.bids())
    assert sorted_decimals(reference.asks, reverse=False) == as_decimals(instrument, book.asks())


@given(bids=whole, asks=whole, updates=st.lists(st.tuples(changes, changes), max_size=8), depth=st.integers(0, 14))
def test_any_updates(
    btc_usdt: Instrument,
    bids: list[Level],
    asks: list[Level],
    updates: list[tuple[list[Level], list[Level]]],
    depth: int,
) -> None:
    """Whatever the levels, every reading agrees with two plain dicts, repeated and crossing levels included."""
    book = OrderBook(btc_usdt)
    book.reset(BookSnapshot(btc_usdt, bids, asks, 1, None))
    plain = {Side.BUY: dict(bids), Side.SELL: dict(asks)}
    for sequence, (new_bids, new_asks) in enumerate(updates, 2):
        book.update(BookDelta(btc_usdt, new_bids, new_asks, sequence, None))
        plain[Side.BUY].update(new_bids)
        plain[Side.SELL].update(new_asks)
    standing = {side: {ticks: lots for ticks, lots in held.items() if lots} for side, held in plain.items()}
    expected_bids = sorted(standing[Side.BUY].items(), reverse=True)
    expected_asks = sorted(standing[Side.SELL].items())
    assert expected_bids == book.bids()
    assert expected_asks == book.asks()
    assert expected_bids[:depth] == book.bids(depth)
    assert expected_asks[:depth] == book.asks(depth)
    best_bid, best_ask = (expected_bids or [(0, 0)])[0], (expected_asks or [(0, 0)])[0]
    assert best_bid == (book.bid_ticks, book.bid_lots)
    assert best_ask == (book.ask_ticks, book.ask_lots)
    assert (bool(expected_bids and expected_asks) and best_bid[0] >= best_ask[0]) is book.is_crossed
    assert all(
        held.get(ticks, 0) == book.quantity(side, ticks) for side, held in standing.items() for ticks in range(14)
    )


def test_new_book_is_empty(btc_usdt: Instrument) -> None:
    """Before the first snapshot there is no level, no crossing and the sequence is 0."""
    book = OrderBook(btc_usdt)
    assert (0, 0, 0, 0) == (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
    assert [] == book.bids() == book.asks(5)
    assert 0 == book.sequence
    assert not book.is_crossed


def test_reset_forgets_the_old_book(btc_usdt: Instrument) -> None:
    """A snapshot replaces levels that it does not name, whichever sequence it has."""
    book = OrderBook(btc_usdt)
    book.reset(BookSnapshot(btc_usdt, [(10, 1), (9, 1)], [(11, 1)], 7, None))
    book.reset(BookSnapshot(btc_usdt, [(8, 2)], [], 3, None))
    assert [(8, 2)] == book.bids()
    assert [] == book.asks()
    assert (8, 2, 0, 0) == (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
    assert 3 == book.sequence


def test_snapshot_lists_stay_the_callers(btc_usdt: Instrument) -> None:
    """Updates do not reach into the snapshot that they follow."""
    bids, asks = [(10, 1)], [(11, 1)]
    book = OrderBook(btc_usdt)
    book.reset(BookSnapshot(btc_usdt, bids, asks, 1, None))
    book.update(BookDelta(btc_usdt, [(10, 0)], [(11, 5)], 2, None))
    book.bids().clear()
    assert [(10, 1)] == bids
    assert [(11, 1)] == asks
    assert [(11, 5)] == book.asks()
