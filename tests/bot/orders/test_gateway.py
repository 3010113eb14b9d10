"""The order connection's shell: paper only, journalled before it is sent, unknown when nobody answers."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from bot.engine import Engine
from bot.errors import PaperOnly, StartError, TransportError
from bot.orders.gateway import Gateway
from bot.orders.manager import OrderManager, Route
from bot.orders.risk import Risk
from bot.strategy import Strategy, StrategyParams
from journal.layout import ABSENT, MessageKind, RecordType, StampFlag
from market.instrument import Instrument
from market.orders import Order, OrderStatus
from venues.adapter import Credentials
from venues.binance_orders import BinanceOrderEntry

LOCAL = "ws://127.0.0.1:8080/ws-api/v3"
KEY = "key-that-nobody-may-see"


class Connection:
    """A peer in memory: it answers the log-on, and keeps what it is sent."""

    number = 4
    peer = "127.0.0.1:8080"
    stamped = True
    written_ns = 111
    sent_ns = 222

    def __init__(self, answer: str = '{"id":"user-data","status":200,"result":{}}') -> None:
        self.answer = answer
        self.remote = "127.0.0.1:8080"
        self.lost: str | None = None
        self.sent: list[dict[str, Any]] = []
        self.before_send: Callable[[], None] = lambda: None
        self.after_answer: Callable[[], None] = lambda: None
        self._off = 0

    def addresses(self) -> dict[str, str]:
        """Return both ends."""
        return {"local": "127.0.0.1:5", "remote": self.remote}

    def describe(self) -> dict[str, str | None]:
        """Return both ends and no TLS."""
        return {**self.addresses(), "tls": None, "cipher": None}

    def listen(self, on_messages: Any, on_transmitted: Any, on_lost: Any) -> None:  # noqa: ANN401
        """Keep the callbacks."""
        self.on_messages, self.on_transmitted, self.on_lost = on_messages, on_transmitted, on_lost

    def send(self, data: bytes) -> int:
        """Keep a request; answer the log-on."""
        if self.lost is not None:
            raise TransportError(f"{self.peer}: {self.lost}")
        self.before_send()
        self.sent.append(json.loads(data))
        self._off += len(data)
        if self.sent[-1]["id"] == "user-data" and self.answer:
            asyncio.get_running_loop().call_soon(self._log_on)
        return self._off - 1

    def _log_on(self) -> None:
        self.hear((self.answer.encode(), 50))
        self.after_answer()

    def hear(self, *messages: tuple[bytes, int], owner: int = -1) -> None:
        """Hand messages to the gateway, as one read."""
        self.on_messages(messages, 333, 300, ABSENT, owner)

    def lose(self, reason: str = "the peer closed the connection") -> None:
        """Lose the connection."""
        if self.lost is None:
            self.lost = reason
            self.on_lost(reason)

    def close(self) -> None:
        """Close it."""
        self.lose("closed by us")


class Parts:
    """A gateway with everything around it."""

    def __init__(self, written: Any, instrument: Instrument, url: str = LOCAL) -> None:  # noqa: ANN401
        routes: dict[str, Route] = {}
        self.written = written
        self.connection = Connection()
        self.engine = Engine([instrument], OrderManager("ws", Risk([instrument]), routes))
        dialer: Any = SimpleNamespace(websocket=self._websocket, timeout_s=0.05)
        self.gateway = routes["main"] = Gateway(
            "main",
            venue="binance",
            url=url,
            entry=BinanceOrderEntry([instrument], Credentials(KEY, "secret")),
            engine=self.engine,
            recorder=written.recorder,
            dialer=dialer,
        )
        self.seat = self.engine.seat("mine", "main", Strategy(StrategyParams()))
        self._instrument = instrument

    async def _websocket(self, *_: object, **__: object) -> tuple[Any, Any]:
        return self.connection, SimpleNamespace(frame=lambda request: request)

    def buy(self) -> Order:
        """Buy 0.001 BTC at 60,000.00."""
        order = self.seat.buy(self._instrument, Decimal("0.001"), 6_000_000)
        assert order is not None
        return order


@pytest.fixture
def parts(written: Any, instrument: Instrument) -> Parts:  # noqa: ANN401
    """A gateway to a local exchange."""
    return Parts(written, instrument)


@pytest.mark.parametrize(
    "url",
    [
        "wss://ws-api.binance.com/ws-api/v3",
        "ws://ws-api.testnet.binance.vision/ws-api/v3",
        "ws://8.8.8.8/ws-api/v3",
        "",
    ],
)
def test_a_gateway_to_a_live_venue_cannot_be_made(
    written: Any,  # noqa: ANN401
    instrument: Instrument,
    url: str,
) -> None:
    """There is no switch for it."""
    with pytest.raises(PaperOnly, match=r"^route main: "):
        Parts(written, instrument, url)


async def test_an_endpoint_is_checked_again_when_it_connects(parts: Parts) -> None:
    """Nothing is dialled and nothing is sent."""
    parts.gateway._url = "wss://ws-api.binance.com/ws-api/v3"
    with pytest.raises(PaperOnly, match=r"ws-api\.binance\.com"):
        await parts.gateway.connect()
    assert [] == parts.connection.sent


@pytest.mark.parametrize("remote", ["8.8.8.8:8080", "2606:4700::1111:8080", "0.0.0.0:8080"])
async def test_a_name_that_led_elsewhere_is_refused(parts: Parts, remote: str) -> None:
    """Plain text goes to local addresses only, whatever the resolver said."""
    parts.connection.remote = remote
    parts.connection.listen(None, None, lambda _: None)
    with pytest.raises(PaperOnly, match="which is not local"):
        await parts.gateway.connect()
    assert ([], "closed by us") == (parts.connection.sent, parts.connection.lost)


async def test_a_session_is_an_input_of_the_engine(parts: Parts) -> None:
    """The route is ready with a trace id of its own, and the request stands in the journal without its key."""
    await parts.gateway.connect()
    assert ["userDataStream.subscribe.signature"] == [request["method"] for request in parts.connection.sent]
    assert ({"main"}, 2) == (parts.engine.orders.ready, parts.engine.trace)
    assert ["open", "ready"] == [each["event"] for each in parts.written.payloads(RecordType.CONNECTION)]
    (row,) = parts.written.rows("sent")
    assert (MessageKind.SESSION, ABSENT, ABSENT, 111, 222) == (
        row["kind"], row["decided"], row["encoded"], row["written"], row["sent"],
    )  # fmt: skip
    assert KEY.encode() not in parts.written.raw()


async def test_a_refused_session_carries_the_venues_words(parts: Parts) -> None:
    """And nobody may trade."""
    parts.connection.answer = '{"id":"user-data","status":401,"error":{"code":-2015,"msg":"Invalid API-key."}}'
    with pytest.raises(StartError, match=r"route main: binance refuses the session: Invalid API-key\. \(-2015\)"):
        await parts.gateway.connect()
    assert (set(), "closed by us") == (parts.engine.orders.ready, parts.connection.lost)


async def test_a_log_on_without_an_answer_is_given_up(parts: Parts) -> None:
    """The connection may be tried again."""
    parts.connection.answer = ""
    with pytest.raises(TransportError, match="no answer to the log-on"):
        await parts.gateway.connect()
    assert "closed by us" == parts.connection.lost


async def test_a_connection_lost_right_behind_the_log_on_is_not_ready(parts: Parts) -> None:
    """The answer and the end may come in one turn: orders must not go into the void."""
    parts.connection.after_answer = parts.connection.lose
    with pytest.raises(TransportError, match="the peer closed the connection"):
        await parts.gateway.connect()
    await asyncio.sleep(0)
    assert set() == parts.engine.orders.ready
    assert parts.gateway.lost.is_set()


async def test_an_order_is_journalled_before_its_bytes_leave(parts: Parts) -> None:
    """Then sent, then stamped; the request in the journal shows neither key nor signature."""
    await parts.gateway.connect()
    at_send: list[list[RecordType]] = []
    parts.connection.before_send = lambda: at_send.append(parts.written.kinds())
    order = parts.buy()
    assert [RecordType.ORDER] == [kinds[-1] for kinds in at_send]
    assert RecordType.OUTBOUND is parts.written.kinds()[-1]
    (intent,) = parts.written.payloads(RecordType.ORDER)
    assert ("place", 1, 100, 6_000_000) == (
        intent["action"], intent["ordinal"], intent["qty_lots"], intent["price_ticks"],
    )  # fmt: skip
    row = parts.written.rows("sent")[-1]
    assert (MessageKind.ORDER, order.ordinal, 111, 222) == (row["kind"], row["order"], row["written"], row["sent"])
    assert row["decided"] <= row["encoded"]
    for hidden in (KEY, parts.connection.sent[-1]["params"]["signature"]):
        assert hidden.encode() not in parts.written.raw()


async def test_a_cancel_is_an_intent_too(parts: Parts) -> None:
    """With the message that caused it."""
    await parts.gateway.connect()
    order = parts.buy()
    parts.engine.trace = 77
    parts.seat.cancel(order)
    assert [("place", 2), ("cancel", 77)] == [
        (each["action"], each["cause"]) for each in parts.written.payloads(RecordType.ORDER)
    ]
    assert "order.cancel" == parts.connection.sent[-1]["method"]


async def test_an_order_that_could_not_be_sent_is_unknown(parts: Parts) -> None:
    """Until the loss has been consumed it is on its way; there is no stamp of a send that did not happen."""
    await parts.gateway.connect()
    rows = len(parts.written.rows("sent"))
    parts.connection.before_send = parts.connection.lose
    parts.connection.lose()
    order = parts.buy()
    assert 1 == parts.engine.orders.unanswered()
    await asyncio.wait_for(parts.gateway.lost.wait(), 5)
    assert OrderStatus.UNKNOWN is order.status
    assert (set(), rows) == (parts.engine.orders.ready, len(parts.written.rows("sent")))
    assert "lost" == parts.written.payloads(RecordType.CONNECTION)[-1]["event"]


async def test_a_lost_route_connects_again(parts: Parts) -> None:
    """And stays marked as lost until it is ready."""
    await parts.gateway.connect()
    parts.connection.lose()
    await asyncio.wait_for(parts.gateway.lost.wait(), 5)
    parts.connection = Connection(answer="")
    with pytest.raises(TransportError):
        await parts.gateway.connect()
    assert parts.gateway.lost.is_set()
    parts.connection = Connection()
    await parts.gateway.connect()
    assert ({"main"}, False) == (parts.engine.orders.ready, parts.gateway.lost.is_set())


async def test_reports_are_stamped_and_find_their_order(parts: Parts) -> None:
    """Only the message at the end of the read owns the kernel's stamp."""
    await parts.gateway.connect()
    parts.buy()
    trace = parts.engine.trace
    refused = b'{"id":"ws-1","status":400,"error":{"code":-2010,"msg":"No balance."}}'
    parts.connection.hear((refused, 200), (b"{", 201), owner=1)
    first, second = parts.written.rows("received")[-2:]
    assert (1, 200, StampFlag.RX_SHARED, trace + 1) == (first["order"], first["off"], first["flags"], first["trace"])
    assert (0, 201, 0, trace + 2) == (second["order"], second["off"], second["flags"], second["trace"])
    assert [(300, 333)] * 2 == [(row["kernel_rx"], row["read"]) for row in (first, second)]
    assert (1, 1) == (parts.engine.orders.rejects, parts.engine.dropped)


async def test_transmit_stamps_are_rows(parts: Parts) -> None:
    """Of this connection."""
    await parts.gateway.connect()
    parts.connection.on_transmitted(99, 1, 12345)
    (row,) = parts.written.rows("transmitted")
    assert (99, 4, 1, 12345) == (row["off"], row["conn"], row["event"], row["time"])


async def test_closing_is_for_good(parts: Parts) -> None:
    """Whoever keeps routes up leaves it alone then."""
    parts.gateway.close()
    await parts.gateway.connect()
    parts.gateway.close()
    assert (True, "closed by us") == (parts.gateway.closing, parts.connection.lost)
