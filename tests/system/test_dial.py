"""Making connections on loopback, under both event loops and both drivers: TLS, IPv6, a proxy, and every refusal."""

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop
from websockets.asyncio.server import Server, ServerConnection, serve

from bot.errors import TransportError
from bot.transport.connection import Connection
from bot.transport.dial import Dialer
from bot.transport.poller import Driver, Poller
from journal.layout import ABSENT
from sandbox.certificate import server_context

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS settings for localhost, and its authority."""
    return server_context(tmp_path_factory.mktemp("certificates"), datetime.now(UTC))


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> str:
    """The event loop's name."""
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["wait", "spin"])
def spin(request: pytest.FixtureRequest) -> bool:
    """Whether the sockets are polled without pause."""
    return bool(request.param)


def run(use: Callable[[Dialer], Awaitable[None]], loop: str = "uvloop", *, spin: bool = False, **options: Any) -> None:  # noqa: ANN401
    """Run a coroutine with a dialer."""

    async def main() -> None:
        poller = Poller()
        driver = Driver(poller, asyncio.get_running_loop(), spin=spin)
        driver.start()
        options.setdefault("context", ssl.create_default_context())
        try:
            await asyncio.wait_for(use(Dialer(poller, **({"proxy": None} | options))), 30)
        finally:
            for connection in [*poller._watched.values()]:  # a server waits for those that a failed test leaves open
                connection.close()  # type: ignore[attr-defined]
            driver.stop()
            poller.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def port_of(server: Server | asyncio.Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(message)


class Heard:
    """What a connection tells, and a way to wait for it."""

    def __init__(self, connection: Connection) -> None:
        self.messages: list[tuple[bytes, int]] = []
        self.losses: list[str] = []
        self.kernel_rx_ns: list[int] = []
        self._news = asyncio.Event()
        connection.listen(self._on_messages, lambda *_: None, self._on_lost)

    def _on_messages(self, messages: Any, read_ns: int, kernel_rx_ns: int, nic_rx_ns: int, owner: int) -> None:  # noqa: ANN401
        assert ABSENT in {nic_rx_ns, kernel_rx_ns} or kernel_rx_ns <= read_ns
        assert owner in {-1, len(messages) - 1}
        self.messages += messages
        self.kernel_rx_ns.append(kernel_rx_ns)
        self._news.set()

    def _on_lost(self, reason: str) -> None:
        self.losses.append(reason)
        self._news.set()

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until something holds."""
        while not done():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_websocket(
    loop: str, certificates: tuple[ssl.SSLContext, Path], host: str, *, spin: bool, secure: bool
) -> None:
    """Messages go both ways, with stamps and offsets."""

    async def use(dialer: Dialer) -> None:
        async with serve(echo, host, 0, ssl=certificates[0] if secure else None, compression=None) as server:
            named = f"[{host}]" if ":" in host else host
            url = f"{'wss' if secure else 'ws'}://{named}:{port_of(server)}/stream"
            connection, protocol = await dialer.websocket(url)
            heard = Heard(connection)
            for number in range(20):
                off = connection.send(protocol.frame(b"%d" % number))
                assert connection.sent_off - 1 == off
                await heard.until(lambda wanted=number: len(heard.messages) > wanted)  # type: ignore[misc]
            assert [b"%d" % number for number in range(20)] == [payload for payload, _ in heard.messages]
            assert connection.received_off - 1 == heard.messages[-1][1]
            assert (secure, secure) == tuple(value is not None for value in list(connection.describe().values())[2:])
            connection.close()
            assert ["closed by us"] == heard.losses

    run(use, loop, spin=spin, context=ssl.create_default_context(cafile=certificates[1]))


def test_messages_right_behind_the_handshake_are_kept(loop: str, *, spin: bool) -> None:
    """However long it takes the caller to listen: a venue sends at once what the path subscribes to."""

    async def burst(peer: ServerConnection) -> None:
        for number in range(500):
            await peer.send(b"%d" % number)

    async def use(dialer: Dialer) -> None:
        async with serve(burst, "127.0.0.1", 0, compression=None) as server:
            connection, _ = await dialer.websocket(f"ws://127.0.0.1:{port_of(server)}/")
            await connection.until(lambda: connection.lost is not None, 10)  # the peer closes when it has said all
            heard = Heard(connection)
            assert [b"%d" % number for number in range(500)] == [payload for payload, _ in heard.messages]
            assert 1 == len(heard.losses)
            assert heard.losses[0].startswith("the peer closed: 1000")
            assert connection.describe()["remote"]

    run(use, loop, spin=spin)


def test_compression_is_negotiated_where_it_is_wanted() -> None:
    """And then messages arrive whole."""

    async def use(dialer: Dialer) -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            connection, protocol = await dialer.websocket(f"ws://127.0.0.1:{port_of(server)}/")
            heard = Heard(connection)
            connection.send(protocol.frame(b"abc" * 1000))
            await heard.until(lambda: bool(heard.messages))
            assert b"abc" * 1000 == heard.messages[0][0]
            assert connection.received_off < 1000
            connection.close()

    run(use, compress=True)


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_certificate_that_nobody_vouches_for(certificates: tuple[ssl.SSLContext, Path]) -> None:
    """The sandbox's own authority must be named."""

    async def use(dialer: Dialer) -> None:
        async with serve(echo, "127.0.0.1", 0, ssl=certificates[0]) as server:
            with pytest.raises(TransportError, match="the certificate of localhost is refused: unable to get local"):
                await dialer.websocket(f"wss://localhost:{port_of(server)}/")

    run(use)


def test_a_certificate_for_another_name(certificates: tuple[ssl.SSLContext, Path]) -> None:
    """127.0.0.2 leads to the same machine, and is not in the certificate."""

    async def use(dialer: Dialer) -> None:
        async with serve(echo, "127.0.0.2", 0, ssl=certificates[0]) as server:
            with pytest.raises(TransportError, match=r"certificate of 127\.0\.0\.2 is refused: IP address mismatch"):
                await dialer.websocket(f"wss://127.0.0.2:{port_of(server)}/")

    run(use, context=ssl.create_default_context(cafile=certificates[1]))


def test_tls_to_a_peer_that_has_none() -> None:
    """Told at once, with what it said."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await silent(reader, writer)

    async def use(dialer: Dialer) -> None:
        async with listening(answer) as port:
            with pytest.raises(TransportError, match=r"TLS with 127\.0\.0\.1 failed: the peer sent b'HTTP/1\.1 400"):
                await dialer.websocket(f"wss://127.0.0.1:{port}/")

    run(use)


def test_nobody_listens() -> None:
    """The system's own word for it, and who was meant."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def use(dialer: Dialer) -> None:
        with pytest.raises(TransportError, match=rf"^127\.0\.0\.1:{port}: Connection refused$"):
            await dialer.websocket(f"ws://127.0.0.1:{port}/")

    run(use)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/", "ftp://127.0.0.1/"),
        ("ws:///path", "ws:///path"),
        ("ws://a..b/", "a..b"),
        (f"ws://{'x' * 70}.example/", "not a host name"),
    ],
)
def test_an_address_that_is_none(url: str, words: str) -> None:
    """Named in the error."""

    async def use(dialer: Dialer) -> None:
        with pytest.raises(TransportError, match=words):
            await dialer.http(url)

    run(use)


@asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve raw TCP; yields the port."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield port_of(server)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def test_a_peer_that_never_answers() -> None:
    """Given up when the time runs out."""

    async def use(dialer: Dialer) -> None:
        async with listening(silent) as port:
            with pytest.raises(TransportError, match=rf"^127\.0\.0\.1:{port}: no answer within 0\.2 s$"):
                await dialer.websocket(f"ws://127.0.0.1:{port}/")

    run(use, timeout_s=0.2)


# -- HTTP -------------------------------------------------------------------------------------------------------------


def test_http_requests_one_after_another(loop: str, *, spin: bool) -> None:
    """Over one connection, with the stamps and the offset of each reply."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))
        writer.close()

    async def use(dialer: Dialer) -> None:
        async with listening(answer) as port:
            http = await dialer.http(f"http://127.0.0.1:{port}")
            for number in range(3):
                reply = await http.request("GET", f"/{number}")
                assert (200, b"/%d" % number) == (reply.status, reply.body)
                assert http.connection.received_off - 1 == http.off
                assert http.kernel_rx_ns <= http.read_ns
                assert http.owns_stamp
            assert http.usable
            http.close()
            assert not http.usable

    run(use, loop, spin=spin)


def test_a_reply_that_does_not_come_ends_the_connection() -> None:
    """A late one must not be taken for the next request's."""

    async def use(dialer: Dialer) -> None:
        async with listening(silent) as port:
            http = await dialer.http(f"http://127.0.0.1:{port}")
            with pytest.raises(TransportError, match=r"no answer within 0\.2 s"):
                await http.request("GET", "/")
            assert not http.usable

    run(use, timeout_s=0.2)


# -- a proxy ----------------------------------------------------------------------------------------------------------


class Proxy:
    """An HTTP proxy that knows CONNECT, and counts what it is sent and sends."""

    def __init__(self, status: bytes = b"200 Connection established") -> None:
        self.status = status
        self.head = b""
        self.received = self.sent = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        self.head = await reader.readuntil(b"\r\n\r\n")
        self.received = len(self.head)
        reply = b"HTTP/1.1 " + self.status + b"\r\nContent-Length: 0\r\n\r\n"
        writer.write(reply)
        self.sent = len(reply)
        if self.status.startswith(b"2"):
            host, _, port = self.head.split(b" ")[1].decode().rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            outward = asyncio.create_task(self._outward(reader, far_writer))
            while data := await far_reader.read(65536):
                self.sent += len(data)
                writer.write(data)
            await outward
        writer.close()

    async def _outward(self, reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.received += len(data)
            far_writer.write(data)
        far_writer.close()


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxys_bytes_count_in_the_stream(
    loop: str, certificates: tuple[ssl.SSLContext, Path], *, secure: bool
) -> None:
    """A capture on this machine sees CONNECT and its answer as the first bytes of the connection."""

    async def use(dialer: Dialer) -> None:
        proxy = Proxy()
        async with (
            listening(proxy.handle) as proxy_port,
            serve(echo, "127.0.0.1", 0, ssl=certificates[0] if secure else None, compression=None) as server,
        ):
            through = Dialer(dialer.poller, dialer.context, f"http://user:pass%40word@127.0.0.1:{proxy_port}")
            connection, protocol = await through.websocket(
                f"{'wss' if secure else 'ws'}://127.0.0.1:{port_of(server)}/"
            )
            heard = Heard(connection)
            off = connection.send(protocol.frame(b"hello"))
            await heard.until(lambda: bool(heard.messages))
            assert (proxy.received - 1, proxy.sent - 1) == (off, heard.messages[0][1])
            assert proxy.head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % port_of(server))
            assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:pass@word") in proxy.head
            connection.close()

    run(use, loop, context=ssl.create_default_context(cafile=certificates[1]))


def test_a_proxy_that_refuses() -> None:
    """In its own status."""

    async def use(dialer: Dialer) -> None:
        async with listening(Proxy(b"407 Proxy Authentication Required").handle) as port:
            through = Dialer(dialer.poller, dialer.context, f"http://127.0.0.1:{port}")
            with pytest.raises(TransportError, match=r"the proxy 127\.0\.0\.1 refuses example\.com:443: HTTP 407"):
                await through.websocket("wss://example.com/")

    run(use)


def test_the_environments_proxy_is_for_others_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY says where to, NO_PROXY for whom not; local addresses never take it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", "direct.example")

    async def use(dialer: Dialer) -> None:
        found = {host: dialer._proxy_for(host, secure=True) for host in ("venue.example", "direct.example", "10.0.0.1")}
        assert ["venue.example"] == [host for host, proxy in found.items() if proxy is not None]

    run(use, proxy="environment")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://", "127.0.0.1:3128"])
def test_a_proxy_of_another_kind_is_refused(proxy: str) -> None:
    """In words that do not show a password."""

    async def use(dialer: Dialer) -> None:
        with pytest.raises(TransportError, match="expected a proxy as http://host:port"):
            await dialer.websocket("wss://example.com/")

    run(use, proxy=proxy)
