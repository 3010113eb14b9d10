"""What must be known of a TLS handshake to decrypt what follows: messages, randoms, version, cipher suite. Pure."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

TLS_1_2 = 0x0303
TLS_1_3 = 0x0304

# SHA-256 of "HelloRetryRequest": a ServerHello with this random is one (RFC 8446, section 4.1.3)
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_SUPPORTED_VERSIONS = 43
_MAX_MESSAGE_BYTES = 256 << 10


class HandshakeType(IntEnum):
    """Kinds of handshake message that matter here (RFC 8446, appendix B.3; RFC 5246, section 7.4)."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    FINISHED = 20
    KEY_UPDATE = 24


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What the server chose.

    Attributes:
        version: `TLS_1_2`, `TLS_1_3` or another.
        suite: the cipher suite's number.
        random: 32 bytes.
        retry: whether it is a HelloRetryRequest: the real one follows.
    """

    version: int
    suite: int
    random: bytes
    retry: bool


class HandshakeMessages:
    """Puts handshake messages together, which records may cut anywhere (RFC 8446, section 5.1)."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.oversized = False

    def take(self, fragment: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield type and body of each message that this completes; none after one that is too large to be true."""
        pending = self._bytes
        pending += fragment
        while len(pending) >= 4 and not self.oversized:
            size = int.from_bytes(pending[1:4])
            self.oversized = size > _MAX_MESSAGE_BYTES
            if len(pending) < 4 + size or self.oversized:
                return
            kind, body = pending[0], bytes(pending[4 : 4 + size])
            del pending[: 4 + size]
            yield kind, body


def client_random(body: bytes) -> bytes | None:
    """Return the random of a ClientHello (RFC 8446, section 4.1.2), None when it is cut short."""
    return body[2:34] if len(body) >= 34 else None


def server_hello(body: bytes) -> ServerHello | None:
    """Decode a ServerHello (RFC 8446, section 4.1.3; RFC 5246, section 7.4.1.3), None when it makes no sense."""
    try:
        version, random, session_bytes = struct.unpack_from(">H32sB", body)
        at = 35 + session_bytes
        (suite,) = struct.unpack_from(">H", body, at)
        return ServerHello(_selected_version(body, at + 3) or version, suite, random, random == _RETRY_RANDOM)
    except struct.error:
        return None


def _selected_version(body: bytes, at: int) -> int | None:
    """Return what the extension says, which TLS 1.3 puts in the field's place (RFC 8446, section 4.2.1)."""
    at += 2  # the extensions' own length
    while at + 4 <= len(body):
        kind, size = struct.unpack_from(">HH", body, at)
        if kind == _SUPPORTED_VERSIONS:
            (version,) = struct.unpack_from(">H", body, at + 4)
            return int(version)
        at += 4 + size
    return None
