"""What every venue's file provides. The bot knows venues only through this."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from market.events import Malformed, MarketEvent
from market.instrument import Instrument
from market.orders import ExecutionReport, Order

CHANNELS = ("trade", "book", "quote")


class UnknownSymbol(Exception):
    """The venue does not list an instrument of this name; the message carries the venue's own words."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where one environment of a venue lives; `orders` is None where orders are never sent.

    Attributes:
        rest: base URL of market data over HTTP, without a trailing slash.
        stream: base URL of the market data WebSocket.
        orders: URL of the order entry WebSocket.
    """

    rest: str
    stream: str
    orders: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key and its secret; never shown."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


class Feed(Protocol):
    """One market data connection's protocol state: bytes in, events out, the venue's loss rule inside.

    Attributes:
        target: path and query of the WebSocket that carries the subscribed streams.
        instrument_id: the instrument of the message received last, 0 when it has none.
        exchange_ns: the venue's own time in that message, None when it has none.
    """

    target: str
    instrument_id: int
    exchange_ns: int | None

    def receive(self, payload: bytes) -> Sequence[MarketEvent]:
        """Take one message.

        Returns:
            What it says, in order; a message that cannot be understood is a `Malformed` event, never an exception.
        """

    def receive_snapshot(self, instrument: Instrument, body: bytes) -> Sequence[MarketEvent]:
        """Take the reply to a `SnapshotWanted`."""

    def disconnected(self) -> Sequence[MarketEvent]:
        """Forget what a lost connection makes worthless; books are synchronised anew."""


class OrderEntry(Protocol):
    """One order connection's protocol state: orders in, requests out; replies and reports in, execution reports out."""

    def session_requests(self, now_ms: int) -> list[bytes]:
        """Return what is sent after connecting: log on, subscribe to execution reports."""

    def place(self, order: Order, now_ms: int) -> bytes:
        """Return the signed request for a new order."""

    def cancel(self, order: Order, now_ms: int) -> bytes:
        """Return the signed request to cancel an order."""

    def mask(self, request: bytes) -> bytes:
        """Return a request with key and signature blanked out, at the same length."""

    def receive(self, payload: bytes) -> Sequence["OrderEvent"]:
        """Take one message; a message that cannot be understood is a `Malformed` event, never an exception."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """The venue's answer to a session request: ready for orders when `error` is empty."""

    error: str


OrderEvent = ExecutionReport | SessionEvent | Malformed


class Venue(Protocol):
    """A venue's file as the registry hands it out."""

    name: str

    def endpoints(self, environment: str, local_url: str | None) -> Endpoints:
        """Return the endpoints of `production`, `testnet` or `local`.

        Raises:
            ValueError: the venue has no such environment, or `local` was asked for without its URL.
        """

    def instrument_target(self, name: str) -> str:
        """Return the path and query that describe the instrument of this name."""

    def parse_instrument(self, name: str, number: int, status: int, body: bytes) -> Instrument:
        """Read the reply to `instrument_target`.

        Args:
            name: the instrument's name, `BTC-USDT`.
            number: its id within the run.
            status: the reply's HTTP status.
            body: the reply's body.

        Raises:
            UnknownSymbol: the venue does not know it, or its description cannot be read.
        """

    def feed(self, instruments: Sequence[Instrument], channels: Sequence[str]) -> Feed:
        """Return a fresh feed of these channels (`CHANNELS`)."""

    def order_entry(self, instruments: Sequence[Instrument], credentials: Credentials) -> OrderEntry:
        """Return a fresh order entry session."""
