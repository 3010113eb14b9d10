"""The byte streams: whatever the cuts of the ciphertext, the plaintext is the same, and so is where it ended."""

import ssl
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import TransportError
from bot.transport.streams import PlainStream, TlsStream
from sandbox.certificate import server_context

SUITES = {
    "TLS 1.3": (ssl.TLSVersion.TLSv1_3, None),
    "TLS 1.2 GCM": (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    "TLS 1.2 ChaCha20": (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305"),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with the server's certificate, and its authority."""
    folder = tmp_path_factory.mktemp("certificates")
    return folder, server_context(folder, datetime.now(UTC))[1]


class Server:
    """A TLS server in memory, made by the standard library alone."""

    def __init__(self, certificates: tuple[Path, Path], suite: str = "TLS 1.3") -> None:
        context, _ = server_context(certificates[0], datetime.now(UTC))
        context.maximum_version = context.minimum_version = SUITES[suite][0]
        if SUITES[suite][1] is not None:
            context.set_ciphers(SUITES[suite][1] or "")
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def take(self, data: bytes) -> bytes:
        """Take bytes of the wire and return the plaintext in them."""
        self._incoming.write(data)
        plaintext = b""
        try:
            while more := self.tls.read(65536):
                plaintext += more
        except ssl.SSLWantReadError:
            pass
        return plaintext

    def sealed(self, plaintext: bytes = b"") -> bytes:
        """Return the bytes of the wire that carry this plaintext, behind whatever waits to be sent."""
        if plaintext:
            self.tls.write(plaintext)
        return self._outgoing.read()


def trusting(certificates: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates[1])


def connected(certificates: tuple[Path, Path], suite: str = "TLS 1.3") -> tuple[Server, TlsStream, int]:
    """Return both ends after the handshake, and how many bytes the client has received."""
    server, client, received = Server(certificates, suite), TlsStream(trusting(certificates), "localhost"), 0
    while not client.established:
        server.take(client.pending())
        words = server.sealed()
        assert [] == client.receive(memoryview(words), received)
        received += len(words)
    server.take(client.pending())
    return server, client, received


@pytest.mark.parametrize("suite", SUITES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(messages=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8), data=st.data())
def test_any_cut_of_the_ciphertext_gives_the_same_chunks(
    certificates: tuple[Path, Path], suite: str, messages: list[bytes], data: st.DataObject
) -> None:
    """Every chunk is one record's plaintext, and its end is the stream offset behind that record."""
    server, client, start = connected(certificates, suite)
    wire, expected = server.sealed(), []  # the session tickets of TLS 1.3 carry no plaintext
    for message in messages:
        wire += server.sealed(message)
        expected.append((message, start + len(wire)))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=20)))
    chunks = []
    for at, end in pairwise([0, *cuts, len(wire)]):
        arrived = client.receive(memoryview(wire)[at:end], start + at)
        assert all(off <= start + end for _, off in arrived)
        chunks += arrived
    assert expected == chunks


@pytest.mark.parametrize("suite", SUITES)
def test_a_byte_at_a_time(certificates: tuple[Path, Path], suite: str) -> None:
    """The finest cut, through the handshake as well."""
    server, client, received = Server(certificates, suite), TlsStream(trusting(certificates), "localhost"), 0
    chunks = []
    for message in (b"", b"", b"first", b"second"):
        server.take(client.pending())
        wire = server.sealed(message if client.established else b"")
        for at in range(len(wire)):
            chunks += client.receive(memoryview(wire)[at : at + 1], received + at)
        received += len(wire)
        if message and client.established:
            assert (message, received) == chunks[-1]
    assert client.established
    assert [b"first", b"second"] == [plaintext for plaintext, _ in chunks]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", [1, 126, 16_384, 16_385, 100_000])
def test_what_is_sealed_is_what_the_peer_reads(certificates: tuple[Path, Path], suite: str, size: int) -> None:
    """One record up to 16,384 bytes, as many as it takes beyond."""
    server, client, _ = connected(certificates, suite)
    plaintext = bytes(range(256)) * (size // 256 + 1)
    sealed = client.seal(plaintext[:size])
    records, at = 0, 0
    while at < len(sealed):
        at += 5 + int.from_bytes(sealed[at + 3 : at + 5], "big")
        records += 1
    assert -(-size // 16_384) == records
    assert plaintext[:size] == server.take(sealed)


@pytest.mark.parametrize("suite", SUITES)
def test_a_large_message_ends_with_its_last_record(certificates: tuple[Path, Path], suite: str) -> None:
    """A peer's message of several records comes as several chunks, each at its own offset."""
    server, client, start = connected(certificates, suite)
    wire = server.sealed(b"x" * 40_000)
    chunks = client.receive(memoryview(wire), start)
    assert [b"x" * 40_000, start + len(wire)] == [b"".join(text for text, _ in chunks), chunks[-1][1]]
    assert sorted({off for _, off in chunks}) == [off for _, off in chunks]


def test_version_and_cipher_are_described(certificates: tuple[Path, Path]) -> None:
    """For the journal; plain TCP has neither."""
    assert {"tls": "TLSv1.2", "cipher": "ECDHE-ECDSA-CHACHA20-POLY1305"} == connected(certificates, "TLS 1.2 ChaCha20")[
        1
    ].describe()
    assert {"tls": None, "cipher": None} == PlainStream().describe()


def handshake_error(certificates: tuple[Path, Path], context: ssl.SSLContext, name: str) -> str:
    server, client = Server(certificates), TlsStream(context, name)
    server.take(client.pending())
    with pytest.raises(TransportError) as raised:
        client.receive(memoryview(server.sealed()), 0)
    return str(raised.value)


def test_an_unknown_authority_is_refused(certificates: tuple[Path, Path]) -> None:
    """In words for a person."""
    words = handshake_error(certificates, ssl.create_default_context(), "localhost")
    assert "the certificate of localhost is refused: unable to get local issuer certificate" == words


def test_a_certificate_for_another_name_is_refused(certificates: tuple[Path, Path]) -> None:
    """With the name that was expected."""
    words = handshake_error(certificates, trusting(certificates), "example.com")
    assert words.startswith("the certificate of example.com is refused: Hostname mismatch")


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\x00\x04abcd", b"SSH-2.0-OpenSSH\r\n"]
)
def test_a_peer_that_does_not_speak_tls_is_named(certificates: tuple[Path, Path], reply: bytes) -> None:
    """At once, not when the time runs out."""
    client = TlsStream(trusting(certificates), "localhost")
    with pytest.raises(TransportError, match="TLS with localhost failed"):
        client.receive(memoryview(reply), 0)


def test_a_record_that_was_changed_on_the_way_ends_the_stream(certificates: tuple[Path, Path]) -> None:
    """Its authentication tag does not fit."""
    server, client, start = connected(certificates)
    wire = bytearray(server.sealed(b"price"))
    wire[-1] ^= 1
    with pytest.raises(TransportError, match="TLS with localhost failed"):
        client.receive(memoryview(bytes(wire)), start)


def test_a_goodbye_is_no_plaintext(certificates: tuple[Path, Path]) -> None:
    """The end of the TCP stream follows it."""
    server, client, start = connected(certificates)
    wire = server.sealed(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        server.tls.unwrap()
    chunks = client.receive(memoryview(wire + server.sealed()), start)
    assert [(b"last", start + len(wire))] == chunks


def test_plain_tcp_passes_through() -> None:
    """With the offset behind the last byte, and nothing of its own to say."""
    stream = PlainStream()
    assert [(b"abc", 10)] == stream.receive(memoryview(b"abc"), 7)
    assert b"abc" == stream.seal(b"abc")
    assert (b"", True, True) == (stream.pending(), stream.established, stream.transparent)
