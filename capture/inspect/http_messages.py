"""Where one HTTP/1.1 message ends in a direction's bytes, and whether it asks for or grants a WebSocket. Sans-I/O.

`h11` does the framing (RFC 9112, section 6); whoever looks on sees each message of each side as its receiver would.
"""

from dataclasses import dataclass
from typing import Final

import h11

_MAX_HEAD_BYTES: Final = 64 << 10


class NotHttp(Exception):
    """The bytes are no HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """A message that is whole.

    Attributes:
        method: of a request; empty for a response.
        behind: how many bytes of the last piece lie behind its end.
        is_upgrade: whether it asks for a WebSocket, or grants one (RFC 6455, section 4).
        extensions: its `Sec-WebSocket-Extensions`.
    """

    method: bytes
    behind: int
    is_upgrade: bool
    extensions: str


class HttpReader:
    """Reads one message; a response with the interim ones (1xx) before it.

    Args:
        answers: for a response the method of its request, on which it depends whether a body follows
            (RFC 9112, section 6.3); None for a request.
    """

    def __init__(self, answers: bytes | None) -> None:
        role = h11.SERVER if answers is None else h11.CLIENT
        self._connection = h11.Connection(role, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._head: h11.Request | h11.InformationalResponse | h11.Response | None = None
        if answers is not None:  # a 101 is refused when nobody asked for it
            headers = [("Host", "-"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
            self._connection.send(h11.Request(method=answers, target="/", headers=headers))
            self._connection.send(h11.EndOfMessage())

    def take(self, data: bytes) -> HttpMessage | None:
        """Take bytes, or none when no more will come.

        Returns:
            The message when it is whole, else None; nothing may be given after it.

        Raises:
            NotHttp: they are no HTTP, or the end came too early.
        """
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request | h11.InformationalResponse | h11.Response):
                    self._head = event
                elif event is h11.PAUSED or isinstance(event, h11.EndOfMessage):
                    return self._message()
                elif isinstance(event, h11.ConnectionClosed):
                    break
        except h11.RemoteProtocolError as error:
            raise NotHttp(str(error)) from error
        return None

    def _message(self) -> HttpMessage:
        assert self._head is not None
        headers = [(name, value.decode("latin-1")) for name, value in self._head.headers]
        asked = any(name == b"upgrade" and value.lower() == "websocket" for name, value in headers)
        extensions = ", ".join(value for name, value in headers if name == b"sec-websocket-extensions")
        return HttpMessage(
            method=self._head.method if isinstance(self._head, h11.Request) else b"",
            behind=len(self._connection.trailing_data[0]),
            is_upgrade=asked and not isinstance(self._head, h11.Response),  # a 101 is the one interim that ends it
            extensions=extensions,
        )
