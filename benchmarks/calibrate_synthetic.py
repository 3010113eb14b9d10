"""What the synthetic market is calibrated to: measured on a recording, and on the synthetic market beside it.

    python benchmarks/calibrate_synthetic.py RECORDING…

Prints one line a number, recorded | synthetic. The recorded column is what sandbox/synthetic.py holds as constants.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise, takewhile
from pathlib import Path

import numpy as np

from market.book import OrderBook
from market.events import BookDelta, BookSnapshot, Quote, Trade
from sandbox.binance_recording import BinanceRecording
from sandbox.binance_symbols import BTCUSDT
from sandbox.publication import Publication, Reset
from sandbox.synthetic import PROBABILITIES, SyntheticMarket

Timed = tuple[int, Trade | Quote | BookDelta]


def recorded(entries: Iterable[Publication | Reset]) -> Iterator[Timed]:
    """Yield a recording's events with the venue's time, or the receipt's where the message has none."""
    for entry in entries:
        if isinstance(entry, Publication):
            yield (entry.times_us[-1] * 1000 if entry.times_us else entry.at_ns), entry.event


def measure(snapshot: BookSnapshot, events: Iterable[Timed]) -> dict[str, object]:
    """Return every calibrated number of a stretch of market, quantities in lots, distances in ticks."""
    trades: list[tuple[int, Trade]] = []
    quotes: list[tuple[int, Quote]] = []
    changed: list[int] = []
    distances: list[int] = []
    removed = 0
    book = OrderBook(BTCUSDT)
    book.reset(snapshot)
    for at_ns, event in events:
        if isinstance(event, Trade):
            trades.append((at_ns, event))
        elif isinstance(event, Quote):
            quotes.append((at_ns, event))
        else:
            changed.append(len(event.bids) + len(event.asks))
            removed += sum(not lots for _, lots in event.bids + event.asks)
            if event.sequence > book.sequence:
                book.update(event)
                distances += [book.bid_ticks - ticks for ticks, _ in event.bids if ticks < book.bid_ticks]
                distances += [ticks - book.ask_ticks for ticks, _ in event.asks if ticks > book.ask_ticks]
    seconds = (trades[-1][0] - trades[0][0]) / 1e9
    return {
        "trades_per_s": len(trades) / seconds,
        "quotes_per_s": len(quotes) / seconds,
        "depth_updates_per_s": len(changed) / seconds,
        **_orders(trades, seconds),
        **_tops(quotes),
        "PRINT_LOTS": _quantiles([trade.qty_lots for _, trade in trades]),
        "CHANGED_LEVELS": _quantiles(changed),
        "removed_share": removed / max(sum(changed), 1),
        "CHANGE_DISTANCE_TICKS": _quantiles(distances),
        "LEVEL_GAP_TICKS": _quantiles([b - a for a, b in pairwise(sorted(ticks for ticks, _ in snapshot.asks))]),
        "LEVEL_LOTS": _quantiles([lots for _, lots in snapshot.bids + snapshot.asks]),
    }


def _orders(trades: Sequence[tuple[int, Trade]], seconds: float) -> dict[str, object]:
    """Prints of one millisecond and one aggressor count as one order."""
    groups = [
        (key, len(list(group))) for key, group in groupby(trades, lambda item: (item[0] // 10**6, item[1].aggressor))
    ]
    times = np.array([key[0] for key, _ in groups]) / 1e3
    sides = [key[1] for key, _ in groups]
    return {
        "orders_per_s": len(groups) / seconds,
        "order_fano_0.1s": _fano(times, 0.1),
        "order_fano_1s": _fano(times, 1.0),
        "order_fano_10s": _fano(times, 10.0),
        "order_same_side": float(np.mean([a == b for a, b in pairwise(sides)])),
        "PRINTS_PER_ORDER": _quantiles([size for _, size in groups]),
    }


def _tops(quotes: Sequence[tuple[int, Quote]]) -> dict[str, object]:
    spreads = Counter(quote.ask_ticks - quote.bid_ticks for _, quote in quotes)
    moved = [a.bid_ticks != b.bid_ticks or a.ask_ticks != b.ask_ticks for (_, a), (_, b) in pairwise(quotes)]
    return {
        "one_tick_spread_share": spreads[1] / len(quotes),
        "price_change_share": float(np.mean(moved)),
        "BEST_LOTS": _quantiles([quote.bid_lots for _, quote in quotes]),
    }


def _fano(times: np.ndarray, window_s: float) -> float:
    counts = np.histogram(times, np.arange(times[0], times[-1], window_s))[0]
    return float(counts.var() / counts.mean())


def _quantiles(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.quantile(values, PROBABILITIES)) if values else ()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+", type=Path)
    recording = BinanceRecording(parser.parse_args().recordings, BTCUSDT)
    ours = SyntheticMarket(BTCUSDT, seed=1, rate=1.0)
    left = measure(recording.seed, recorded(recording))
    lasting = takewhile(lambda step: step.at_ns < 300 * 10**9, ours)
    right = measure(ours.snapshot(), ((step.at_ns, step.event) for step in lasting))
    for name, value in left.items():
        print(f"{name:22} {_text(value):>60} | {_text(right[name])}")


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
