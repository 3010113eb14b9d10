"""An instrument, an order, a route that keeps what it is given, and a journal."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.recorder import Recorder
from bot.transport.http import Response
from journal.layout import ABSENT, RecordType
from journal.reader import read_records, read_rows
from journal.writer import Journal
from market.events import Side
from market.instrument import Instrument, OrderLimits
from market.orders import Order, OrderType, TimeInForce
from market.scale import Scale


@pytest.fixture
def make_instrument() -> Callable[..., Instrument]:
    """Make instruments with ticks of 0.01 and lots of 0.00001."""

    def make(name: str = "BTC-USDT", number: int = 1, limits: OrderLimits | None = None) -> Instrument:
        base, quote = name.split("-")
        scales = Scale(Decimal("0.01")), Scale(Decimal("0.00001"))
        return Instrument(number, name, "binance", base + quote, base, quote, *scales, limits or OrderLimits())

    return make


@pytest.fixture
def instrument(make_instrument: Callable[..., Instrument]) -> Instrument:
    """BTC-USDT without limits."""
    return make_instrument()


@pytest.fixture
def make_order(instrument: Instrument) -> Callable[..., Order]:
    """Make orders to buy 100 lots at 60,000.00."""

    def make(ordinal: int = 1, qty_lots: int = 100, price_ticks: int = 6_000_000) -> Order:
        kind = OrderType.LIMIT if price_ticks else OrderType.MARKET
        return Order(
            ordinal, f"ws-{ordinal}", 7, "mine", instrument, Side.BUY, kind, qty_lots, price_ticks, TimeInForce.GTC
        )

    return make


class Route:
    """Keeps what it is given, as a gateway would send it."""

    def __init__(self) -> None:
        self.placed: list[Order] = []
        self.cancelled: list[tuple[Order, int]] = []

    def place(self, order: Order) -> None:
        """Keep a new order."""
        self.placed.append(order)

    def cancel(self, order: Order, cause: int) -> None:
        """Keep a cancel."""
        self.cancelled.append((order, cause))


@pytest.fixture
def route() -> Route:
    """A route."""
    return Route()


class Written:
    """A recorder with its journal, and what stands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder, record_segment_bytes=1 << 16, row_segment_bytes=1 << 16)
        self.recorder = Recorder(self.journal)

    def kinds(self) -> list[RecordType]:
        """Return the types of all records, in order."""
        return [record.type for record in read_records(self.folder)]

    def payloads(self, kind: RecordType) -> list[Any]:
        """Return the payloads of one type, decoded."""
        return [json.loads(record.payload) for record in read_records(self.folder) if record.type is kind]

    def raw(self) -> bytes:
        """Return every payload."""
        return b"\n".join(record.payload for record in read_records(self.folder))

    def rows(self, log: str) -> list[dict[str, int]]:
        """Return the rows of a log as dicts."""
        found = read_rows(self.folder, log)
        return [{name: int(row[name]) for name in rows.dtype.names or ()} for rows in found for row in rows]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    """An empty journal."""
    folder = tmp_path / "run"
    folder.mkdir()
    made = Written(folder)
    yield made
    made.journal.close()


class HttpPeer:
    """A venue's REST endpoint in memory: a dialer of connections that give `replies` in turn; an error ends one."""

    def __init__(self) -> None:
        self.replies: list[Response | Exception] = []
        self.asked: list[str] = []
        self.opened: list[HttpExchange] = []

    async def http(self, _: str) -> "HttpExchange":
        """Open a connection; they are numbered from 9."""
        self.opened.append(HttpExchange(self, 9 + len(self.opened)))
        return self.opened[-1]


class HttpExchange:
    """What `HttpConnection` shows to its user, and `connection` as well."""

    usable = True
    stamped = True
    owns_stamp = True
    written_ns, sent_ns = 50, 60
    kernel_rx_ns, nic_rx_ns, read_ns, off = 70, ABSENT, 77, 499

    def __init__(self, peer: HttpPeer, number: int) -> None:
        self._peer = peer
        self.number = number
        self.connection = self

    def describe(self) -> dict[str, str | None]:
        """Return no addresses."""
        return {"tls": None}

    def listen(self, on_transmitted: Callable[[int, int, int], None], on_lost: Callable[[str], None]) -> None:
        """Keep the callbacks."""
        self.on_transmitted, self.on_lost = on_transmitted, on_lost

    def send(self, method: str, target: str) -> int:
        """Take a request."""
        assert method == "GET"
        self._peer.asked.append(target)
        return 199

    async def reply(self) -> Response:
        """Return the next reply."""
        reply = self._peer.replies.pop(0)
        if isinstance(reply, Exception):
            self.usable = False
            self.on_lost(str(reply))
            raise reply
        return reply

    def close(self) -> None:
        """Close it."""
        if self.usable:
            self.usable = False
            self.on_lost("closed by us")


@pytest.fixture
def http_peer() -> HttpPeer:
    """A REST endpoint."""
    return HttpPeer()
