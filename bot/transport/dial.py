"""Making a stamped connection: address, proxy, TCP, TLS, WebSocket.

Name resolution and the race between IPv6 and IPv4 (RFC 8305) are `aiohappyeyeballs`'s. A proxy is asked with CONNECT
(RFC 9110, section 9.3.6); its bytes are part of the TCP stream, so they count in the stream offsets.
"""

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohappyeyeballs

from bot.errors import TransportError
from bot.transport import stamps
from bot.transport.connection import Connection, OnTransmitted
from bot.transport.http import HttpClient, Response
from bot.transport.poller import Poller
from bot.transport.streams import TlsStream
from bot.transport.websocket import WebSocketClient
from venues.endpoints import is_local_address

FEED_BUFFER_BYTES = 512 << 10  # about 1,700 messages: what one read may hand on before another socket is served
ORDER_BUFFER_BYTES = 8 << 20  # TX stamps count against it, some 830 bytes each, three a send

_SECURE = {"https": 443, "wss": 443}
_PLAIN = {"http": 80, "ws": 80}


@dataclass(frozen=True, slots=True)
class Dialer:
    """What all connections of a trader share.

    Attributes:
        poller: who watches the sockets.
        context: TLS settings and trusted certificates.
        proxy: `http://[user:password@]host:port`, None for none, "environment" for what HTTPS_PROXY and NO_PROXY say.
        timeout_s: how long each step may take.
        compress: whether to offer permessage-deflate.
    """

    poller: Poller
    context: ssl.SSLContext
    proxy: str | None = "environment"
    timeout_s: float = 10.0
    compress: bool = False

    async def websocket(
        self, url: str, buffer_bytes: int = FEED_BUFFER_BYTES, *, direct: bool = False
    ) -> tuple[Connection, WebSocketClient]:
        """Open a WebSocket.

        Args:
            url: `ws://` or `wss://`, with path and query.
            buffer_bytes: size of the kernel's receive buffer.
            direct: whether to pass by any proxy.

        Returns:
            The connection, whose first messages may arrive as soon as the caller yields, and its protocol.

        Raises:
            TransportError: a step failed; the message names the peer and the step.
        """
        protocol = WebSocketClient(url, compress=self.compress)
        connection = await self._connect(urlsplit(url), buffer_bytes, direct=direct)
        try:
            connection.use_protocol(protocol)
            connection.send(protocol.handshake())
            await connection.until(lambda: protocol.opened, self.timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection, protocol

    async def http(self, url: str) -> "HttpConnection":
        """Open a connection for HTTP requests to the host of an `http://` or `https://` URL.

        Raises:
            TransportError: a step failed; the message names the peer and the step.
        """
        parts = urlsplit(url)
        connection = await self._connect(parts, FEED_BUFFER_BYTES)
        protocol = HttpClient(parts.netloc.rpartition("@")[2])
        connection.use_protocol(protocol)
        return HttpConnection(connection, protocol, self.timeout_s)

    async def _connect(self, url: SplitResult, buffer_bytes: int, *, direct: bool = False) -> Connection:
        host = url.hostname
        secure = url.scheme in _SECURE
        if not host or not (secure or url.scheme in _PLAIN):
            raise TransportError(f"expected a http, https, ws or wss URL with a host, was {url.geturl()!r}")
        port = url.port or (_SECURE | _PLAIN)[url.scheme]
        proxy = None if direct else self._proxy_for(host, secure=secure)
        first_host, first_port = (proxy.hostname, proxy.port or 80) if proxy else (host, port)
        assert first_host is not None
        sock = await self._tcp(first_host, first_port, buffer_bytes)
        connection = Connection(sock, self.poller, f"{host}:{port}")
        try:
            if proxy:
                await self._through(proxy, connection, f"{host}:{port}")
            if secure:
                stream = TlsStream(self.context, host)
                connection.use_stream(stream)
                await connection.until(lambda: stream.established, self.timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _tcp(self, host: str, port: int, buffer_bytes: int) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout_s):
                addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                sock = await aiohappyeyeballs.start_connection(
                    addresses, happy_eyeballs_delay=0.25, interleave=1, socket_factory=_maker(buffer_bytes), loop=loop
                )
        except TimeoutError as error:
            raise TransportError(f"{host}:{port}: no connection within {self.timeout_s:g} s") from error
        except UnicodeError as error:
            raise TransportError(f"{host}:{port}: not a host name: {error}") from error
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            raise TransportError(f"{host}:{port}: {reason}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _proxy_for(self, host: str, *, secure: bool) -> SplitResult | None:
        address = self.proxy
        if address == "environment":
            passed_by = is_local_address(host) or proxy_bypass(host)
            address = None if passed_by else getproxies().get("https" if secure else "http")
        if address is None:
            return None
        proxy = urlsplit(address)
        if proxy.scheme != "http" or not proxy.hostname:
            raise TransportError(f"expected a proxy as http://host:port, was {proxy.scheme}://{proxy.hostname}")
        return proxy

    async def _through(self, proxy: SplitResult, connection: Connection, target: str) -> None:
        protocol = HttpClient(target)
        headers = {}
        if proxy.username:
            login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login).decode()
        connection.use_protocol(protocol)
        exchange = HttpConnection(connection, protocol, self.timeout_s)
        reply = await exchange.request("CONNECT", target, headers)
        if reply.status // 100 != 2:
            raise TransportError(f"the proxy {proxy.hostname} refuses {target}: HTTP {reply.status}")
        connection.on_messages = connection.hold


class HttpConnection:
    """One stamped HTTP connection, one request at a time.

    Attributes:
        connection: the connection underneath.
        read_ns, kernel_rx_ns, nic_rx_ns, off: the stamps and the stream offset of the last reply's last byte.
        owns_stamp: whether the kernel's stamp is that byte's own.
    """

    def __init__(self, connection: Connection, protocol: HttpClient, timeout_s: float) -> None:
        self.connection = connection
        self.read_ns = self.kernel_rx_ns = self.nic_rx_ns = self.off = 0
        self.owns_stamp = False
        self._protocol = protocol
        self._timeout_s = timeout_s
        self._reply: Response | None = None
        connection.on_messages = self._on_messages

    def listen(self, on_transmitted: OnTransmitted, on_lost: Callable[[str], None]) -> None:
        """Tell somebody of TX stamps and of the connection's end, see `Connection.listen`."""
        self.connection.listen(self._on_messages, on_transmitted, on_lost)

    async def request(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Send a request and wait for its reply.

        Raises:
            TransportError: the connection was lost, the peer broke the protocol, or the time ran out.
        """
        self.send(method, target, headers, body)
        return await self.reply()

    def send(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> int:
        """Send a request.

        Returns:
            The stream offset of its last byte on the wire. The connection's `written_ns` and `sent_ns` are set.

        Raises:
            TransportError: the connection is lost, or waits for another reply.
        """
        self._reply = None
        return self.connection.send(self._protocol.request(method, target, headers, body))

    async def reply(self) -> Response:
        """Wait for the reply to the request that was sent.

        Raises:
            TransportError: the connection was lost, the peer broke the protocol, or the time ran out.
        """
        try:
            await self.connection.until(lambda: self._reply is not None, self._timeout_s)
        except BaseException:
            self.connection.close()  # a late reply must not answer the next request
            raise
        reply = self._reply
        assert reply is not None
        return reply

    def _on_messages(
        self,
        messages: Sequence[tuple[Response, int]],
        read_ns: int,
        kernel_rx_ns: int,
        nic_rx_ns: int,
        owner: int,
    ) -> None:
        self._reply, self.off = messages[-1]
        self.read_ns, self.kernel_rx_ns, self.nic_rx_ns = read_ns, kernel_rx_ns, nic_rx_ns
        self.owns_stamp = owner == len(messages) - 1

    @property
    def usable(self) -> bool:
        """Whether another request can be made."""
        return self.connection.lost is None and self._protocol.closed is None

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _maker(buffer_bytes: int) -> Callable[[tuple[Any, ...]], socket.socket]:
    def make(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol = address[:3]
        sock = socket.socket(family, kind, protocol)
        stamps.force_receive_buffer(sock, buffer_bytes)  # before connect: it sets the TCP window's scale
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        return sock

    return make
