"""WebSocket as client, with a short way for the common frame. Sans-I/O (RFC 6455).

A whole, unfragmented, uncompressed data frame is sliced straight out of the stream. Everything else, that is the
handshake, control frames, fragments, compressed frames, and whatever breaks the protocol, goes to the `websockets`
library's own sans-I/O protocol, which answers pings and closes by itself.
"""

import os
from collections.abc import Sequence

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import (  # type: ignore[attr-defined]  # the C version of apply_mask where there is one
    Close,
    Frame,
    Opcode,
    apply_mask,
)
from websockets.protocol import State
from websockets.uri import parse_uri

from bot.errors import TransportError

_TEXT = 0x81  # FIN and opcode
_WHOLE = frozenset((_TEXT, 0x82))  # unfragmented, uncompressed text and binary: the frames that take the short way
_MASKED = 0x80
_NONCES = 1024  # masking keys drawn from the system's generator at once

Message = tuple[bytes, int]  # payload, and how many bytes of the chunk lie behind the message


class WebSocketClient:
    """One WebSocket connection's protocol state.

    Args:
        url: `ws://` or `wss://` with host and path.
        max_bytes: the largest message that is accepted.
        compress: whether to offer permessage-deflate (RFC 7692).

    Attributes:
        opened: whether the handshake has succeeded.
        speaks: whether `pending` has something to send.
        closed: why the connection is over, or None.
    """

    def __init__(self, url: str, max_bytes: int = 64 << 20, *, compress: bool = False) -> None:
        try:
            uri = parse_uri(url)
        except InvalidURI as error:
            raise TransportError(str(error)) from error
        extensions = [ClientPerMessageDeflateFactory()] if compress else None
        self._protocol = ClientProtocol(uri, extensions=extensions, max_size=max_bytes)
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._needed = 0
        self._fragments: list[bytes] = []
        self._keys: list[bytes] = []
        self._heads: dict[int, bytes] = {}
        self._steady = False  # opened, between two frames, no message half done
        self.opened = False
        self.speaks = False
        self.closed: str | None = None

    def handshake(self) -> bytes:
        """Return the request that opens the connection."""
        self._protocol.send_request(self._protocol.connect())
        return self.pending()

    def receive(self, data: bytes) -> Sequence[Message]:
        """Take plaintext of the stream and return the messages that it completes.

        Returns:
            Payloads in order, each with the number of bytes of `data` behind its last byte.

        Raises:
            TransportError: the peer refused the handshake.
        """
        if self._steady and len(data) > 3:  # the common read: one whole frame (benchmarks/hot_path.py)
            length = data[1]
            if data[0] in _WHOLE and length + 2 == len(data) < 128:
                return ((data[2:], 0),)
            if data[0] in _WHOLE and length == 126 and (data[2] << 8 | data[3]) + 4 == len(data):
                return ((data[4:], 0),)
        return self._split(data)

    def _split(self, data: bytes) -> Sequence[Message]:
        """Take whatever is not one whole frame."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return ()
            data = bytes(self._rest)
            self._rest.clear()
        self._steady = False
        messages: list[Message] = []
        at = 0 if self.opened else self._open(data)
        size = len(data)
        self._needed = 2
        while size - at >= 2 and self.closed is None:  # nothing may follow a close (RFC 6455, section 5.5.1)
            first, length = data[at], data[at + 1]
            body = at + 2
            if length & _MASKED:
                self._rare(data[at:], messages, 0)  # a server must not mask: the protocol closes
                return messages
            if length >= 126:
                body += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : body], "big")
                if body <= size and length > self._max_bytes:
                    self.closed = f"a message of {length:,} bytes exceeds the limit of {self._max_bytes:,}"
                    return messages
            end = body + length
            if end > size:  # also when the length itself is not whole: then only its bytes are known to be needed
                self._needed = (end if body <= size else body) - at
                break
            if first in _WHOLE and not self._fragments:
                messages.append((data[body:end], size - end))
            else:
                self._rare(data[at:end], messages, size - end)
            at = end
        if at < size:
            self._rest += data[at:]
        else:
            self._steady = self.opened and not self._fragments
        return messages

    def _open(self, data: bytes) -> int:
        """Feed the handshake's reply to the protocol; return where frames begin."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._needed = len(data) + 1
            if len(data) > 65536:
                raise TransportError("the reply to the WebSocket handshake has no end within 65,536 bytes")
            self._rest += data
            return len(data)
        if not data.startswith(b"HTTP/1.1 101 "):  # the library would wait for the body's end before it tells
            words = data[:end].partition(b"\r\n")[0] + b" " + data[end + 4 :][:200]
            raise TransportError(f"the WebSocket handshake was refused: {words.decode(errors='replace').strip()}")
        self._protocol.receive_data(data[: end + 4])
        self._protocol.events_received()
        if self._protocol.state is not State.OPEN:
            raise TransportError(f"the WebSocket handshake failed: {self._protocol.handshake_exc}")
        self.opened = True
        return end + 4

    def _rare(self, frame: bytes, messages: list[Message], behind: int) -> None:
        self.speaks = True  # it may have answered
        self._protocol.receive_data(frame)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragments.append(bytes(event.data))
                if sum(map(len, self._fragments)) > self._max_bytes:
                    self.closed = f"a fragmented message exceeds the limit of {self._max_bytes:,} bytes"
                if event.fin:
                    messages.append((b"".join(self._fragments), behind))
                    self._fragments.clear()
            elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                self.closed = f"the peer closed: {Close.parse(event.data)}"
        if self._protocol.parser_exc is not None:
            self.closed = f"the peer broke the WebSocket protocol: {self._protocol.parser_exc}"

    def frame(self, payload: bytes) -> bytes:
        """Return the masked text frame that carries this payload (RFC 6455, section 5.2)."""
        if not self._keys:
            noise = os.urandom(4 * _NONCES)
            self._keys = [noise[at : at + 4] for at in range(0, len(noise), 4)]
        key = self._keys.pop()
        head = self._heads.get(len(payload)) or self._head(len(payload))
        return head + key + apply_mask(payload, key)

    def _head(self, length: int) -> bytes:
        """Return the header of a text frame; requests of one kind have the same few lengths, so it is kept."""
        if length < 126:
            head = bytes((_TEXT, _MASKED | length))
        elif length < 65536:
            head = bytes((_TEXT, _MASKED | 126, length >> 8, length & 255))
        else:
            head = bytes((_TEXT, _MASKED | 127)) + length.to_bytes(8, "big")
        if len(self._heads) < 1024:
            self._heads[length] = head
        return head

    def close(self) -> bytes:
        """Return the frame that starts the closing handshake; empty when there is nothing left to close."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
        return self.pending()

    def pending(self) -> bytes:
        """Return what the protocol itself must send: handshake, pongs, close."""
        self.speaks = False
        return b"".join(self._protocol.data_to_send())
