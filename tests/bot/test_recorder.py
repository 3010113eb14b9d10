"""What the trader writes, read back from the journal."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot import recorder as recorder_module
from bot.config import load
from bot.transport.http import Response
from journal.layout import RecordType
from journal.reader import read_records
from market.events import FeedState, FeedStatus, Malformed
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, Order, OrderStatus

CONFIGURATION = """
[trader]
name = "one"
[[feed]]
venue = "binance"
environment = "production"
symbols = ["BTC-USDT"]
channels = ["trade"]
[risk]
max_order_notional = "1000.50"
"""


def test_a_configuration_says_what_ran(written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """With the versions and without a secret; decimals keep their digits."""
    monkeypatch.setenv("WIRESTAMP_BINANCE_TESTNET_SECRET", "hunter2")
    path = tmp_path / "trader.toml"
    path.write_text(CONFIGURATION)
    written.recorder.configuration(load(path), "wsabc", 5, key_log=True)
    (payload,) = written.payloads(RecordType.CONFIG)
    assert ("wsabc", "one", "1000.50") == (
        payload["prefix"], payload["config"]["trader"]["name"], payload["config"]["risk"]["max_order_notional"],
    )  # fmt: skip
    assert {"wirestamp", "python", "kernel", "path"} <= payload.keys()
    assert payload["key_log"] is True
    assert b"hunter2" not in written.raw()


@pytest.mark.parametrize("kept", [True, False])
def test_the_boot_is_named(written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool) -> None:  # noqa: ANN401
    """Where the system tells it; elsewhere it is null."""
    boot = tmp_path / "boot_id"
    if kept:
        boot.write_text("9a5c4c1e-0000-4000-8000-00000000beef\n")
    monkeypatch.setattr(recorder_module, "_BOOT_ID", boot)
    (tmp_path / "trader.toml").write_text(CONFIGURATION)
    written.recorder.configuration(load(tmp_path / "trader.toml"), "wsabc", 5)
    (payload,) = written.payloads(RecordType.CONFIG)
    assert ("9a5c4c1e-0000-4000-8000-00000000beef" if kept else None, False) == (payload["boot_id"], payload["key_log"])


def test_an_instrument_carries_its_scales(written: Any, instrument: Instrument) -> None:  # noqa: ANN401
    """As decimal strings."""
    written.recorder.instrument(instrument, 5)
    assert [
        {
            "id": 1, "name": "BTC-USDT", "venue": "binance", "symbol": "BTCUSDT", "base": "BTC", "quote": "USDT",
            "tick_size": "0.01", "lot_size": "0.00001",
        }
    ] == written.payloads(RecordType.INSTRUMENT)  # fmt: skip


def test_a_reply_is_its_purpose_and_its_body(written: Any) -> None:  # noqa: ANN401
    """One JSON line, then the bytes as they came."""
    body = b'{"lastUpdateId":7}\nand more'
    written.recorder.reply(3, 5, 2, {"purpose": "snapshot"}, Response(200, {}, body))
    (record,) = read_records(written.folder)
    head, _, rest = record.payload.partition(b"\n")
    assert ({"purpose": "snapshot", "status": 200}, body) == (json.loads(head), rest)
    assert (RecordType.REPLY, 3, 5, 2) == (record.type, record.trace, record.time_ns, record.conn)


def test_what_happens_seldom(written: Any, instrument: Instrument) -> None:  # noqa: ANN401
    """Connections, feed states and dropped messages."""
    recorder = written.recorder
    recorder.connection(1, 2, 3, {"event": "lost"})
    recorder.feed_status(2, 3, FeedStatus(instrument, FeedState.SUSPECT, "gap"))
    recorder.dropped(3, 4, Malformed("bad", "{"))
    assert [RecordType.CONNECTION, RecordType.FEED_STATUS, RecordType.DROPPED] == written.kinds()
    assert [{"event": "lost"}] == written.payloads(RecordType.CONNECTION)
    assert [{"instrument": 1, "state": "SUSPECT", "reason": "gap"}] == written.payloads(RecordType.FEED_STATUS)
    assert [{"reason": "bad", "excerpt": "{"}] == written.payloads(RecordType.DROPPED)


def test_an_execution_is_its_canonical_form(written: Any, make_order: Callable[..., Order]) -> None:  # noqa: ANN401
    """With the order's ordinal and status."""
    order = make_order()
    report = ExecutionReport(order.cl_ord_id, ExecType.NEW, OrderStatus.NEW)
    order.apply(report)
    written.recorder.execution(1, 2, order, report)
    (payload,) = written.payloads(RecordType.EXECUTION)
    assert (1, 0, None) == (payload["ordinal"], payload["status"], payload["exchange_ns"])


def test_both_clocks_are_read_together(written: Any) -> None:  # noqa: ANN401
    """The pair lies within the time that reading it took."""
    before = time.time_ns(), time.monotonic_ns()
    realtime, monotonic = written.recorder.clock()
    after = time.time_ns(), time.monotonic_ns()
    assert before[0] <= realtime <= after[0]
    assert before[1] <= monotonic <= after[1]
    assert [{"realtime_ns": realtime, "monotonic_ns": monotonic}] == written.payloads(RecordType.CLOCK)
