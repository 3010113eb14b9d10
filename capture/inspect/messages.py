"""Decrypted records to messages: HTTP as it is, then WebSocket messages once both sides have agreed on one. Pure.

Only the bytes decide. A direction that is neither, or no longer, gives its records one by one, and so does what is left
of a message whose end was not captured: nothing is held back for good. A client's bytes behind its request for a
WebSocket wait for the reply, which says how they are compressed.
"""

import ssl
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Opcode

from capture.inspect.http_messages import HttpReader, NotHttp
from capture.inspect.inspection import MAX_CONNECTIONS, Decrypted
from capture.inspect.tls import ContentType
from capture.inspect.websocket_messages import WebSocketReader

_MAX_HELD_RECORDS: Final = 4096  # of one direction, of 16 KB at most


class Kind(StrEnum):
    """What a message is."""

    HTTP = "http"  # a request or a response, head and body as they are
    TEXT = "text"
    BINARY = "binary"
    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    ALERT = "alert"  # of TLS
    DATA = "data"  # a record that belongs to no message


@dataclass(frozen=True, slots=True)
class Message:
    """What one side said.

    Attributes:
        time_ns, off: of the record in which it ends (see `Decrypted` and `Plain`).
        sender, receiver, tunnel: as in `Decrypted`.
        kind: what it is.
        data: its bytes; of a `close` code and reason as text, of an `alert` its name (RFC 8446, section 6).
    """

    time_ns: int
    sender: str
    receiver: str
    tunnel: int
    off: int
    kind: Kind
    data: bytes


def messages(records: Iterable[Decrypted]) -> Iterator[Message]:
    """Yield the messages of all connections, by direction in order.

    Args:
        records: as `Inspection.records` yields them.
    """
    exchanges: OrderedDict[int, _Exchange] = OrderedDict()  # the one that spoke last is last
    for record in records:
        exchange = exchanges.pop(record.connection, None) or _Exchange()
        exchanges[record.connection] = exchange
        yield from exchange.take(record)
        if len(exchanges) > MAX_CONNECTIONS:
            yield from exchanges.popitem(last=False)[1].finish()
    for exchange in exchanges.values():
        yield from exchange.finish()


@dataclass(slots=True)
class _Direction:
    """What one side sends.

    Attributes:
        waiting: records that have not been read.
        partial: those of the message that has begun.
        http, frames: what reads them: an HTTP message's reader, or from the upgrade on the WebSocket's.
        spoken: how many HTTP messages it has sent.
        wants_upgrade: whether the last of them asked for a WebSocket.
        is_server: whether it sends responses; None as long as nothing shows it.
        is_unknown: whether it is neither HTTP nor WebSocket, or no longer.
    """

    waiting: deque[Decrypted] = field(default_factory=deque)
    partial: list[Decrypted] = field(default_factory=list)
    http: HttpReader | None = None
    frames: WebSocketReader | None = None
    spoken: int = 0
    wants_upgrade: bool = False
    is_server: bool | None = None
    is_unknown: bool = False


class _Exchange:
    """Both directions of one connection."""

    def __init__(self) -> None:
        self._directions = _Direction(), _Direction()
        self._heads: set[int] = set()  # which requests were HEAD
        self._extensions: str | None = None  # of the WebSocket that the server granted

    def take(self, record: Decrypted) -> Iterator[Message]:
        direction = self._directions[record.plain.side]
        if record.plain.content_type == ContentType.ALERT:
            yield _message(record, Kind.ALERT, _alert(record.plain.data))
        elif record.plain.data:
            direction.waiting.append(record)
            yield from self._advance(direction)
            yield from self._advance(self._other(direction))
            if len(direction.waiting) + len(direction.partial) > _MAX_HELD_RECORDS:
                yield from _give_up(direction)

    def finish(self) -> Iterator[Message]:
        """Yield what waited for more in vain; only a response may end with its connection (RFC 9112, section 6.3)."""
        for direction in self._directions:
            if direction.partial and direction.http is not None:
                yield from self._read_http(direction, direction.http, b"")
            yield from _give_up(direction)

    def _other(self, direction: _Direction) -> _Direction:
        one, other = self._directions
        return other if direction is one else one

    def _advance(self, direction: _Direction) -> Iterator[Message]:
        while direction.waiting and not self._must_wait(direction):
            record = direction.waiting.popleft()
            direction.partial.append(record)
            if direction.is_unknown:
                yield from _give_up(direction)
            elif direction.frames is not None:
                yield from _read_frames(direction, direction.frames, record)
            else:
                if direction.http is None:
                    direction.http = HttpReader(self._answers(direction, record.plain.data))
                yield from self._read_http(direction, direction.http, record.plain.data)

    def _must_wait(self, direction: _Direction) -> bool:
        other = self._other(direction)
        return (
            direction.wants_upgrade
            and direction.frames is None
            and other.spoken < direction.spoken
            and not other.is_unknown
        )

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    def _answers(self, direction: _Direction, data: bytes) -> bytes | None:
        """Return the method of the request that a response answers, None for a request."""
        if direction.is_server is None:
            direction.is_server = b"HTTP/".startswith(data[:5])
        if not direction.is_server:
            return None
        return b"HEAD" if direction.spoken in self._heads else b"GET"

    def _read_http(self, direction: _Direction, reader: HttpReader, data: bytes) -> Iterator[Message]:
        try:
            message = reader.take(data)
        except NotHttp:
            direction.is_unknown = True
            yield from _give_up(direction)
            return
        if message is None:
            return
        record = direction.partial[-1]
        whole = b"".join(each.plain.data for each in direction.partial)
        yield _message(record, Kind.HTTP, whole[: len(whole) - message.behind])
        direction.partial.clear()
        if message.behind:
            direction.waiting.appendleft(_end_of(record, message.behind))
        if message.method == b"HEAD":
            self._heads.add(direction.spoken)
        direction.spoken += 1
        direction.http = None
        direction.wants_upgrade = message.is_upgrade
        if message.is_upgrade and direction.is_server:
            self._extensions = message.extensions
        self._upgrade()

    def _upgrade(self) -> None:
        """Read frames from here on in each direction whose part of the handshake is over."""
        if self._extensions is not None:
            for direction in self._directions:
                if direction.wants_upgrade and direction.frames is None:
                    direction.frames = WebSocketReader(self._extensions, is_server=direction.is_server is True)


def _read_frames(direction: _Direction, reader: WebSocketReader, record: Decrypted) -> Iterator[Message]:
    found, behind = reader.take(record.plain.data)
    for opcode, payload in found:
        yield _message(record, Kind[opcode.name], _close(payload) if opcode is Opcode.CLOSE else payload)
    if behind is not None:
        direction.partial = [_end_of(record, behind)] if behind else []
    if reader.is_broken:
        direction.is_unknown = True
        yield from _give_up(direction)


def _give_up(direction: _Direction) -> Iterator[Message]:
    """Yield the records that make no message."""
    for record in (*direction.partial, *direction.waiting):
        yield _message(record, Kind.DATA, record.plain.data)
    direction.partial.clear()
    direction.waiting.clear()


def _message(record: Decrypted, kind: Kind, data: bytes) -> Message:
    return Message(record.time_ns, record.sender, record.receiver, record.tunnel, record.plain.off, kind, data)


def _end_of(record: Decrypted, size: int) -> Decrypted:
    """Return a record as if it held its last bytes alone."""
    return replace(record, plain=replace(record.plain, data=record.plain.data[-size:]))


def _close(payload: bytes) -> bytes:
    try:
        return str(Close.parse(payload)).encode()
    except (ProtocolError, UnicodeDecodeError):
        return payload


def _alert(data: bytes) -> bytes:
    try:
        _, description = data
        return ssl.AlertDescription(description).name.removeprefix("ALERT_DESCRIPTION_").lower().encode()
    except ValueError:  # a later day's alert, or none
        return data
