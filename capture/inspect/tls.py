"""Decrypting a captured TLS 1.2 or 1.3 connection with a key log, for inspection only. Sans-I/O.

A session is given both directions' bytes, each in order, and returns what the records held. It follows handshakes,
HelloRetryRequests, session resumption and KeyUpdates. What it does not follow ends the decryption of that direction
with a reason, never with an exception: a hole in the bytes, an unknown version or cipher suite, secrets that the log
does not hold, early data, renegotiation.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from capture.inspect.keylog import KeyLog
from capture.inspect.tls_ciphers import SUITES_1_2, SUITES_1_3, Opener, Opener13, openers_1_2
from capture.inspect.tls_hello import (
    TLS_1_2,
    TLS_1_3,
    HandshakeMessages,
    HandshakeType,
    ServerHello,
    client_random,
    server_hello,
)

_HEADER_BYTES = 5
_MAX_FRAGMENT_BYTES = 16384 + 2048  # RFC 5246, section 6.2.3; TLS 1.3 allows less
_ALERT_BYTES = 2  # of one that is not encrypted
_MAX_WAITING_BYTES = 256 << 10  # what one direction keeps while the other's hello is not there yet


class ContentType(IntEnum):
    """What a record holds (RFC 8446, appendix B.1)."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


_CONTENT_TYPES = frozenset(map(int, ContentType))


class Stop(StrEnum):
    """Why a direction is not decrypted any further."""

    HOLE = "bytes are missing from the capture"
    NOT_TLS = "what was captured does not begin with a TLS record"
    MID_CONNECTION = "the capture began behind the handshake"
    ONE_SIDED = "the other direction's hello is missing from the capture"
    NO_SECRET = "the key log does not hold this connection's secrets"  # noqa: S105 - no password
    UNKNOWN_VERSION = "neither TLS 1.2 nor TLS 1.3"
    UNKNOWN_SUITE = "a cipher suite that is not supported"
    UNDECRYPTABLE = "a record does not decrypt"
    RENEGOTIATED = "the connection negotiated new keys"
    BROKEN = "the records make no sense"


@dataclass(frozen=True, slots=True)
class Plain:
    """What a record held.

    Attributes:
        side: who sent it: 0 or 1, as given to `TlsSession.feed`.
        off: stream offset of the record's last byte.
        content_type: `ContentType.APPLICATION_DATA` or `ALERT`.
        data: the plaintext.
    """

    side: int
    off: int
    content_type: int
    data: bytes


class _Stopped(Exception):
    """Decryption of a direction ends."""

    def __init__(self, reason: Stop) -> None:
        super().__init__(reason)
        self.reason = reason


class _Direction:
    """What one side sends."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.next_off = 0  # of the byte behind `pending`
        self.pending = bytearray()
        self.greeted = False  # whether its hello has been seen
        self.messages = HandshakeMessages()
        self.opener: Opener | None = None
        self.stopped: Stop | None = None

    def record(self) -> tuple[bytes, bytes] | None:
        """Return header and fragment of the next record, None when it is not all there."""
        pending = self.pending
        if len(pending) < _HEADER_BYTES:
            return None
        size = pending[3] << 8 | pending[4]
        if pending[0] not in _CONTENT_TYPES or pending[1] != 3 or size > _MAX_FRAGMENT_BYTES:
            raise _Stopped(Stop.BROKEN if self.greeted else Stop.NOT_TLS)
        end = _HEADER_BYTES + size
        return (bytes(pending[:_HEADER_BYTES]), bytes(pending[_HEADER_BYTES:end])) if len(pending) >= end else None


class TlsSession:
    """One connection.

    Args:
        keys: the secrets.
    """

    def __init__(self, keys: KeyLog) -> None:
        self._keys = keys
        self._directions = (_Direction(0), _Direction(1))
        self._client: int | None = None
        self._client_random = b""
        self._hello: ServerHello | None = None

    @property
    def stopped(self) -> dict[int, Stop]:
        """Why each side that is not decrypted any further is not."""
        return {each.side: each.stopped for each in self._directions if each.stopped is not None}

    def feed(self, side: int, offset: int, data: bytes) -> list[Plain]:
        """Take bytes of one direction and decrypt what can be decrypted by now, also of the other.

        Args:
            side: 0 or 1; which of them is the client shows in the bytes.
            offset: stream offset of the first of these bytes; streams begin at 0.
            data: the bytes; they follow those that were given before.

        Returns:
            Application data and alerts, by direction in order.
        """
        direction = self._directions[side]
        if direction.stopped is not None:
            return []
        if offset != direction.next_off:
            self._stop(direction, Stop.HOLE)
            return []
        direction.pending += data
        direction.next_off += len(data)
        found: list[Plain] = []
        one, other = self._directions
        while self._advance(one, found) | self._advance(other, found):  # a hello on one side may free the other
            pass
        if len(direction.pending) > _MAX_WAITING_BYTES and direction.stopped is None:
            self._stop(direction, Stop.ONE_SIDED)
        return found

    def finish(self) -> None:
        """Say that nothing follows: a direction that still waits for the other's hello waits in vain."""
        for direction in self._directions:
            if direction.stopped is None and direction.record() is not None:
                self._stop(direction, Stop.ONE_SIDED)

    def _stop(self, direction: _Direction, reason: Stop) -> None:
        direction.stopped = reason
        direction.pending.clear()

    def _advance(self, direction: _Direction, found: list[Plain]) -> bool:
        """Take the records that are there; return whether there was any that did not have to wait."""
        advanced = False
        try:
            while direction.stopped is None and (record := direction.record()) is not None:
                if self._must_wait(direction, *record):
                    break
                size = _HEADER_BYTES + len(record[1])
                off = direction.next_off - len(direction.pending) + size - 1
                del direction.pending[:size]
                advanced = True
                opened = self._open(direction, *record)
                if opened is not None:
                    self._take(direction, off, *opened, found)
        except _Stopped as end:
            self._stop(direction, end.reason)
        return advanced

    # -- records ------------------------------------------------------------------------------------------------------

    def _must_wait(self, direction: _Direction, header: bytes, fragment: bytes) -> bool:
        """Tell whether a record can only be understood when the other direction has come further."""
        content_type = header[0]
        if direction.opener is not None or content_type == ContentType.HANDSHAKE:
            return False
        if content_type == ContentType.ALERT and len(fragment) == _ALERT_BYTES:
            return False  # a server that takes no part says nothing else
        if not direction.greeted:
            raise _Stopped(Stop.MID_CONNECTION)
        if self._hello is None or self._client is None:
            return True
        # behind a HelloRetryRequest, only the change_cipher_spec that middleboxes want to see can be understood
        return self._hello.retry and content_type == ContentType.APPLICATION_DATA

    def _open(self, direction: _Direction, header: bytes, fragment: bytes) -> tuple[int, bytes] | None:
        """Return content type and plaintext of a record, None for one that only steers."""
        content_type = header[0]
        hello, opener = self._hello, direction.opener
        if content_type == ContentType.CHANGE_CIPHER_SPEC:
            if hello is None or hello.version != TLS_1_3:  # there it means nothing (RFC 8446, section 5)
                self._change_cipher(direction)
            return None
        if opener is None and content_type == ContentType.APPLICATION_DATA:
            direction.opener = opener = self._opener_1_3(direction, "HANDSHAKE_TRAFFIC_SECRET")
        if opener is None:
            return content_type, fragment
        opened = opener.open(header, fragment)
        if opened is None:
            raise _Stopped(Stop.UNDECRYPTABLE)
        return opened

    def _take(self, direction: _Direction, off: int, content_type: int, data: bytes, found: list[Plain]) -> None:
        if content_type in (ContentType.APPLICATION_DATA, ContentType.ALERT):
            found.append(Plain(direction.side, off, content_type, data))
            return
        for kind, body in direction.messages.take(data):
            if direction.opener is None:
                self._greet(direction, kind, body)
            elif isinstance(direction.opener, Opener13):
                self._steer(direction, direction.opener, kind)
            elif kind in (HandshakeType.HELLO_REQUEST, HandshakeType.CLIENT_HELLO):
                raise _Stopped(Stop.RENEGOTIATED)
        if direction.messages.oversized:
            raise _Stopped(Stop.BROKEN)

    def _greet(self, direction: _Direction, kind: int, body: bytes) -> None:
        """Take a handshake message that is not encrypted."""
        if kind == HandshakeType.CLIENT_HELLO:
            random = client_random(body)
            if random is None:
                raise _Stopped(Stop.BROKEN)
            self._client, self._client_random, direction.greeted = direction.side, random, True
        elif kind == HandshakeType.SERVER_HELLO:
            hello = server_hello(body)
            if hello is None:
                raise _Stopped(Stop.BROKEN)
            self._hello, direction.greeted = hello, True
        elif not direction.greeted:
            raise _Stopped(Stop.MID_CONNECTION)

    # -- keys ---------------------------------------------------------------------------------------------------------

    def _steer(self, direction: _Direction, opener: Opener13, kind: int) -> None:
        """Follow a direction of TLS 1.3 to its next keys: behind its Finished, and at each KeyUpdate."""
        if kind == HandshakeType.FINISHED:
            direction.opener = self._opener_1_3(direction, "TRAFFIC_SECRET_0")
        elif kind == HandshakeType.KEY_UPDATE:
            opener.update()

    def _opener_1_3(self, direction: _Direction, label: str) -> Opener13:
        assert self._hello is not None
        if self._hello.version != TLS_1_3:
            raise _Stopped(Stop.BROKEN if self._hello.version == TLS_1_2 else Stop.UNKNOWN_VERSION)
        suite = SUITES_1_3.get(self._hello.suite)
        if suite is None:
            raise _Stopped(Stop.UNKNOWN_SUITE)
        role = "CLIENT" if direction.side == self._client else "SERVER"
        return Opener13(suite, self._secret(f"{role}_{label}"))

    def _change_cipher(self, direction: _Direction) -> None:
        """Take up the keys of TLS 1.2."""
        assert self._hello is not None
        if direction.opener is not None:
            raise _Stopped(Stop.RENEGOTIATED)
        if self._hello.version != TLS_1_2:
            raise _Stopped(Stop.UNKNOWN_VERSION)
        suite = SUITES_1_2.get(self._hello.suite)
        if suite is None:
            raise _Stopped(Stop.UNKNOWN_SUITE)
        openers = openers_1_2(suite, self._secret("CLIENT_RANDOM"), self._client_random, self._hello.random)
        direction.opener = openers[0 if direction.side == self._client else 1]

    def _secret(self, label: str) -> bytes:
        secret = self._keys.secret(label, self._client_random)
        if secret is None:
            raise _Stopped(Stop.NO_SECRET)
        return secret
