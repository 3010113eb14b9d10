"""A feed's shell: stamped in, synchronised by snapshot, connected again; with a venue in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from bot import feeds
from bot.engine import Engine
from bot.errors import TransportError
from bot.feeds import FeedSession
from bot.orders.manager import OrderManager
from bot.orders.risk import Risk
from bot.transport.http import Response
from journal.layout import ABSENT, MessageKind, RecordType, StampFlag
from market.events import BookSnapshot, FeedState, FeedStatus, Malformed, MarketEvent, SnapshotWanted
from market.instrument import Instrument
from venues.adapter import Endpoints


class Feed:
    """A protocol of four words: `trade`, `want`, anything else is malformed."""

    target = "/stream"
    instrument_id = 0
    exchange_ns: int | None = None

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument

    def receive(self, payload: bytes) -> Sequence[MarketEvent]:
        """Take one word."""
        known = payload in {b"trade", b"want"}
        self.instrument_id, self.exchange_ns = (1, 5_000) if known else (0, None)
        if not known:
            return [Malformed("no such word", payload.decode())]
        return [SnapshotWanted(self.instrument, "/depth")] if payload == b"want" else []

    def receive_snapshot(self, instrument: Instrument, body: bytes) -> Sequence[MarketEvent]:
        """Take a snapshot whose body is its number."""
        return [BookSnapshot(instrument, [(10, 1)], [], int(body), None)]

    def disconnected(self) -> Sequence[MarketEvent]:
        """Say so."""
        return [FeedStatus(self.instrument, FeedState.DOWN, "the connection was lost")]


class Connection:
    """What the feed listens to."""

    stamped = True

    def __init__(self, number: int) -> None:
        self.number = number

    def describe(self) -> dict[str, str | None]:
        """Return no addresses."""
        return {"tls": None}

    def listen(self, on_messages: Any, on_transmitted: Any, on_lost: Any) -> None:  # noqa: ANN401
        """Keep the callbacks."""
        self.on_messages, self.on_transmitted, self.on_lost = on_messages, on_transmitted, on_lost

    def close(self) -> None:
        """Close it."""
        self.on_lost("closed by us")


class Venue:
    """A dialer and what it leads to; `failures` are raised first."""

    def __init__(self, http_peer: Any) -> None:  # noqa: ANN401
        self.connections: asyncio.Queue[Connection] = asyncio.Queue()
        self.failures: list[Exception] = []
        self.dialled: list[str] = []
        self.rest = http_peer
        self.http = http_peer.http

    async def websocket(self, url: str) -> tuple[Any, Any]:
        """Open the stream."""
        self.dialled.append(url)
        if self.failures:
            raise self.failures.pop(0)
        connection = Connection(len(self.dialled))
        self.connections.put_nowait(connection)
        return connection, None


class Parts:
    """A feed session with everything around it."""

    def __init__(self, written: Any, instrument: Instrument, http_peer: Any) -> None:  # noqa: ANN401
        self.venue = Venue(http_peer)
        self.running: asyncio.Task[None] | None = None
        self.written = written
        self.engine = Engine([instrument], OrderManager("ws", Risk([instrument]), {}))
        dialer: Any = self.venue
        self.session = FeedSession(
            0,
            "binance",
            endpoints=Endpoints("http://127.0.0.1:1", "ws://127.0.0.1:1"),
            feed=Feed(instrument),
            engine=self.engine,
            recorder=written.recorder,
            dialer=dialer,
        )
        self.engine.on_snapshot_wanted = self.session.want_snapshot
        self.book = self.engine.markets[instrument].book
        self.synchronised = asyncio.Event()
        self.engine._handlers[BookSnapshot] = self._on_snapshot

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        self.book.reset(snapshot)
        self.synchronised.set()

    async def connection(self) -> Connection:
        """Return the next connection, when the feed listens to it; the first call lets the feed run."""
        self.running = self.running or asyncio.create_task(self.session.run())
        made = await asyncio.wait_for(self.venue.connections.get(), 10)
        await asyncio.wait_for(self.session.connected.wait(), 10)
        return made

    def events(self) -> list[str]:
        """Return what is written of the stream's connections."""
        return [each["event"] for each in self.written.payloads(RecordType.CONNECTION) if each["role"] == "feed"]


@pytest_asyncio.fixture
async def parts(
    written: Any,  # noqa: ANN401
    instrument: Instrument,
    http_peer: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Parts]:
    """A feed that waits a few milliseconds where others wait seconds."""
    monkeypatch.setattr(feeds, "_FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr(feeds, "_MAX_BACKOFF_S", 0.004)
    made = Parts(written, instrument, http_peer)
    yield made
    assert made.running is not None
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


async def test_every_message_is_recorded_and_stamped(parts: Parts) -> None:
    """In the order of consumption; only the one that owns the kernel's stamp is not flagged."""
    connection = await parts.connection()
    connection.on_messages([(b"trade", 50), (b"noise", 50), (b"trade", 50)], 333, 300, ABSENT, 2)
    rows = parts.written.rows("received")
    assert [1, 2, 3] == [row["trace"] for row in rows]
    assert [StampFlag.RX_SHARED, StampFlag.RX_SHARED, 0] == [row["flags"] for row in rows]
    assert [(1, 5_000), (0, ABSENT), (1, 5_000)] == [(row["instrument"], row["exchange"]) for row in rows]
    for row in rows:
        assert (50, 5, MessageKind.MARKET, 300, 333) == (
            row["off"], row["size"], row["kind"], row["kernel_rx"], row["read"],
        )  # fmt: skip
        assert row["read"] <= row["decoded"]
    assert (3, 1) == (parts.session.messages, parts.engine.dropped)
    assert 3 == parts.written.kinds().count(RecordType.INBOUND)


async def test_a_snapshot_is_fetched_and_is_an_input(parts: Parts) -> None:
    """With a trace id of its own, its request and its body."""
    parts.venue.rest.replies.append(Response(200, {}, b"42"))
    connection = await parts.connection()
    connection.on_messages([(b"want", 3)], 333, 300, ABSENT, 0)
    await asyncio.wait_for(parts.synchronised.wait(), 10)
    assert (["/depth"], 42, 2, 77) == (
        parts.venue.rest.asked, parts.book.sequence, parts.engine.trace, parts.engine.now_ns,
    )  # fmt: skip
    assert RecordType.REPLY in parts.written.kinds()
    (request,) = parts.written.rows("sent")
    assert (1, MessageKind.REST) == (request["trace"], request["kind"])
    reply = parts.written.rows("received")[1]
    assert (2, 1, MessageKind.REST) == (reply["trace"], reply["instrument"], reply["kind"])


async def test_a_snapshot_is_asked_for_until_it_comes(parts: Parts) -> None:
    """Over a new connection where the old one broke, and over the same one after a refusal."""
    parts.venue.rest.replies += [TransportError("reset"), Response(429, {}, b"slow down"), Response(200, {}, b"42")]
    connection = await parts.connection()
    connection.on_messages([(b"want", 3)], 333, 300, ABSENT, 0)
    await asyncio.wait_for(parts.synchronised.wait(), 10)
    assert (3, 2, 42) == (len(parts.venue.rest.asked), len(parts.venue.rest.opened), parts.book.sequence)
    assert 1 == parts.written.kinds().count(RecordType.REPLY)
    rest = [row["trace"] for row in parts.written.rows("received") if row["kind"] == MessageKind.REST]
    assert [0, 2] == rest, "a refusal was received as well, and was no input"


async def test_a_lost_feed_forgets_its_books_and_connects_again(parts: Parts) -> None:
    """The loss is an input, because books are started anew by it."""
    told: list[FeedStatus] = []
    parts.engine.on_status = told.append
    first = await parts.connection()
    parts.session.connected.clear()
    first.on_lost("the peer closed the connection")
    second = await parts.connection()
    assert second is not first
    assert (["open", "lost", "open"], 1) == (parts.events(), parts.engine.trace)
    assert [FeedState.DOWN] == [status.state for status in told]
    second.on_messages([(b"trade", 3)], 333, 300, ABSENT, 0)
    assert [(2, 2)] == [(row["trace"], row["conn"]) for row in parts.written.rows("received")]


async def test_a_venue_that_cannot_be_reached_is_tried_again(parts: Parts) -> None:
    """Until it can."""
    parts.venue.failures += [TransportError("refused")] * 4
    await parts.connection()
    assert ["ws://127.0.0.1:1/stream"] * 5 == parts.venue.dialled
    assert ["open"] == parts.events()


async def test_a_feed_that_is_closed_stays_closed(parts: Parts) -> None:
    """It is no input: the engine has stopped listening."""
    await parts.connection()
    await parts.session.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert (["open", "closed"], 0, 1) == (parts.events(), parts.engine.trace, len(parts.venue.dialled))
    assert not parts.session.connected.is_set()


async def test_transmit_stamps_of_pongs_are_rows_too(parts: Parts) -> None:
    """Of this connection."""
    connection = await parts.connection()
    connection.on_transmitted(99, 1, 12345)
    (row,) = parts.written.rows("transmitted")
    assert (99, connection.number, 1, 12345) == (row["off"], row["conn"], row["event"], row["time"])
