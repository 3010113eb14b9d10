"""One served WebSocket: many text frames in one write, the venue's keep-alive, and an end to peers that hang.

aiohttp does the handshake and parses what arrives. Outgoing text frames are put together here and written straight to
its transport, many at a time: that is what carries an unpaced replay (benchmarks/sandbox_throughput.py). Both write
whole frames only, so they never interleave; no extension is negotiated, so a frame is just its bytes.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from aiohttp import ClientConnectionError, WSMsgType, web

PING_SECONDS = 20.0
PONG_DEADLINE_SECONDS = 60.0
MAX_MESSAGE_BYTES = 1 << 20


def text_frame(payload: bytes) -> bytes:
    """Return a server's whole, unmasked text frame (RFC 6455, section 5.2).

    Args:
        payload: UTF-8 text.
    """
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Connection:
    """A WebSocket from its handshake to its end.

    Args:
        request: the upgrade request.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_MESSAGE_BYTES)
        self._frames: list[bytes] = []
        self._ponged_s = time.monotonic()
        self.closed = False

    def send_frame(self, frame: bytes) -> None:
        """Queue a whole frame for the next flush."""
        self._frames.append(frame)

    def send(self, payload: bytes) -> None:
        """Queue a text message for the next flush."""
        self._frames.append(text_frame(payload))

    def flush(self) -> None:
        """Write what is queued; a closed connection drops it."""
        frames, self._frames = self._frames, []
        transport = self._request.transport
        if frames and transport is not None and not self.closed:
            transport.write(b"".join(frames))

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written."""
        with contextlib.suppress(ClientConnectionError, ConnectionError):
            await self._request.writer.drain()

    async def serve(
        self, on_text: Callable[[str], None], *, on_open: Callable[[], None] = lambda: None
    ) -> web.WebSocketResponse:
        """Shake hands, call `on_open`, and hand every text message to `on_text`, until either side closes.

        Pings every 20 s with the time as payload, answers pings, and aborts a peer that has not ponged for a minute
        (binance-spot-api-docs, web-socket-api.md, "General API Information").
        """
        await self._socket.prepare(self._request)
        on_open()
        keep_alive = asyncio.create_task(self._keep_alive())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    on_text(message.data)
                    await self.drain()
                elif message.type is WSMsgType.PING:
                    await self._socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    self._ponged_s = time.monotonic()
        except ConnectionError:  # the peer went away in the middle of an answer
            pass
        finally:
            self.closed = True
            keep_alive.cancel()
        return self._socket

    async def close(self, reason: str) -> None:
        """Say goodbye as a server that goes away (RFC 6455, code 1001)."""
        self.flush()
        await self._socket.close(code=1001, message=reason.encode())

    async def _keep_alive(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                silent_s = time.monotonic() - self._ponged_s
                if silent_s > PONG_DEADLINE_SECONDS and self._request.transport is not None:
                    self._request.transport.abort()
                    return
                await self._socket.ping(str(time.time_ns() // 1_000_000).encode())
