"""How fast `market.book.OrderBook` follows recorded depth updates, beside a plain dict and a SortedDict.

Each book takes every update of the recording in turn and is read after it: the best level of both sides, or the best
five. Parsing is done beforehand. A figure is the fastest of `--rounds` passes over the whole recording; the books take
turns, so that a slow moment of the machine hits them alike.

    python benchmarks/order_book.py spot_btcusdt_20240808.gz usdm_btcusdt_20240808.gz
"""

import argparse
import gzip
import json
import time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from sortedcontainers import SortedDict  # type: ignore[import-untyped] # it has no types

from market.book import OrderBook
from market.events import BookDelta, BookSnapshot, Level
from market.instrument import Instrument
from market.scale import Scale

STEP = Scale(Decimal("0.00000001"))  # fits every price and quantity that Binance sends
INSTRUMENT = Instrument(1, "BTC-USDT", "binance", "BTCUSDT", "BTC", "USDT", STEP, STEP)
Top = tuple[int, int, int, int]


class Ours(OrderBook):
    """The book under test."""

    def top(self) -> Top:
        """Best bid and its lots, best ask and its lots."""
        return self.bid_ticks, self.bid_lots, self.ask_ticks, self.ask_lots


class PlainDict:
    """A dict a side; max() and min() search for the best level, several are sorted for."""

    mapping: Any = dict

    def __init__(self, _: Instrument) -> None:
        self.bid_lots = self.mapping()
        self.ask_lots = self.mapping()

    def reset(self, snapshot: BookSnapshot) -> None:
        """Take over a whole book."""
        self.bid_lots, self.ask_lots = self.mapping(snapshot.bids), self.mapping(snapshot.asks)

    def update(self, delta: BookDelta) -> None:
        """Take over some levels."""
        for held, changes in ((self.bid_lots, delta.bids), (self.ask_lots, delta.asks)):
            for ticks, lots in changes:
                if lots:
                    held[ticks] = lots
                else:
                    held.pop(ticks, None)

    def top(self) -> Top:
        """Best bid and its lots, best ask and its lots."""
        bid, ask = max(self.bid_lots), min(self.ask_lots)
        return bid, self.bid_lots[bid], ask, self.ask_lots[ask]

    def bids(self, depth: int) -> list[Level]:
        """The best bids."""
        return [(ticks, self.bid_lots[ticks]) for ticks in sorted(self.bid_lots, reverse=True)[:depth]]

    def asks(self, depth: int) -> list[Level]:
        """The best asks."""
        return [(ticks, self.ask_lots[ticks]) for ticks in sorted(self.ask_lots)[:depth]]


class LazyBest(PlainDict):
    """A dict a side that remembers its best price and searches only when that has gone."""

    best_bid = best_ask = 0

    def update(self, delta: BookDelta) -> None:
        """Take over some levels."""
        super().update(delta)
        best = max((ticks for ticks, lots in delta.bids if lots), default=0)
        self.best_bid = max(best, self.best_bid)
        if self.best_bid not in self.bid_lots:
            self.best_bid = max(self.bid_lots)
        best = min((ticks for ticks, lots in delta.asks if lots), default=self.best_ask)
        self.best_ask = min(best, self.best_ask)
        if self.best_ask not in self.ask_lots:
            self.best_ask = min(self.ask_lots)

    def top(self) -> Top:
        """Best bid and its lots, best ask and its lots."""
        return self.best_bid, self.bid_lots[self.best_bid], self.best_ask, self.ask_lots[self.best_ask]


class Sorted(PlainDict):
    """A `sortedcontainers.SortedDict` a side."""

    mapping = SortedDict

    def top(self) -> Top:
        """Best bid and its lots, best ask and its lots."""
        bid, ask = self.bid_lots.peekitem(-1), self.ask_lots.peekitem(0)
        return (*bid, *ask)

    def bids(self, depth: int) -> list[Level]:
        """The best bids."""
        return [(ticks, self.bid_lots[ticks]) for ticks in islice(reversed(self.bid_lots), depth)]

    def asks(self, depth: int) -> list[Level]:
        """The best asks."""
        return [(ticks, self.ask_lots[ticks]) for ticks in islice(self.ask_lots, depth)]


Book = Ours | PlainDict
BOOKS: dict[str, type[Book]] = {
    "wirestamp": Ours,
    "lazy_best": LazyBest,
    "sorted_dict": Sorted,
    "plain_dict": PlainDict,
}


def load(path: Path) -> tuple[BookSnapshot, list[BookDelta]]:
    """Read the snapshot and the newer updates of a recording (`<receive ns> <JSON>` a line, one inlined snapshot)."""
    snapshot, updates = None, []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            body = json.loads(line.split(" ", 1)[1])
            if "lastUpdateId" in body:
                bids, asks = in_steps(body["bids"]), in_steps(body["asks"])
                snapshot = BookSnapshot(INSTRUMENT, bids, asks, body["lastUpdateId"], None)
            elif "@depth" in body["stream"]:
                data = body["data"]
                updates.append(BookDelta(INSTRUMENT, in_steps(data["b"]), in_steps(data["a"]), data["u"], None))
    if snapshot is None:
        raise SystemExit(f"{path}: expected a REST snapshot among its lines, found none")
    return snapshot, [update for update in updates if update.sequence > snapshot.sequence]


def in_steps(pairs: list[list[str]]) -> list[Level]:
    """Parse the venue's pairs of decimal strings."""
    return [(STEP.parse(price), STEP.parse(quantity)) for price, quantity in pairs]


def one_pass(book: Book, snapshot: BookSnapshot, updates: list[BookDelta], depth: int) -> tuple[float, Top]:
    """Return the seconds of a pass over all updates, and the top at its end, by which the books prove each other."""
    book.reset(snapshot)
    began = time.perf_counter()
    for update in updates:
        book.update(update)
        if depth == 1:
            book.top()
        else:
            book.bids(depth)
            book.asks(depth)
    return time.perf_counter() - began, book.top()


def main() -> None:
    """Print one line per recording, depth and book."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recording", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for path in options.recording:
        snapshot, updates = load(path)
        changes = sum(len(update.bids) + len(update.asks) for update in updates)
        print(f"{path.name}: {len(updates)} updates, {changes} level changes")
        for depth in (1, 5):
            best = dict.fromkeys(BOOKS, float("inf"))
            for _ in range(options.rounds):
                tops = set()
                for name, book in BOOKS.items():
                    seconds, top = one_pass(book(INSTRUMENT), snapshot, updates, depth)
                    best[name] = min(best[name], seconds)
                    tops.add(top)
                assert len(tops) == 1, f"the books disagree: {tops}"
            for name, seconds in best.items():
                print(
                    f"  read {depth} {name:12} {len(updates) / seconds:9,.0f} updates/s"
                    f" {changes / seconds:11,.0f} level changes/s"
                )


if __name__ == "__main__":
    main()
