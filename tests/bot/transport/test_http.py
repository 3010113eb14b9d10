"""The HTTP client: whole replies out of any cut of the stream, and what ends a connection."""

import contextlib
import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import TransportError
from bot.transport.http import HttpClient, Response

REPLY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"serverTime":123456'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n"


@pytest.fixture
def client() -> HttpClient:
    """A client that has asked for something."""
    made = HttpClient("127.0.0.1:8080")
    made.request("GET", "/api/v3/time")
    return made


def test_a_request_names_its_host() -> None:
    """And has no body unless it is given one."""
    expected = b"GET /api/v3/time HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-One: 1\r\n\r\n"
    assert expected == HttpClient("127.0.0.1:8080").request("GET", "/api/v3/time", {"X-One": "1"})


@pytest.mark.parametrize(("body", "length"), [(b"", b"0"), (b"a=1", b"3")])
def test_a_body_has_its_length(body: bytes, length: bytes) -> None:
    """A POST without a body says so (RFC 9110, section 8.6)."""
    request = HttpClient("h").request("POST", "/order", None, body)
    assert b"Content-Length: " + length + b"\r\n\r\n" + body in request


@given(reply=st.sampled_from([REPLY, CHUNKED]), cuts=st.sets(st.integers(1, 60), max_size=8))
def test_any_cut_gives_the_whole_reply_once(reply: bytes, cuts: set[int]) -> None:
    """With its length or in chunks."""
    client = HttpClient("h")
    client.request("GET", "/")
    replies = [each for at, end in pairwise([0, *sorted(cuts), len(reply)]) for each in client.receive(reply[at:end])]
    body = b"abcdefg" if reply is CHUNKED else b'{"serverTime":123456'
    assert [(200, body, 0)] == [(each.status, each.body, behind) for each, behind in replies]


def test_header_names_are_lower_case(client: HttpClient) -> None:
    """They know no case on the wire (RFC 9110, section 5.1)."""
    ((reply, _),) = client.receive(REPLY)
    assert Response(200, {"content-type": "application/json", "content-length": "20"}, REPLY[-20:]) == reply


@pytest.mark.parametrize("status", [204, 304])
def test_a_reply_without_a_body_ends_with_its_headers(client: HttpClient, status: int) -> None:
    """RFC 9112, section 6.3."""
    ((reply, _),) = client.receive(f"HTTP/1.1 {status} Words\r\n\r\n".encode())
    assert (status, b"") == (reply.status, reply.body)


def test_informational_replies_come_before_the_real_one(client: HttpClient) -> None:
    """RFC 9110, section 15.2."""
    ((reply, _),) = client.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n" + REPLY)
    assert 200 == reply.status


def test_a_connection_carries_one_request_after_another(client: HttpClient) -> None:
    """As long as the peer keeps it open."""
    for _ in range(3):
        assert 1 == len(client.receive(REPLY))
        assert client.closed is None
        client.request("GET", "/api/v3/depth")
    assert 1 == len(client.receive(CHUNKED))


def test_only_one_request_is_under_way(client: HttpClient) -> None:
    """A second would take the first one's reply for its own."""
    with pytest.raises(TransportError, match="cannot take another request"):
        client.request("GET", "/")
    client.receive(REPLY[:-1])
    with pytest.raises(TransportError, match="cannot take another request"):
        client.request("GET", "/")


def test_a_peer_that_will_close_takes_no_further_request(client: HttpClient) -> None:
    """The reply itself is sound."""
    assert 1 == len(client.receive(REPLY.replace(b"Content-Type: application/json", b"Connection: close")))
    assert "the peer closes after this reply" == client.closed
    with pytest.raises(TransportError):
        client.request("GET", "/")


def test_a_tunnel_begins_behind_the_reply_to_connect() -> None:
    """A 2xx has no body, whatever its headers say (RFC 9110, section 9.3.6)."""
    client = HttpClient("example.com:443")
    assert b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n" == client.request(
        "CONNECT", "example.com:443"
    )
    ((reply, _),) = client.receive(b"HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n")
    assert (200, b"") == (reply.status, reply.body)


def test_a_proxy_that_refuses_is_heard_out() -> None:
    """Its reply has a body as any other."""
    client = HttpClient("example.com:443")
    client.request("CONNECT", "example.com:443")
    ((reply, _),) = client.receive(b"HTTP/1.1 407 Login\r\nContent-Length: 5\r\n\r\nlogin")
    assert (407, b"login") == (reply.status, reply.body)


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
def test_whoever_breaks_the_protocol_is_named(client: HttpClient, wire: bytes) -> None:
    """The connection is over."""
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:8080 broke the HTTP protocol"):
        client.receive(wire)


def test_a_body_above_the_limit_is_refused() -> None:
    """Before all of it is here."""
    client = HttpClient("h", max_bytes=1_000)
    client.request("GET", "/")
    with pytest.raises(TransportError, match="a reply exceeds 1,000 bytes"):
        client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 1_001)


def test_a_body_is_handed_on_as_it_was_sent(client: HttpClient) -> None:
    """Nothing was offered, so nothing is decoded."""
    body = gzip.compress(b"{}")
    ((reply, _),) = client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert body == reply.body


def test_http_says_nothing_by_itself(client: HttpClient) -> None:
    """Neither pongs nor goodbyes."""
    assert (b"", b"", False) == (client.pending(), client.close(), client.speaks)


@given(noise=st.lists(st.binary(max_size=200), max_size=4))
def test_noise_is_a_reply_or_a_transport_error(noise: list[bytes]) -> None:
    """Never another exception, and never more replies than requests."""
    client = HttpClient("h")
    client.request("GET", "/")
    replies: list[Response] = []
    with contextlib.suppress(TransportError):
        for data in noise:
            if data:
                replies += [reply for reply, _ in client.receive(b"HTTP/1.1 200 OK\r\n" + data)]
    assert len(replies) <= 1
    assert all(reply.status == 200 for reply in replies)
