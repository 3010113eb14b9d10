"""Opening TLS records with known secrets: the AEAD suites of TLS 1.2 and 1.3, their keys and their nonces. Pure.

Both kinds of opener count records, so they must be given every record of a direction once, in order. They are for
inspecting a capture: nothing here encrypts, negotiates or authenticates anybody.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_TAG_BYTES = 16
_NONCE_BYTES = 12
_EXPLICIT_BYTES = 8  # of a TLS 1.2 GCM nonce, sent with each record (RFC 5288, section 3)


class _Aead(Protocol):
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite.

    Attributes:
        aead: makes the cipher from its key.
        key_bytes: of that key.
        hash: of its key derivation.
        implicit_iv_bytes: of the write IV in TLS 1.2: 4 where part of the nonce is sent with each record, else 12.
    """

    aead: Callable[[bytes], _Aead]
    key_bytes: int
    hash: HashAlgorithm
    implicit_iv_bytes: int = _NONCE_BYTES


_AES_128_GCM = Suite(AESGCM, 16, SHA256(), 4)
_AES_256_GCM = Suite(AESGCM, 32, SHA384(), 4)
_CHACHA20 = Suite(ChaCha20Poly1305, 32, SHA256())

SUITES_1_3 = {0x1301: _AES_128_GCM, 0x1302: _AES_256_GCM, 0x1303: _CHACHA20}  # RFC 8446, appendix B.4
SUITES_1_2 = {
    0xC02B: _AES_128_GCM, 0xC02F: _AES_128_GCM,  # ECDHE with ECDSA, with RSA: RFC 5289, section 3.2
    0xC02C: _AES_256_GCM, 0xC030: _AES_256_GCM,
    0xCCA9: _CHACHA20, 0xCCA8: _CHACHA20,  # RFC 7905, section 2
}  # fmt: skip


class Opener(Protocol):
    """Opens the records of one direction, one after another."""

    def open(self, header: bytes, fragment: bytes) -> tuple[int, bytes] | None:
        """Decrypt the next record.

        Args:
            header: type, version and length as sent, 5 bytes.
            fragment: what follows them.

        Returns:
            Content type and plaintext; None when it was not encrypted with these keys, or is not the next one.
        """


class Opener12:
    """TLS 1.2: the sequence number and the header are authenticated (RFC 5246, section 6.2.3.3).

    Args:
        suite: one of `SUITES_1_2`.
        key, iv: the direction's write key and write IV.
    """

    def __init__(self, suite: Suite, key: bytes, iv: bytes) -> None:
        self._aead = suite.aead(key)
        self._iv = iv
        self._sequence = 0

    def open(self, header: bytes, fragment: bytes) -> tuple[int, bytes] | None:
        """Decrypt the next record, see `Opener.open`."""
        if len(self._iv) == _NONCE_BYTES:
            nonce, sealed = _masked(self._iv, self._sequence), fragment  # RFC 7905, section 2
        else:
            nonce, sealed = self._iv + fragment[:_EXPLICIT_BYTES], fragment[_EXPLICIT_BYTES:]
        size = len(sealed) - _TAG_BYTES
        if size < 0:
            return None
        authenticated = struct.pack(">Q3sH", self._sequence, header[:3], size)
        self._sequence += 1
        plaintext = _decrypt(self._aead, nonce, sealed, authenticated)
        return None if plaintext is None else (header[0], plaintext)


class Opener13:
    """TLS 1.3: the content type is inside, behind the content and before zeros (RFC 8446, section 5.2).

    Args:
        suite: one of `SUITES_1_3`.
        secret: the direction's traffic secret.
    """

    def __init__(self, suite: Suite, secret: bytes) -> None:
        self._suite = suite
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        """Take up new keys (RFC 8446, section 7.3); records are counted from 0 again (section 5.3)."""
        self._secret = secret
        self._aead = self._suite.aead(_expand_label(self._suite.hash, secret, b"key", self._suite.key_bytes))
        self._iv = _expand_label(self._suite.hash, secret, b"iv", _NONCE_BYTES)
        self._sequence = 0

    def update(self) -> None:
        """Follow a KeyUpdate (RFC 8446, section 7.2)."""
        self._use(_expand_label(self._suite.hash, self._secret, b"traffic upd", self._suite.hash.digest_size))

    def open(self, header: bytes, fragment: bytes) -> tuple[int, bytes] | None:
        """Decrypt the next record, see `Opener.open`."""
        nonce = _masked(self._iv, self._sequence)
        self._sequence += 1
        inner = _decrypt(self._aead, nonce, fragment, header)
        if inner is None:
            return None
        inner = inner.rstrip(b"\0")
        return (inner[-1], inner[:-1]) if inner else None


def openers_1_2(
    suite: Suite, master_secret: bytes, client_random: bytes, server_random: bytes
) -> tuple[Opener12, Opener12]:
    """Derive the keys of a TLS 1.2 connection (RFC 5246, section 6.3; AEAD suites have no MAC keys).

    Returns:
        The openers of what the client and of what the server writes.
    """
    key_bytes, iv_bytes = suite.key_bytes, suite.implicit_iv_bytes
    block = _prf(
        suite.hash, master_secret, b"key expansion" + server_random + client_random, 2 * (key_bytes + iv_bytes)
    )
    keys, ivs = block[: 2 * key_bytes], block[2 * key_bytes :]
    return (
        Opener12(suite, keys[:key_bytes], ivs[:iv_bytes]),
        Opener12(suite, keys[key_bytes:], ivs[iv_bytes:]),
    )


def _decrypt(aead: _Aead, nonce: bytes, sealed: bytes, authenticated: bytes) -> bytes | None:
    try:
        return aead.decrypt(nonce, sealed, authenticated)
    except (InvalidTag, ValueError):  # ValueError: too short to hold a tag or a nonce
        return None


def _masked(iv: bytes, sequence: int) -> bytes:
    """Return the nonce: the sequence number, padded on the left, XORed with the IV (RFC 8446, section 5.3)."""
    return (int.from_bytes(iv) ^ sequence).to_bytes(_NONCE_BYTES)


def _expand_label(algorithm: HashAlgorithm, secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446, section 7.1)."""
    full = b"tls13 " + label
    info = struct.pack(">HB", size, len(full)) + full + b"\0"
    return HKDFExpand(algorithm, size, info).derive(secret)


def _prf(algorithm: HashAlgorithm, secret: bytes, seed: bytes, size: int) -> bytes:
    """Return P_hash of TLS 1.2 (RFC 5246, section 5), `seed` being label and seed."""
    out, step = b"", seed
    while len(out) < size:
        step = _hmac(algorithm, secret, step)
        out += _hmac(algorithm, secret, step + seed)
    return out[:size]


def _hmac(algorithm: HashAlgorithm, key: bytes, message: bytes) -> bytes:
    state = HMAC(key, algorithm)
    state.update(message)
    return state.finalize()
