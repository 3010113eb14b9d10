"""The shell around one connected socket: reads with kernel stamps, sends with stream offsets, keeps both exact.

A read takes all that is queued, because the kernel stamps only the last byte of what one `recvmsg` returns: the buffer
is larger than the queue can be. Only the message that ends where the read ended, in a read that did not fill the
buffer, owns the stamp. Each send ends a kernel segment (MSG_EOR), so that sends that merge keep a stamp each.
"""

import asyncio
import contextlib
import itertools
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from time import time_ns
from typing import Any, Protocol

from bot.errors import TransportError
from bot.transport import stamps
from bot.transport.poller import Poller
from bot.transport.streams import ByteStream, PlainStream
from journal.layout import ABSENT

_SEND_FLAGS = stamps.MSG_EOR | socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_MAX_BACKLOG_BYTES = 16 << 20
_SENDS_BEFORE_STAMPS = 128  # 384 stamps of some 830 bytes each, of the receive buffer that replies need as well

# (messages with the stream offset of their last byte, read_ns, kernel_rx_ns, nic_rx_ns, index of the one that owns the
# stamps, -1 for none)
OnMessages = Callable[[Sequence[tuple[Any, int]], int, int, int, int], None]
OnTransmitted = Callable[[int, int, int], None]  # (stream offset, TxEvent, time in ns)


class MessageProtocol(Protocol):
    """A sans-I/O protocol on top of the byte stream: `WebSocketClient`, `HttpClient`."""

    closed: str | None
    speaks: bool

    def receive(self, data: bytes) -> Sequence[tuple[Any, int]]:
        """Return the messages that these bytes complete, each with the number of bytes behind it."""

    def pending(self) -> bytes:
        """Return what the protocol itself must send."""

    def close(self) -> bytes:
        """Return what says goodbye."""


class _Nothing:
    """The protocol of a connection that has none yet: nobody may speak."""

    closed: str | None = None
    speaks = False

    def receive(self, data: bytes) -> Sequence[tuple[Any, int]]:
        raise TransportError(f"the peer spoke before it was asked: {data[:60]!r}")

    def pending(self) -> bytes:
        return b""

    def close(self) -> bytes:
        return b""


class _Shared:
    """One read buffer for all connections of a thread; a read is over before the next begins."""

    def __init__(self) -> None:
        self.buffer = bytearray(0)

    def room(self, size: int) -> memoryview:
        if len(self.buffer) < size:
            self.buffer = bytearray(size)
        return memoryview(self.buffer)


_shared = _Shared()
_numbers = itertools.count(1)


class Connection:
    """One stamped connection.

    Args:
        sock: connected and non-blocking, with its receive buffer fixed (`stamps.force_receive_buffer`).
        poller: who calls when it is ready.
        peer: who is at the other end, for messages: `host:port`.

    Attributes:
        number: identifies the connection within the run, from 1.
        stamped: whether the kernel stamps it.
        on_messages: called with the messages of each read that completes any; until `listen`, they are held back.
        on_transmitted: called with every TX stamp.
        on_lost: called once with the reason when the connection ends, also when `close` ended it.
        received_off, sent_off: bytes received and sent so far, which are the stream offsets of the next ones.
        written_ns, sent_ns: the clock just before and just after the last `send()`; `sent_ns` is ABSENT when it had to
            wait behind others.
    """

    def __init__(self, sock: socket.socket, poller: Poller, peer: str) -> None:
        self.number = next(_numbers)
        self.peer = peer
        self.stamped = stamps.enable(sock)
        self.on_messages: OnMessages = self.hold
        self.on_transmitted: OnTransmitted = _ignore
        self.on_lost: Callable[[str], None] = _ignore
        self.received_off = 0
        self.sent_off = 0
        self.written_ns = 0
        self.sent_ns = 0
        self.lost: str | None = None
        self._held: list[tuple[Sequence[tuple[Any, int]], int, int, int, int]] = []
        self._addresses = _addresses(sock, peer)
        self._socket = sock
        self._poller = poller
        self._descriptor = sock.fileno()
        self._room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) + 65536
        self._view = _shared.room(self._room)[: self._room]
        self._buffers = [self._view]
        self._recvmsg_into = sock.recvmsg_into
        self._send = sock.send
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0
        self._sends = 0  # since the TX stamps were last taken
        self._stream: ByteStream = PlainStream()
        self._protocol: MessageProtocol = _Nothing()
        self._progress: asyncio.Future[None] | None = None
        poller.add(self)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._descriptor

    # -- layers -------------------------------------------------------------------------------------------------------

    def use_stream(self, stream: ByteStream) -> None:
        """Put a byte stream (TLS) under whatever follows, and send what it has to say first."""
        self._stream = stream
        self.flush()

    def use_protocol(self, protocol: MessageProtocol) -> None:
        """Put a message protocol on top."""
        self._protocol = protocol

    def addresses(self) -> dict[str, str]:
        """Return both ends as `address:port`."""
        return self._addresses

    def describe(self) -> dict[str, str | None]:
        """Return what the journal says of a connection: both ends, and TLS version and cipher or None."""
        return self.addresses() | self._stream.describe()

    async def until(self, done: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `done()` holds, looking after each read.

        Raises:
            TransportError: the connection was lost first, or the time ran out.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                while not done():
                    if self.lost is not None:
                        raise TransportError(f"{self.peer}: {self.lost}")
                    self._progress = loop.create_future()
                    await self._progress
        except TimeoutError as error:
            raise TransportError(f"{self.peer}: no answer within {timeout_s:g} s") from error
        finally:
            self._progress = None

    def listen(self, on_messages: OnMessages, on_transmitted: OnTransmitted, on_lost: Callable[[str], None]) -> None:
        """Take over the connection, with whatever arrived behind the handshake and before its caller could run again.

        Args:
            on_messages: the attribute of this name.
            on_transmitted: the attribute of this name.
            on_lost: the attribute of this name; a loss that has happened already is told now.
        """
        self.on_messages, self.on_transmitted, self.on_lost = on_messages, on_transmitted, on_lost
        held, self._held = self._held, []
        for read in held:
            on_messages(*read)
        if self.lost is not None:
            on_lost(self.lost)

    def hold(
        self, messages: Sequence[tuple[Any, int]], read_ns: int, kernel_rx_ns: int, nic_rx_ns: int, owner: int
    ) -> None:
        """Keep the messages of a read until somebody listens."""
        self._held.append((messages, read_ns, kernel_rx_ns, nic_rx_ns, owner))

    # -- receiving ----------------------------------------------------------------------------------------------------

    def on_readable(self) -> None:
        """Read all that is queued and hand the messages on."""
        try:
            size, ancillary, _, _ = self._recvmsg_into(self._buffers, stamps.ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(f"the connection broke: {error.strerror}")
            return
        read_ns = time_ns()
        if not size:
            self._lose("the peer closed the connection")
            return
        kernel_rx_ns, nic_rx_ns = stamps.receive_stamps(ancillary)
        start_off = self.received_off
        self.received_off = end_off = start_off + size
        try:
            messages = self._decode(self._view[:size], start_off)
        except TransportError as error:
            self._lose(str(error))
            return
        if messages:
            owns = size < self._room and messages[-1][1] == end_off - 1
            self.on_messages(messages, read_ns, kernel_rx_ns, nic_rx_ns, len(messages) - 1 if owns else -1)
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    def _decode(self, data: memoryview, start_off: int) -> list[tuple[Any, int]]:
        stream, protocol = self._stream, self._protocol
        if stream.transparent:
            last_off = start_off + len(data) - 1
            messages = [(payload, last_off - behind) for payload, behind in protocol.receive(bytes(data))]
        else:
            messages = [
                (payload, end_off - 1)
                for plaintext, end_off in stream.receive(data, start_off)
                for payload, _ in protocol.receive(plaintext)
            ]
        if protocol.speaks or stream.speaks:
            with contextlib.suppress(TransportError):  # the loss is told; what was received before it is sound
                self.flush()
        if protocol.closed is not None:
            self._lose(protocol.closed)
        return messages

    def on_error_queue(self) -> None:
        """Take the TX stamps; an error that is none of them ends the connection."""
        if not self._take_stamps() and (code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self._lose(f"the connection broke: {os.strerror(code)}")

    def _take_stamps(self) -> int:
        self._sends = 0
        last_off, on_transmitted, count = self.sent_off - 1, self.on_transmitted, 0
        for event, low, stamp_ns in stamps.transmit_stamps(self._socket):
            # the kernel counts modulo 2³²: the stamped byte is the latest one with these low bits
            on_transmitted(last_off - ((last_off - low) & 0xFFFFFFFF), event, stamp_ns)
            count += 1
        return count

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> int:
        """Send plaintext, such as one WebSocket frame, as a kernel segment of its own.

        Args:
            data: what the byte stream is to carry.

        Returns:
            The stream offset of its last byte on the wire. `written_ns` and `sent_ns` are set.

        Raises:
            TransportError: the connection is lost, or its peer has not read for so long that no more can be kept.
        """
        if self.lost is not None:
            raise TransportError(f"{self.peer}: {self.lost}")
        sealed = self._stream.seal(data)
        size = len(sealed)
        if self._backlog:
            self.written_ns, self.sent_ns = time_ns(), ABSENT  # its bytes leave later: see `on_writable`
            self._keep(memoryview(sealed))
        else:
            self.written_ns = time_ns()
            try:
                sent = self._send(sealed, _SEND_FLAGS)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lose(f"the connection broke: {error.strerror}")
                raise TransportError(f"{self.peer}: {self.lost}") from error
            self.sent_ns = time_ns()
            if sent != size:
                self._keep(memoryview(sealed)[sent:])
        self.sent_off += size
        self._sends += 1
        if self._sends >= _SENDS_BEFORE_STAMPS:  # a burst within one callback: the poller will not come by
            self._take_stamps()
        return self.sent_off - 1

    def flush(self) -> None:
        """Send what the layers have to say by themselves: handshakes, pongs, goodbyes."""
        protocol = self._protocol
        if protocol.speaks and (words := protocol.pending()):
            self.send(words)
        if self._stream.speaks and self.lost is None:
            words = self._stream.pending()
            self._keep(memoryview(words))
            self.sent_off += len(words)
            self.on_writable()

    def _keep(self, rest: memoryview) -> None:
        if self._backlog_bytes + len(rest) > _MAX_BACKLOG_BYTES:
            self._lose(f"the peer does not read: {self._backlog_bytes:,} bytes wait to be sent")
            raise TransportError(f"{self.peer}: {self.lost}")
        self._backlog.append(rest)
        self._backlog_bytes += len(rest)
        self._poller.want_write(self, wanted=True)

    def on_writable(self) -> None:
        """Send what had to wait, each piece as a segment of its own."""
        backlog = self._backlog
        while backlog:
            try:
                sent = self._send(backlog[0], _SEND_FLAGS)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(f"the connection broke: {error.strerror}")
                return
            self._backlog_bytes -= sent
            if sent == len(backlog[0]):
                backlog.popleft()
            else:
                backlog[0] = backlog[0][sent:]
        self._poller.want_write(self, wanted=False)

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say goodbye and close; `on_lost` is told."""
        if self.lost is not None:
            return
        with contextlib.suppress(TransportError):
            if words := self._protocol.close():
                self.send(words)
        self._lose("closed by us")

    def _lose(self, reason: str) -> None:
        if self.lost is not None:
            return
        self.lost = reason
        self._take_stamps()
        self._poller.remove(self)
        self._socket.close()
        self._backlog.clear()
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)
        self.on_lost(reason)


def _addresses(sock: socket.socket, peer: str) -> dict[str, str]:
    """Read both ends at once: a connection that has been reset has none any more."""
    try:
        local, remote = sock.getsockname(), sock.getpeername()
    except OSError as error:
        sock.close()
        raise TransportError(f"{peer}: the connection broke: {error.strerror}") from error
    return {"local": f"{local[0]}:{local[1]}", "remote": f"{remote[0]}:{remote[1]}"}


def _ignore(*_: object) -> None:
    """Nobody listens yet."""
