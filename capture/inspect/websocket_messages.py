"""The messages of one direction of a WebSocket: unmasked, put together, inflated. Sans-I/O.

`websockets` parses the frames (RFC 6455, section 5) and inflates them (RFC 7692); nobody answers here, so only what a
receiver reads is followed.
"""

from collections.abc import Generator
from typing import Final

from websockets.exceptions import InvalidHeaderFormat, PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.headers import parse_extension
from websockets.streams import StreamReader
from websockets.typing import ExtensionName

_MAX_MESSAGE_BYTES: Final = 16 << 20
_LARGEST_WINDOW_BITS: Final = 15  # inflates what any smaller window compressed


class _Sequence(Extension):
    """Refuses frames in an order that makes no message (RFC 6455, section 5.4), before they are inflated.

    Attributes:
        begun: what the message is that has begun and not ended, None between messages.
    """

    name = ExtensionName("sequence")

    def __init__(self) -> None:
        self.begun: Opcode | None = None

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:  # noqa: ARG002 - the interface's
        if frame.opcode not in CTRL_OPCODES:
            if (frame.opcode is Opcode.CONT) is not (self.begun is not None):
                raise ProtocolError("a frame that continues nothing, or begins a message within another")
            self.begun = self.begun or frame.opcode
        return frame


class WebSocketReader:
    """Reads one direction from the end of its handshake on.

    Args:
        is_server: whose direction it is; a client masks its frames.
        extensions: the `Sec-WebSocket-Extensions` of the server's reply.

    Attributes:
        is_broken: whether the bytes are no frames any longer.
    """

    def __init__(self, extensions: str, *, is_server: bool) -> None:
        self.is_broken = False
        self._masked = not is_server
        self._bytes = StreamReader()
        self._sequence = _Sequence()
        self._extensions = [*_deflate(extensions, is_server=is_server), self._sequence]  # applied from the last on
        self._payload = bytearray()
        self._frame = self._next_frame()

    def take(self, data: bytes) -> tuple[list[tuple[Opcode, bytes]], int | None]:
        """Take bytes.

        Returns:
            Each message that ends in them, as TEXT, BINARY, PING, PONG or CLOSE and its payload; and how many of these
            bytes lie behind the last one, None when it is within a fragmented message, or none ended.
        """
        found: list[tuple[Opcode, bytes]] = []
        behind: int | None = None
        self._bytes.feed_data(data)
        try:
            while (frame := self._advance()) is not None:
                if frame.opcode in CTRL_OPCODES:
                    found.append((frame.opcode, bytes(frame.data)))
                elif (whole := self._assemble(frame)) is not None:
                    found.append(whole)
                if self._sequence.begun is None:
                    behind = len(self._bytes.buffer)
        except (ProtocolError, PayloadTooBig):
            self.is_broken = True
        return found, behind

    def _next_frame(self) -> Generator[None, None, Frame]:
        return Frame.parse(
            self._bytes.read_exact, mask=self._masked, max_size=_MAX_MESSAGE_BYTES, extensions=self._extensions
        )

    def _advance(self) -> Frame | None:
        """Return the next frame, None when it is not all there."""
        try:
            next(self._frame)
        except StopIteration as done:
            self._frame = self._next_frame()
            frame: Frame = done.value
            return frame
        return None

    def _assemble(self, frame: Frame) -> tuple[Opcode, bytes] | None:
        self._payload += frame.data
        if len(self._payload) > _MAX_MESSAGE_BYTES:
            raise PayloadTooBig(len(self._payload), _MAX_MESSAGE_BYTES)
        if not frame.fin:
            return None
        assert self._sequence.begun is not None
        whole = self._sequence.begun, bytes(self._payload)
        self._sequence.begun = None
        self._payload.clear()
        return whole


def _deflate(extensions: str, *, is_server: bool) -> list[Extension]:
    """Return what inflates a direction's messages, nothing where it was not negotiated (RFC 7692, section 7)."""
    try:
        negotiated = dict(parse_extension(extensions)) if extensions else {}
    except InvalidHeaderFormat:
        return []
    if PerMessageDeflate.name not in negotiated:
        return []
    forgets = f"{'server' if is_server else 'client'}_no_context_takeover"
    return [
        PerMessageDeflate(
            remote_no_context_takeover=any(name == forgets for name, _ in negotiated[PerMessageDeflate.name]),
            local_no_context_takeover=True,
            remote_max_window_bits=_LARGEST_WINDOW_BITS,
            local_max_window_bits=_LARGEST_WINDOW_BITS,
        )
    ]
