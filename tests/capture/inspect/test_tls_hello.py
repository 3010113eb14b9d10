"""Handshake messages out of any cut, and what a ServerHello chose."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.inspect.tls_hello import TLS_1_2, TLS_1_3, HandshakeMessages, ServerHello, client_random, server_hello

RANDOM = bytes(range(32))
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def hello(extensions: bytes = b"", random: bytes = RANDOM, session: bytes = b"") -> bytes:
    """Return a ServerHello's body with suite 0x1301."""
    fixed = struct.pack(">H32sB", TLS_1_2, random, len(session)) + session + b"\x13\x01\x00"
    return fixed + (len(extensions).to_bytes(2) + extensions if extensions else b"")


@pytest.mark.parametrize("session", [b"", b"s" * 32])
def test_a_server_hello_of_tls_1_2(session: bytes) -> None:
    """Without extensions, with and without a session's name."""
    assert ServerHello(TLS_1_2, 0x1301, RANDOM, retry=False) == server_hello(hello(session=session))


@pytest.mark.parametrize("before", [b"", b"\x00\x33\x00\x02\xab\xcd"])
def test_a_server_hello_of_tls_1_3(before: bytes) -> None:
    """The extension says the version, wherever it stands."""
    assert ServerHello(TLS_1_3, 0x1301, RANDOM, retry=False) == server_hello(hello(before + b"\0\x2b\0\2\3\4"))


def test_a_hello_retry_request_is_known_by_its_random() -> None:
    """RFC 8446, section 4.1.3."""
    found = server_hello(hello(b"\0\x2b\0\2\3\4", RETRY))
    assert found is not None
    assert found.retry


@pytest.mark.parametrize("size", range(37))
def test_a_hello_that_is_cut_short_is_none(size: int) -> None:
    """Before its cipher suite is there."""
    assert None is server_hello(hello()[:size])
    assert (None if size < 34 else RANDOM) == client_random((b"\x03\x03" + RANDOM + bytes(10))[:size])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_hello_or_none(body: bytes) -> None:
    """Never an exception."""
    assert isinstance(server_hello(body), ServerHello | None)


@given(
    messages=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=6),
    cuts=st.sets(st.integers(0, 300)),
)
def test_messages_are_whole_whatever_the_cut(messages: list[tuple[int, bytes]], cuts: set[int]) -> None:
    """Records may hold several, or a part of one."""
    stream = b"".join(bytes([kind]) + len(body).to_bytes(3) + body for kind, body in messages)
    reader = HandshakeMessages()
    parts = [stream[at:end] for at, end in pairwise([0, *sorted(cuts), max(len(stream), 301)])]
    assert messages == [message for part in parts for message in reader.take(part)]
    assert not reader.oversized


def test_a_message_too_large_to_be_true_ends_it() -> None:
    """Nothing is read behind it."""
    reader = HandshakeMessages()
    assert [(1, b"")] == list(reader.take(b"\x01\0\0\0" + b"\x02\xff\xff\xff"))
    assert reader.oversized
    assert [] == list(reader.take(b"\x01\0\0\0"))
