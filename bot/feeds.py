"""The shell around one market data feed: connected, synchronised, reconnected with backoff; each message stamped."""

import asyncio
import random
from collections.abc import Sequence
from time import time_ns

import structlog

from bot.engine import Engine
from bot.errors import TransportError
from bot.recorder import Recorder
from bot.rest import RestSession
from bot.transport.connection import Connection, OnMessages
from bot.transport.dial import Dialer
from journal.layout import ABSENT, MessageKind, RecordType, StampFlag
from market.events import SnapshotWanted
from market.instrument import Instrument
from venues.adapter import Endpoints, Feed

log = structlog.get_logger("trader")

_FIRST_BACKOFF_S = 0.25
_MAX_BACKOFF_S = 30.0


class FeedSession:
    """Keeps one feed connected.

    Args:
        index: the feed's place in the configuration.
        venue: the adapter's name.
        endpoints: where it lives.
        feed: the venue's protocol.
        engine: who consumes the events.
        recorder: where it is written down.
        dialer: makes the connections.

    Attributes:
        messages: how many were received.
        connected: set while the stream's connection is open.
    """

    def __init__(
        self,
        index: int,
        venue: str,
        *,
        endpoints: Endpoints,
        feed: Feed,
        engine: Engine,
        recorder: Recorder,
        dialer: Dialer,
    ) -> None:
        self.messages = 0
        self.connected = asyncio.Event()
        self._venue = venue
        self._index = index
        self._endpoints = endpoints
        self._feed = feed
        self._engine = engine
        self._recorder = recorder
        self._dialer = dialer
        self._closing = False
        self._connection: Connection | None = None
        self._rest = RestSession(index, endpoints.rest, recorder, dialer)
        self._rest_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._snapshot_due: dict[Instrument, tuple[float, float]] = {}  # when the next is due, and its delay, in s

    async def run(self) -> None:
        """Connect, wait for the loss, and again, with a delay that doubles up to 30 s and is drawn from its half up."""
        now = asyncio.get_running_loop().time
        backoff = _FIRST_BACKOFF_S
        while True:
            began = now()
            try:
                lost = await self._open()
                reason = await lost
                self._record_loss(reason)
                if self._closing:
                    return
            except TransportError as error:
                reason = str(error)
            if now() - began > _MAX_BACKOFF_S:  # it had lived: this is a new misfortune
                backoff = _FIRST_BACKOFF_S
            delay = backoff * (0.5 + random.random() / 2)  # noqa: S311 - jitter is no secret
            log.warning("feed lost", venue=self._venue, reason=reason, retry_s=round(delay, 2))
            await asyncio.sleep(delay)
            backoff = min(backoff * 2, _MAX_BACKOFF_S)

    async def _open(self) -> asyncio.Future[str]:
        url = self._endpoints.stream + self._feed.target
        connection, _ = await self._dialer.websocket(url)
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        described = {"event": "open", "role": "feed", "index": self._index, "url": url, "stamped": connection.stamped}
        self._recorder.connection(0, time_ns(), connection.number, described | connection.describe())
        number, transmitted = connection.number, self._recorder.transmitted
        self._connection = connection
        self.connected.set()
        connection.listen(
            self._reader(connection),
            lambda off, event, stamp_ns: transmitted(off, number, event, stamp_ns),
            lost.set_result,  # a connection is lost once
        )
        return lost

    def _record_loss(self, reason: str) -> None:
        """Record the end of the connection; unless we wanted it, it is an input: the feed forgets its books."""
        self.connected.clear()
        assert self._connection is not None
        engine, now_ns = self._engine, time_ns()
        trace = 0 if self._closing else engine.trace + 1
        event = "closed" if self._closing else "lost"
        payload = {"event": event, "role": "feed", "index": self._index, "reason": reason}
        self._recorder.connection(trace, now_ns, self._connection.number, payload)
        if trace:
            engine.consume(self._feed.disconnected(), trace, now_ns)

    def _reader(self, connection: Connection) -> OnMessages:
        """Return the hot path of this feed: one function with everything that it touches bound beforehand."""
        engine, feed, number = self._engine, self._feed, connection.number
        receive, consume = feed.receive, engine.consume
        record, received = self._recorder.record, self._recorder.received
        inbound, market, shared = int(RecordType.INBOUND), int(MessageKind.MARKET), int(StampFlag.RX_SHARED)

        def on_messages(
            messages: Sequence[tuple[bytes, int]], read_ns: int, kernel_rx_ns: int, nic_rx_ns: int, owner: int
        ) -> None:
            self.messages += len(messages)
            for index, (payload, off) in enumerate(messages):
                trace = engine.trace + 1
                record(inbound, trace, read_ns, number, payload)
                events = receive(payload)
                decoded_ns = time_ns()
                exchange_ns, instrument = feed.exchange_ns, feed.instrument_id
                consume(events, trace, read_ns)
                received(
                    trace, off, 0, number, instrument, len(payload), market, 0 if index == owner else shared,
                    ABSENT if exchange_ns is None else exchange_ns, nic_rx_ns, kernel_rx_ns, read_ns, decoded_ns,
                )  # fmt: skip

        return on_messages

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def want_snapshot(self, wanted: SnapshotWanted) -> None:
        """Fetch what the feed asked for, in a task of its own; not at once when the last fetch was not long ago."""
        task = asyncio.create_task(self._fetch_snapshot(wanted, self._engine.trace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch_snapshot(self, wanted: SnapshotWanted, cause: int) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, backoff = self._snapshot_due.get(wanted.instrument, (0.0, 0.0))
            backoff = min(max(2 * backoff, _FIRST_BACKOFF_S), _MAX_BACKOFF_S) if now() < due + backoff else 0.0
            self._snapshot_due[wanted.instrument] = (now() + backoff + _FIRST_BACKOFF_S, backoff)
            await asyncio.sleep(backoff)
            try:
                async with self._rest_lock:
                    await self._fetch_once(wanted, cause)
            except TransportError as error:
                log.warning("no snapshot", instrument=wanted.instrument.name, reason=str(error))
            else:
                return

    async def _fetch_once(self, wanted: SnapshotWanted, cause: int) -> None:
        rest = self._rest
        reply = await rest.get(wanted.target, cause)
        if reply.status != 200:
            rest.stamp()
            raise TransportError(f"HTTP {reply.status} {reply.body[:100].decode(errors='replace')}")
        engine = self._engine
        engine.trace = trace = engine.trace + 1
        purpose = {
            "purpose": "snapshot",
            "feed": self._index,
            "instrument": wanted.instrument.id,
            "target": wanted.target,
        }
        self._recorder.reply(trace, rest.read_ns, rest.number, purpose, reply)
        events = self._feed.receive_snapshot(wanted.instrument, reply.body)
        rest.stamp(trace, wanted.instrument.id)
        engine.consume(events, trace, rest.read_ns)

    async def close(self) -> None:
        """Close the connections for good and end the tasks."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
        self._rest.close()
