"""HTTP/1.1 as client over a stamped connection, one request at a time. Sans-I/O; h11 does the protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import h11

from bot.errors import TransportError

_AT_REST = frozenset((h11.DONE, h11.CLOSED, h11.SWITCHED_PROTOCOL))


@dataclass(frozen=True, slots=True)
class Response:
    """A whole reply: status code, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpClient:
    """One connection's HTTP state.

    Args:
        host: the Host header.
        max_bytes: the largest body that is accepted.

    Attributes:
        closed: why no further request can be made, or None.
        speaks: never; HTTP answers nothing by itself.
    """

    speaks = False

    def __init__(self, host: str, max_bytes: int = 64 << 20) -> None:
        self._host = host
        self._max_bytes = max_bytes
        self._protocol = h11.Connection(h11.CLIENT)
        self._head: h11.Response | None = None
        self._body = bytearray()
        self.closed: str | None = None

    def request(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        """Return the bytes of a request.

        Raises:
            TransportError: the connection cannot carry another request.
        """
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
        if self._protocol.our_state is not h11.IDLE:
            raise TransportError(f"{self._host}: the HTTP connection cannot take another request")
        fields = [("Host", self._host), *(headers or {}).items()]
        if body or method not in ("GET", "HEAD", "CONNECT"):
            fields.append(("Content-Length", str(len(body))))
        sent = [self._protocol.send(h11.Request(method=method, target=target, headers=fields))]
        if body:
            sent.append(self._protocol.send(h11.Data(data=body)))
        sent.append(self._protocol.send(h11.EndOfMessage()))
        return b"".join(part for part in sent if part)

    def receive(self, data: bytes) -> Sequence[tuple[Response, int]]:
        """Take bytes of the stream and return the replies that they complete, each with the bytes of `data` behind it.

        Raises:
            TransportError: the peer broke the protocol, or its body is too large.
        """
        replies: list[tuple[Response, int]] = []
        try:
            self._protocol.receive_data(data)
            while (reply := self._next_reply()) is not None:
                replies.append((reply, len(self._protocol.trailing_data[0])))
                if self._protocol.their_state is not h11.DONE:
                    break
        except h11.RemoteProtocolError as error:
            raise TransportError(f"{self._host} broke the HTTP protocol: {error}") from error
        return replies

    def _next_reply(self) -> Response | None:
        while self._protocol.their_state not in _AT_REST:
            event = self._protocol.next_event()
            if isinstance(event, h11.Response):
                self._head = event
                if self._protocol.their_state is h11.SWITCHED_PROTOCOL:
                    return self._finish()  # a 2xx to CONNECT ends at its headers (RFC 9110, section 9.3.6)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._max_bytes:
                    raise TransportError(f"{self._host}: a reply exceeds {self._max_bytes:,} bytes")
            elif isinstance(event, h11.EndOfMessage):
                if self._protocol.their_state is h11.MUST_CLOSE:
                    self.closed = "the peer closes after this reply"
                return self._finish()
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return None
        return None

    def _finish(self) -> Response:
        assert self._head is not None
        headers = {name.decode(): value.decode("latin-1") for name, value in self._head.headers}
        reply = Response(self._head.status_code, headers, bytes(self._body))
        self._head = None
        self._body.clear()
        return reply

    def close(self) -> bytes:
        """Return nothing: HTTP closes with its connection."""
        return b""

    def pending(self) -> bytes:
        """Return nothing: HTTP never answers by itself."""
        return b""
