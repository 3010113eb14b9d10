"""The shell around one order connection: requests out, reports in, every hop stamped, nothing live.

An order is in the journal before its bytes leave. The endpoint is checked against the table of test venues when the
gateway is made, when it connects, and on the peer's address; a TLS peer must prove the listed name.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from time import time_ns
from urllib.parse import urlsplit

import structlog

from bot.engine import Engine
from bot.errors import PaperOnly, StartError, TransportError
from bot.orders.records import encode, intent_of
from bot.recorder import Recorder
from bot.transport.connection import Connection
from bot.transport.dial import ORDER_BUFFER_BYTES, Dialer
from bot.transport.websocket import WebSocketClient
from journal.layout import ABSENT, MessageKind, RecordType, StampFlag
from market.orders import ExecutionReport, Order
from venues.adapter import OrderEntry, OrderEvent, SessionEvent
from venues.endpoints import is_local_address, refusal

log = structlog.get_logger("trader")

# plain integers, bound once, as in venues/binance.py
_RECORD_ORDER, _RECORD_OUTBOUND, _RECORD_INBOUND = (
    int(each) for each in (RecordType.ORDER, RecordType.OUTBOUND, RecordType.INBOUND)
)
_KIND_ORDER, _FLAG_RX_SHARED = int(MessageKind.ORDER), int(StampFlag.RX_SHARED)


class Gateway:
    """One route's connection (see `bot.orders.manager.Route`).

    Args:
        name: the route's name.
        venue: the adapter's name.
        url: the order endpoint.
        entry: the venue's order protocol.
        engine: who consumes the reports.
        recorder: where it is written down.
        dialer: makes the connection.

    Attributes:
        lost: set when the connection was lost, with the reason in `reason`.
        closing: whether it is closed for good.

    Raises:
        PaperOnly: the endpoint is not a test venue's.
    """

    def __init__(
        self, name: str, *, venue: str, url: str, entry: OrderEntry, engine: Engine, recorder: Recorder, dialer: Dialer
    ) -> None:
        if (reason := refusal(venue, url)) is not None:
            raise PaperOnly(f"route {name}: {reason}")
        self.name = name
        self.lost = asyncio.Event()
        self.reason = ""
        self.closing = False
        self._venue = venue
        self._url = url
        self._entry = entry
        self._engine = engine
        self._recorder = recorder
        self._dialer = dialer
        self._session: asyncio.Future[str] | None = None
        self._number = 0

    async def connect(self) -> None:
        """Connect, log on, subscribe to execution reports; then the engine lets orders through.

        Raises:
            TransportError: no connection.
            StartError: the venue refused the session; the message carries its words.
            PaperOnly: the peer is not where the table says.
        """
        if (reason := refusal(self._venue, self._url)) is not None:
            raise PaperOnly(f"route {self.name}: {reason}")
        plain = urlsplit(self._url).scheme == "ws"  # then no certificate says where a proxy would lead
        connection, protocol = await self._dialer.websocket(self._url, ORDER_BUFFER_BYTES, direct=plain)
        if plain:
            self._check_peer(connection)
        self._adopt(connection, protocol)
        self._session = asyncio.get_running_loop().create_future()
        for request in self._entry.session_requests(time_ns() // 1_000_000):
            self._send_session(request)
        try:
            error = await asyncio.wait_for(self._session, self._dialer.timeout_s)
        except TimeoutError as timeout:
            connection.close()
            raise TransportError(f"{connection.peer}: no answer to the log-on") from timeout
        if error:
            connection.close()
            raise StartError(f"route {self.name}: {self._venue} refuses the session: {error}")
        if connection.lost is not None:
            raise TransportError(f"{connection.peer}: {connection.lost}")
        self.lost.clear()
        trace, now_ns = self._input({"event": "ready", "role": "route", "name": self.name})
        self._engine.route_ready(self.name, trace, now_ns)

    def _check_peer(self, connection: Connection) -> None:
        """Plain text goes to local addresses only, whatever the name resolved to."""
        address = connection.addresses()["remote"].rpartition(":")[0]
        if not is_local_address(address):
            connection.close()
            raise PaperOnly(f"route {self.name}: {self._url} led to {address}, which is not local")

    def _adopt(self, connection: Connection, protocol: WebSocketClient) -> None:
        self._connection = connection
        self._number = connection.number
        self._send = connection.send
        self._frame = protocol.frame
        described = {
            "event": "open",
            "role": "route",
            "name": self.name,
            "url": self._url,
            "stamped": connection.stamped,
        }
        self._recorder.connection(0, time_ns(), connection.number, described | connection.describe())
        number, transmitted = connection.number, self._recorder.transmitted
        connection.listen(
            self._on_messages,
            lambda off, event, stamp_ns: transmitted(off, number, event, stamp_ns),
            partial(self._on_lost, connection),
        )

    def _input(self, payload: dict[str, object]) -> tuple[int, int]:
        """Record a change of this route as an input of the engine: it decides what intents may pass."""
        trace, now_ns = self._engine.trace + 1, time_ns()
        self._recorder.connection(trace, now_ns, self._number, payload)
        return trace, now_ns

    # -- requests -----------------------------------------------------------------------------------------------------

    def place(self, order: Order) -> None:
        """Send a new order; afterwards it is on its way, or unknown if the connection broke."""
        decided_ns = time_ns()
        request = self._entry.place(order, decided_ns // 1_000_000)
        encoded_ns = time_ns()
        cause = order.cause
        self._recorder.record(
            _RECORD_ORDER, cause, encoded_ns, self._number, encode(intent_of(order, "place", cause))
        )  # fmt: skip
        self._transmit(order, cause, request, decided_ns, encoded_ns)

    def cancel(self, order: Order, cause: int) -> None:
        """Ask for an order to be cancelled."""
        decided_ns = time_ns()
        request = self._entry.cancel(order, decided_ns // 1_000_000)
        encoded_ns = time_ns()
        self._recorder.record(
            _RECORD_ORDER, cause, encoded_ns, self._number, encode(intent_of(order, "cancel", cause))
        )  # fmt: skip
        self._transmit(order, cause, request, decided_ns, encoded_ns)

    def _transmit(self, order: Order, cause: int, request: bytes, decided_ns: int, encoded_ns: int) -> None:
        try:
            off = self._send(self._frame(request))
        except TransportError:  # the loss is an input of its own, which makes the order unknown
            return
        connection, recorder = self._connection, self._recorder
        recorder.sent(
            cause, off, order.ordinal, self._number, order.instrument.id, len(request), _KIND_ORDER, 0,
            decided_ns, encoded_ns, connection.written_ns, connection.sent_ns,
        )  # fmt: skip
        recorder.record(_RECORD_OUTBOUND, cause, encoded_ns, self._number, self._entry.mask(request))

    def _send_session(self, request: bytes) -> None:
        off = self._send(self._frame(request))
        connection, recorder = self._connection, self._recorder
        recorder.sent(
            0, off, 0, self._number, 0, len(request), MessageKind.SESSION, 0,
            ABSENT, ABSENT, connection.written_ns, connection.sent_ns,
        )  # fmt: skip
        recorder.record(_RECORD_OUTBOUND, 0, connection.written_ns, self._number, self._entry.mask(request))

    # -- replies and reports ------------------------------------------------------------------------------------------

    def _on_messages(
        self, messages: Sequence[tuple[bytes, int]], read_ns: int, kernel_rx_ns: int, nic_rx_ns: int, owner: int
    ) -> None:
        engine, recorder = self._engine, self._recorder
        for index, (payload, off) in enumerate(messages):
            trace = engine.trace + 1
            recorder.record(_RECORD_INBOUND, trace, read_ns, self._number, payload)
            events = self._entry.receive(payload)
            decoded_ns = time_ns()
            ordinal, instrument, exchange_ns = self._about(events)
            engine.consume_reports(events, trace, read_ns)
            recorder.received(
                trace, off, ordinal, self._number, instrument, len(payload), _KIND_ORDER,
                0 if index == owner else _FLAG_RX_SHARED,
                exchange_ns, nic_rx_ns, kernel_rx_ns, read_ns, decoded_ns,
            )  # fmt: skip

    def _about(self, events: Sequence[OrderEvent]) -> tuple[int, int, int]:
        """Return ordinal and instrument of the order that a message is about, and the venue's time in it."""
        for event in events:
            if isinstance(event, ExecutionReport):
                order = self._engine.orders.find(event.cl_ord_id)
                exchange_ns = ABSENT if event.exchange_ns is None else event.exchange_ns
                return (order.ordinal, order.instrument.id, exchange_ns) if order else (0, 0, exchange_ns)
            if isinstance(event, SessionEvent):
                self._on_session(event.error)
        return 0, 0, ABSENT

    def _on_session(self, error: str) -> None:
        if self._session is not None and not self._session.done():
            self._session.set_result(error)
        elif error:
            log.warning("the session ended", route=self.name, reason=error)
            self._connection.close()

    # -- the end ------------------------------------------------------------------------------------------------------

    def _on_lost(self, connection: Connection, reason: str) -> None:
        """Hand the loss on when the input that may have caused it has been consumed."""
        asyncio.get_running_loop().call_soon(self._settle_loss, connection, reason)

    def _settle_loss(self, connection: Connection, reason: str) -> None:
        if connection is not self._connection:  # the next one is on its way already
            return
        if self.closing:
            payload = {"event": "closed", "role": "route", "name": self.name, "reason": reason}
            self._recorder.connection(0, time_ns(), self._number, payload)
        elif self._session is not None and not self._session.done():
            self._session.set_result(f"the connection was lost: {reason}")
        elif self.name in self._engine.orders.ready:
            trace, now_ns = self._input({"event": "lost", "role": "route", "name": self.name, "reason": reason})
            self._engine.route_lost(self.name, trace, now_ns)
        self.reason = reason
        self.lost.set()

    def close(self) -> None:
        """Close the connection for good."""
        self.closing = True
        if self._number:
            self._connection.close()
