"""What a replay finds in journals that are made by hand: small ones, with one thing wrong in each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.orders.records import Intent, encode
from bot.replay import ReplayError, replay
from journal.layout import RecordType
from journal.writer import Journal

STRATEGY = """\
from decimal import Decimal
from bot.strategy import Context, Strategy, Trade

class BuyAll(Strategy):
    def on_trade(self, trade: Trade, ctx: Context) -> None:
        ctx.buy(trade.instrument, Decimal("0.001"))
"""
CONFIG = {
    "trader": {"name": "t"},
    "local": {"url": "http://127.0.0.1:1"},
    "feed": [{"venue": "binance", "environment": "local", "symbols": ["BTC-USDT"], "channels": ["trade"]}],
    "route": [{"name": "main", "venue": "binance", "environment": "local"}],
    "strategy": [{"use": "buy_all.py:BuyAll", "route": "main"}],
}
EXCHANGE_INFO = {
    "symbols": [
        {
            "symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "baseAssetPrecision": 8,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            ],
        }
    ]
}  # fmt: skip
TRADE = b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"t":5,"p":"60000.00","q":"0.1","m":true}}'
ORDER = Intent("place", 1, 3, "BuyAll", 1, 1, 1, 100_000, 0, 1, "ws1-1")

Write = Callable[[RecordType, int, int, bytes], None]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty run's folder, with its strategy beside the configuration."""
    (tmp_path / "buy_all.py").write_text(STRATEGY)
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def write(run: Path, *records: tuple[RecordType, int, int, Any], start: bool = True) -> None:
    """Write a journal: the usual beginning, then these (type, trace, connection, payload)."""
    journal = Journal(run, record_segment_bytes=1 << 16, row_segment_bytes=1 << 16)
    about = {"config": CONFIG, "path": str(run.parent / "t.toml"), "prefix": "ws1"}
    purpose = {"purpose": "instrument", "feed": 0, "name": "BTC-USDT", "number": 1, "status": 200}
    reply = json.dumps(purpose).encode() + b"\n" + json.dumps(EXCHANGE_INFO).encode()
    beginning: list[tuple[RecordType, int, int, Any]] = [
        (RecordType.CONFIG, 0, 0, about),
        (RecordType.CONNECTION, 0, 1, {"event": "open", "role": "rest", "index": 0}),
        (RecordType.REPLY, 0, 1, reply),
        (RecordType.CONNECTION, 0, 1, {"event": "closed", "role": "rest", "index": 0, "reason": "closed by us"}),
        (RecordType.CONNECTION, 0, 2, {"event": "open", "role": "route", "name": "main"}),
        (RecordType.CONNECTION, 1, 2, {"event": "ready", "role": "route", "name": "main"}),
        (RecordType.COMMAND, 2, 0, {"command": "start", "reason": ""}),
        (RecordType.CONNECTION, 0, 3, {"event": "open", "role": "feed", "index": 0}),
    ]
    for kind, trace, conn, payload in (beginning if start else []) + list(records):
        journal.records.append(
            kind, trace, 1, conn, payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        )
    journal.close()


def test_the_same_intents(run: Path) -> None:
    """A trade and the order that it caused."""
    write(run, (RecordType.INBOUND, 3, 3, TRADE), (RecordType.ORDER, 3, 2, encode(ORDER)), (RecordType.END, 0, 0, {}))
    outcome = replay(run)
    assert (3, 1, [], 0, True) == (
        outcome.inputs, outcome.intents, outcome.differences, outcome.unsent, outcome.complete,
    )  # fmt: skip


def test_an_intent_that_was_not_sent(run: Path) -> None:
    """The run ended in order without it: a difference."""
    write(run, (RecordType.INBOUND, 3, 3, TRADE), (RecordType.END, 0, 0, {}))
    (difference,) = replay(run).differences
    assert (3, None, ORDER) == (difference.trace, difference.recorded, difference.reached)


def test_an_intent_that_a_kill_kept_from_being_written(run: Path) -> None:
    """The run was killed between deciding and writing down: the order never left, and that is no difference."""
    write(run, (RecordType.INBOUND, 3, 3, TRADE))
    outcome = replay(run)
    assert ([], 1, False) == (outcome.differences, outcome.unsent, outcome.complete)


def test_an_order_that_nothing_caused(run: Path) -> None:
    """The journal holds an order that the replay does not reach."""
    write(run, (RecordType.ORDER, 2, 2, encode(ORDER)), (RecordType.END, 0, 0, {}))
    (difference,) = replay(run).differences
    assert (2, ORDER, None) == (difference.trace, difference.recorded, difference.reached)


def test_a_lost_route_lets_nothing_through(run: Path) -> None:
    """The loss is an input of its own; what comes after it is refused here as in the run."""
    lost = (RecordType.CONNECTION, 3, 2, {"event": "lost", "role": "route", "name": "main", "reason": "gone"})
    write(run, lost, (RecordType.INBOUND, 4, 3, TRADE), (RecordType.END, 0, 0, {}))
    outcome = replay(run)
    assert (4, 0, []) == (outcome.inputs, outcome.intents, outcome.differences)


def test_a_missing_input(run: Path) -> None:
    """Trace ids have no holes."""
    write(run, (RecordType.INBOUND, 4, 3, TRADE))
    with pytest.raises(ReplayError, match="expected trace 3, was 4"):
        replay(run)


def test_a_run_that_never_began(run: Path) -> None:
    """Its end says why, and there is nothing to reach."""
    write(run, (RecordType.END, 0, 0, {"reason": "could not start"}), start=False)
    assert (0, 0) == (replay(run).inputs, replay(run).intents)


def test_a_run_whose_beginning_is_gone(run: Path) -> None:
    """Retention has deleted its first segment."""
    write(run, *[(RecordType.INBOUND, 3 + number, 3, TRADE) for number in range(600)])
    (run / "records-000000.wsj").unlink()
    with pytest.raises(ReplayError, match="retention has deleted the beginning"):
        replay(run)


def test_a_strategy_that_is_no_longer_there(run: Path) -> None:
    """Its name and what is wrong with it."""
    write(run, (RecordType.INBOUND, 3, 3, TRADE))
    (run.parent / "buy_all.py").unlink()
    with pytest.raises(ReplayError, match=r"buy_all\.py"):
        replay(run)
