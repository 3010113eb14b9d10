"""The two kinds of byte stream under a protocol: plain TCP and TLS. Sans-I/O.

Both turn received bytes into chunks of plaintext with the stream offset at which each ends, and plaintext into bytes
to send. TLS is fed one record at a time, so each plaintext byte's record, and with it the offset of the record's last
ciphertext byte, is known without any key (RFC 8446 section 5.1: type, version, length, fragment).
"""

import ssl
from typing import Protocol

from bot.errors import TransportError

_TLS_HEADER_BYTES = 5
_TLS_TYPES = range(20, 24)  # change_cipher_spec, alert, handshake, application_data
_MAX_PLAINTEXT_BYTES = 16384  # RFC 8446, section 5.1

Chunk = tuple[bytes, int]  # plaintext, and the offset behind the last ciphertext byte that carried it


class ByteStream(Protocol):
    """What a connection's bytes pass through.

    Attributes:
        transparent: whether one byte of the wire is one byte of plaintext, so that offsets hold inside a chunk.
        established: whether plaintext can flow.
    """

    transparent: bool
    established: bool

    @property
    def speaks(self) -> bool:
        """Whether `pending` has something to send."""

    def receive(self, data: memoryview, start_off: int) -> list[Chunk]:
        """Take bytes of the wire, the first of them at `start_off`, and return the plaintext that they complete."""

    def seal(self, plaintext: bytes) -> bytes:
        """Return the bytes of the wire that carry this plaintext, with whatever the stream itself must send before."""

    def pending(self) -> bytes:
        """Return what the stream itself must send (handshake, alerts), empty mostly."""

    def describe(self) -> dict[str, str | None]:
        """Return the TLS version and cipher, None where there is none."""


class PlainStream:
    """TCP as it is."""

    transparent = True
    established = True
    speaks = False

    def receive(self, data: memoryview, start_off: int) -> list[Chunk]:
        """Return everything as one chunk."""
        return [(bytes(data), start_off + len(data))]

    def seal(self, plaintext: bytes) -> bytes:
        """Return the plaintext."""
        return plaintext

    def pending(self) -> bytes:
        """Return nothing."""
        return b""

    def describe(self) -> dict[str, str | None]:
        """Return that there is no TLS."""
        return {"tls": None, "cipher": None}


class TlsStream:
    """TLS as client, through memory BIOs.

    Args:
        context: the TLS settings and trusted certificates.
        hostname: the name that the peer's certificate must carry.
    """

    transparent = False

    def __init__(self, context: ssl.SSLContext, hostname: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        self._hostname = hostname
        self._partial = bytearray()
        self._broken: TransportError | None = None
        self.established = False
        self._handshake()

    def receive(self, data: memoryview, start_off: int) -> list[Chunk]:
        """Decrypt the records that this completes.

        Raises:
            TransportError: the peer's certificate or bytes are refused; what came soundly before them in the same read
                is returned first, and the error raised with the next.
        """
        chunks: list[Chunk] = []
        if self._broken is not None:
            raise self._broken
        try:
            self._receive(data, start_off, chunks)
        except TransportError as error:
            if not chunks:
                raise
            self._broken = error
        return chunks

    def _receive(self, data: memoryview, start_off: int, chunks: list[Chunk]) -> None:
        if self._partial:
            start_off -= len(self._partial)
            self._partial += data
            data = memoryview(bytes(self._partial))
            self._partial.clear()
        at, size = 0, len(data)
        while size - at >= _TLS_HEADER_BYTES:
            end = at + _TLS_HEADER_BYTES + (data[at + 3] << 8 | data[at + 4])
            if end > size:
                break
            self._incoming.write(data[at:end])
            if self.established:
                self._decrypt(chunks, start_off + end)
            else:
                self._handshake()
            at = end
        if at < size:
            if data[at] not in _TLS_TYPES:  # its length would be waited for
                raise TransportError(f"TLS with {self._hostname} failed: the peer sent {bytes(data[at : at + 40])!r}")
            self._partial += data[at:]

    def _decrypt(self, chunks: list[Chunk], end_off: int) -> None:
        try:
            plaintext = self._tls.read(_MAX_PLAINTEXT_BYTES)
        except ssl.SSLWantReadError:  # a record without application data: session ticket, key update
            return
        except ssl.SSLZeroReturnError:
            return  # close_notify; the end of the TCP stream follows
        except ssl.SSLError as error:
            raise TransportError(f"TLS with {self._hostname} failed: {error}") from error
        if plaintext:
            chunks.append((plaintext, end_off))

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLCertVerificationError as error:
            raise TransportError(f"the certificate of {self._hostname} is refused: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise TransportError(f"TLS with {self._hostname} failed: {error}") from error
        self.established = True

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt; one record for up to 16,384 bytes."""
        self._tls.write(plaintext)
        return self._outgoing.read()

    def pending(self) -> bytes:
        """Return handshake bytes, alerts and key updates that wait to be sent."""
        return self._outgoing.read()

    @property
    def speaks(self) -> bool:
        """Whether `pending` has something to send."""
        return self._outgoing.pending > 0

    def describe(self) -> dict[str, str | None]:
        """Return the negotiated version and cipher."""
        cipher = self._tls.cipher()
        return {"tls": self._tls.version(), "cipher": cipher[0] if cipher else None}
