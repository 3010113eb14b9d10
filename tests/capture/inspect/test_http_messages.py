"""A message ends where its receiver would say that it ends; whole conversations are in test_messages.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.inspect.http_messages import HttpMessage, HttpReader, NotHttp

REQUEST = b"POST /order HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=1"
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + BODY
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\n{}\r\n0\r\nDate: today\r\n\r\n"
NO_BODY = b"HTTP/1.1 204 No Content\r\n\r\n"


@given(
    case=st.sampled_from([(None, REQUEST), (b"GET", BODY), (b"GET", INTERIM), (b"GET", CHUNKED), (b"GET", NO_BODY)]),
    cut=st.integers(0, 200),
    behind=st.binary(max_size=20),
)
def test_the_end_is_found_wherever_it_is_cut(case: tuple[bytes | None, bytes], cut: int, behind: bytes) -> None:
    """Not before its last byte, and what follows is counted."""
    answers, whole = case
    cut = 1 + cut % (len(whole) - 1)
    reader = HttpReader(answers)
    assert None is reader.take(whole[:cut])
    method = b"" if answers else b"POST"
    assert HttpMessage(method, len(behind), is_upgrade=False, extensions="") == reader.take(whole[cut:] + behind)


def test_a_reply_to_head_has_no_body() -> None:
    """Whatever length it names."""
    message = HttpReader(b"HEAD").take(BODY)
    assert message is not None
    assert 2 == message.behind


def test_only_a_body_without_a_length_ends_with_the_connection() -> None:
    """Any other is cut short."""
    reader = HttpReader(b"GET")
    assert None is reader.take(b"HTTP/1.1 200 OK\r\n\r\nsome")
    assert HttpMessage(b"", 0, is_upgrade=False, extensions="") == reader.take(b"")
    for answers, cut in ((b"GET", BODY[:-1]), (b"GET", BODY[:9]), (None, REQUEST[:-1])):
        reader = HttpReader(answers)
        assert None is reader.take(cut)
        with pytest.raises(NotHttp):
            reader.take(b"")


def test_upgrades() -> None:
    """Asked for, granted, or neither; the header's value in any case, extensions of several headers as one."""
    ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    grant = (
        b"HTTP/1.1 101 \r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b; c\r\n\r\n"
    )
    assert HttpMessage(b"GET", 1, is_upgrade=True, extensions="") == HttpReader(None).take(ask + b"x")
    assert HttpMessage(b"", 2, is_upgrade=True, extensions="a, b; c") == HttpReader(b"GET").take(grant + b"\x81\0")
    for refused in (b"HTTP/1.1 426 No\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n", NO_BODY):
        message = HttpReader(b"GET").take(refused)
        assert message is not None
        assert not message.is_upgrade


@pytest.mark.parametrize("answers", [None, b"GET"])
@pytest.mark.parametrize("data", [b"\x00\x01", b"8=FIX.4.4\r\n\r\n", b"x" * 70_000])
def test_other_bytes_are_no_http(answers: bytes | None, data: bytes) -> None:
    """Nor is a head without an end."""
    with pytest.raises(NotHttp):
        HttpReader(answers).take(data)
