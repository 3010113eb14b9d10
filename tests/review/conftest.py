"""Rows made by hand, and runs written record by record with the journal's own writer."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from journal.layout import ABSENT, ROW_LOGS, MessageKind, RecordType, TxEvent
from journal.reader import Rows
from journal.wire import WIRE_LOGS, PacketFlag, TcpFlag
from journal.writer import Journal

START_NS = 1_700_000_000_000_000_000
ROUTE, FEED = 2, 3  # connections
ISN = (1 << 32) + 1000
ROUTE_END, FEED_END, VENUE = "10.0.0.1:4002", "10.0.0.1:4003", "10.0.0.2:443"
_EXCHANGE_INFO: dict[str, object] = {
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "baseAsset": "BTC",
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            ],
        }
    ]
}
TRADE = b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723075200000,"t":7,"p":"61824.00","q":"0.5","m":true}}'
QUOTE = b'{"stream":"btcusdt@bookTicker","data":{"u":1,"b":"1.00","B":"1","a":"2.00","A":"1"}}'


def make_rows(log: str, **columns: object) -> Rows:
    """Return rows of a log with these columns; hops that are not named are absent, other fields 0."""
    shape = np.broadcast_shapes(*(np.shape(np.asarray(column)) for column in columns.values()))
    rows: Rows = np.zeros(shape, ROW_LOGS[log])
    for name in rows.dtype.names or ():
        rows[name] = columns.get(name, ABSENT if rows.dtype[name] == np.int64 else 0)
    return rows


class RunWriter:
    """A run, written by hand. Messages and orders take 10 ns from hop to hop, unless hops are given."""

    def __init__(self, run: Path) -> None:
        run.mkdir(parents=True)
        self.run = run
        self.journal = Journal(run, record_segment_bytes=1 << 16, row_segment_bytes=1 << 16)
        self.trace = 0
        self.orders = 0

    def record(self, kind: RecordType, payload: object, conn: int = 0, trace: int = 0, at_ns: int = 0) -> None:
        """Append a record `at_ns` after the start."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.journal.records.append(kind, trace, START_NS + at_ns, conn, body)

    def begin(self, boot_id: str | None = None) -> Self:
        """Append what every run begins with."""
        config = {
            "trader": {"name": "t", "loop": "uvloop"},
            "feed": [{"venue": "binance", "symbols": ["BTC-USDT"], "channels": ["trade", "quote"]}],
            "strategy": [{"use": "strategies.volume_modulo:VolumeModulo", "name": None}],
        }
        self.record(RecordType.CONFIG, {"config": config, "boot_id": boot_id})
        asked = {"purpose": "instrument", "feed": 0, "name": "BTC-USDT", "number": 1, "status": 200}
        self.record(RecordType.REPLY, json.dumps(asked).encode() + b"\n" + json.dumps(_EXCHANGE_INFO).encode())
        route, feed = ({"event": "open", "local": local, "remote": VENUE} for local in (ROUTE_END, FEED_END))
        self.record(RecordType.CONNECTION, route | {"role": "route", "name": "main"}, ROUTE)
        self.record(RecordType.CONNECTION, feed | {"role": "feed", "index": 0}, FEED)
        return self

    def message(self, payload: bytes = TRADE, flags: int = 0, **hops: int) -> int:
        """Append a market-data message, 1 µs after the one before; return its trace id."""
        self.trace += 1
        base = START_NS + self.trace * 1000
        stamps = {"exchange": base - 10, "nic_rx": ABSENT, "kernel_rx": base, "read": base + 10, "decoded": base + 20}
        self.record(RecordType.INBOUND, payload, FEED, self.trace, self.trace * 1000)
        self.journal.rows["received"].append(
            self.trace, self.trace * 100, 0, FEED, 1, len(payload), MessageKind.MARKET, flags, *(stamps | hops).values()
        )  # fmt: skip
        return self.trace

    def order(self, cause: int, **hops: int) -> int:
        """Append an order with all its stamps, and return its ordinal."""
        self.orders += 1
        base = START_NS + cause * 1000 + 20
        stamps = {"decided": base + 10, "encoded": base + 20, "written": base + 30, "sent": base + 40} | hops
        self.record(RecordType.ORDER, {"action": "place", "ordinal": self.orders}, ROUTE, cause)
        off = self.orders * 100
        sent = [stamps[name] for name in ("decided", "encoded", "written", "sent")]
        self.journal.rows["sent"].append(cause, off, self.orders, ROUTE, 1, 100, MessageKind.ORDER, 0, *sent)
        for event, delay in ((TxEvent.SCHED, 35), (TxEvent.DRIVER, 45), (TxEvent.ACK, 55)):
            self.journal.rows["transmitted"].append(off, ROUTE, event, base + delay)
        return self.orders

    def reply(self, order: int, **hops: int) -> int:
        """Append a message about an order, 1 µs after the message before; return its trace id."""
        self.trace += 1
        base = START_NS + self.trace * 1000
        stamps = {"exchange": ABSENT, "nic_rx": ABSENT, "kernel_rx": base, "read": base + 10, "decoded": base + 20}
        self.record(RecordType.INBOUND, b"{}", ROUTE, self.trace)
        self.journal.rows["received"].append(
            self.trace, self.trace * 100, order, ROUTE, 1, 2, MessageKind.ORDER, 0, *(stamps | hops).values()
        )  # fmt: skip
        return self.trace

    def execution(self, order: int, exec_type: int, reason: str = "") -> None:
        """Append an execution report."""
        self.record(RecordType.EXECUTION, {"ordinal": order, "exec_type": exec_type, "reason": reason})

    def end(self) -> Path:
        """End the run in order; return its folder."""
        self.record(RecordType.END, {"reason": "asked to stop", "messages": 999}, at_ns=2_000_000_000)
        self.journal.close()
        return self.run

    def kill(self) -> Path:
        """Return a folder as the writer's death at this moment leaves it."""
        for log in self.journal._logs:
            log._next.result()  # a segment that is just being prepared would change its name under the copy
        killed = self.run.with_name("killed")
        shutil.copytree(self.run, killed)
        return killed


class MonitorWriter:
    """A capture of the packets of a `RunWriter`, by a clock that is `ahead_ns` of the trader's.

    Each message and order, of 100 bytes, has a packet of its own: a message's passes 5 ns before its `kernel_rx`, an
    order's 5 ns behind its `written`.
    """

    def __init__(self, run: Path, boot_id: str | None = "monitor", ahead_ns: int = 0, source: str = "lo") -> None:
        run.mkdir(parents=True)
        self.run = run
        self.journal = Journal(run, WIRE_LOGS, record_segment_bytes=1 << 16, row_segment_bytes=1 << 16)
        self.packets = self._probes = 0
        self._ahead_ns = ahead_ns
        capture = {"source": source, "vxlan_ports": [4789], "geneve_ports": [], "ports": [443]}
        self.record(RecordType.CONFIG, {"capture": capture, "boot_id": boot_id})

    def record(self, kind: RecordType, payload: dict[str, object], conn: int = 0) -> None:
        """Append a record."""
        self.journal.records.append(kind, 0, START_NS, conn, json.dumps(payload).encode())

    def connection(self, number: int, end: str) -> Self:
        """Append a connection of the trader's and its SYNs."""
        self.record(RecordType.CONNECTION, {"event": "open", "a": end, "b": VENUE, "tunnel": 0}, number)
        for side in (0, 1):
            self._packet(-1, ISN, 2 * number + side, 0, TcpFlag.SYN, 0)
        return self

    def feed(self, messages: int, number: int = 1) -> Self:
        """Append the packets of the first messages."""
        self.connection(number, FEED_END)
        for trace in range(1, messages + 1):
            self._carry(trace * 1000 - 5, trace, 2 * number + 1)
        return self

    def route(self, orders: int, number: int = 2) -> Self:
        """Append the packets of the first orders, each caused by the message of its own number."""
        self.connection(number, ROUTE_END)
        for order in range(1, orders + 1):
            self._carry(order * 1000 + 55, order, 2 * number)
        return self

    def _carry(self, at_ns: int, ordinal: int, stream: int) -> None:
        first = ordinal * 100 - 99 if ordinal > 1 else 0
        size = ordinal * 100 + 1 - first
        self._packet(at_ns, ISN + 1 + first, stream, size, TcpFlag.ACK, PacketFlag.FIRST)

    def _packet(self, at_ns: int, position: int, stream: int, size: int, tcp: int, flags: int) -> None:
        self.packets += 1
        time_ns = START_NS + at_ns + self._ahead_ns
        self.journal.rows["packets"].append(time_ns, position, stream, size, size + 54, tcp, flags)

    def probe(self, at_ns: int, out_ns: int | None = 100, back_ns: int | None = 100) -> None:
        """Append a probe sent `at_ns` after the start that took so long; None for a stamp of the trader's not had."""
        trader = START_NS + at_ns + (out_ns or 0)
        t1, t4 = START_NS + at_ns + self._ahead_ns, trader + (back_ns or 0) + self._ahead_ns
        t2, t3 = (ABSENT if taken is None else trader for taken in (out_ns, back_ns))
        self._probes += 1
        self.journal.rows["probes"].append(self._probes, t1, t2, t3, t4)

    def end(self, reason: str | None = "asked to stop", **counts: object) -> Path:
        """End the capture, in order with a reason; return its folder."""
        self.record(RecordType.COUNTS, {"packets": self.packets, "source": {"drops": 0}} | counts)
        if reason is not None:
            self.record(RecordType.END, {"reason": reason})
        self.journal.close()
        return self.run


@pytest.fixture
def monitor_at(tmp_path: Path) -> Callable[..., MonitorWriter]:
    """Make a capture: `monitor_at("one", boot_id=…, ahead_ns=…)`."""
    return lambda name="monitor", **options: MonitorWriter(tmp_path / "captures" / name, **options)


@pytest.fixture(scope="session")
def rows() -> Callable[..., Rows]:
    """Make rows: `rows("received", read=[1, 2])`."""
    return make_rows


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    """A run that has not begun."""
    writer = RunWriter(tmp_path / "runs" / "20231114T221320.000Z")
    yield writer
    if not writer.journal._pool._shutdown:
        writer.journal.close()


@pytest.fixture
def trade() -> bytes:
    """A trade as Binance sends it."""
    return TRADE


@pytest.fixture
def quote() -> bytes:
    """A quote as Binance sends it."""
    return QUOTE


@pytest.fixture
def ended_run(writer: RunWriter) -> Path:
    """A run of 3 trades, 1 quote and 2 orders, of which one was filled twice and one was rejected."""
    writer.begin()
    writer.record(RecordType.CLOCK, {"realtime_ns": START_NS, "monotonic_ns": 0})
    first, second = writer.message(), writer.message()
    writer.message(QUOTE)
    for cause in (first, second):
        writer.reply(writer.order(cause))
    writer.message()
    writer.execution(1, 15)
    writer.execution(1, 15)
    writer.execution(2, 8, "Filter failure: LOT_SIZE (-1013)")
    writer.record(RecordType.FEED_STATUS, {"state": "SUSPECT", "reason": "gap: expected update 5, was 7"})
    writer.record(RecordType.FEED_STATUS, {"state": "LIVE", "reason": "synchronised"})
    writer.record(RecordType.DROPPED, {"reason": "JSON is malformed", "excerpt": "{"})
    writer.record(RecordType.STRATEGY, {"event": "refused", "strategy": "s", "instrument": 1, "reason": "halted"})
    writer.record(RecordType.STRATEGY, {"event": "raised", "strategy": "s", "error": "KeyError: 1"})
    return writer.end()


@pytest.fixture
def exchange_info() -> dict[str, object]:
    """What Binance says of BTCUSDT, in short."""
    return copy.deepcopy(_EXCHANGE_INFO)
