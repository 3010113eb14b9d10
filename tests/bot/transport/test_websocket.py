"""The WebSocket client against the `websockets` library's own server: any cut of the stream gives the same messages."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bot.errors import TransportError
from bot.transport.websocket import WebSocketClient

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
URL = "ws://127.0.0.1:8080/stream?streams=btcusdt@trade"


class Server(ServerProtocol):
    """The peer: what it says is collected, what it hears is kept."""

    def __init__(self, *, deflate: bool = False) -> None:
        super().__init__(extensions=[ServerPerMessageDeflateFactory()] if deflate else None, max_size=None)
        self.heard: list[Frame] = []

    def take(self, data: bytes) -> None:
        """Take the client's bytes; accept its handshake."""
        self.receive_data(data)
        for event in self.events_received():
            if isinstance(event, Request):
                self.send_response(self.accept(event))
            else:
                assert isinstance(event, Frame)
                self.heard.append(event)

    def said(self) -> bytes:
        """Return the bytes that it has said since the last time."""
        return b"".join(self.data_to_send())

    def tell(self, payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
        """Return the bytes of a message."""
        (self.send_text if opcode is Opcode.TEXT else self.send_binary)(payload)
        return self.said()


def connected(*, deflate: bool = False, **options: int) -> tuple[Server, WebSocketClient]:
    """Return both ends after the handshake."""
    server, client = Server(deflate=deflate), WebSocketClient(URL, compress=deflate, **options)
    server.take(client.handshake())
    assert [] == list(client.receive(server.said()))
    assert client.opened
    return server, client


def frame(payload: bytes, first: int = 0x81, mask: bytes = b"") -> bytes:
    """Return a frame built by hand (RFC 6455, section 5.2)."""
    size = len(payload)
    flag = 0x80 if mask else 0
    if size < 126:
        head = bytes((first, flag | size))
    elif size < 65536:
        head = bytes((first, flag | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, flag | 127)) + size.to_bytes(8, "big")
    return head + mask + payload


# -- handshake --------------------------------------------------------------------------------------------------------


def test_the_handshake_asks_for_the_path() -> None:
    """With the query, and without compression unless it is wanted."""
    request = WebSocketClient(URL).handshake()
    assert request.startswith(b"GET /stream?streams=btcusdt@trade HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
    assert b"permessage-deflate" not in request
    assert b"permessage-deflate" in WebSocketClient(URL, compress=True).handshake()


@pytest.mark.parametrize("cut", range(0, 140, 9))
def test_messages_may_follow_the_handshake_in_one_segment(cut: int) -> None:
    """Wherever the network cuts: a venue sends at once what the path subscribes to."""
    server, client = Server(), WebSocketClient(URL)
    server.take(client.handshake())
    wire = server.said() + server.tell(b"first") + server.tell(b"second")
    messages = [*client.receive(wire[:cut]), *client.receive(wire[cut:])]
    assert [(b"first", len(frame(b"second"))), (b"second", 0)] == messages


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the WebSocket handshake was refused: HTTP/1.1 403 Forbidden"),
        (
            b'HTTP/1.1 400 Bad Request\r\nContent-Length: 40\r\n\r\n{"code":-1121,',
            'the WebSocket handshake was refused: HTTP/1.1 400 Bad Request {"code":-1121,',
        ),
        (b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", "refused: HTTP/1.1 301 Moved"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", "refused: HTTP/1.1 200 OK"),
        (b"\x15\x03\x01\r\n\r\n", "the WebSocket handshake was refused"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the WebSocket handshake failed: missing Connection header"),
        (
            UPGRADE + b"Sec-WebSocket-Accept: bm90IHRoZSBvbmUgdGhhdCBpcyBkdWU=\r\n\r\n",
            "the WebSocket handshake failed: invalid Sec-WebSocket-Accept header",
        ),
        (b"x" * 70_000, "no end within 65,536 bytes"),
    ],
)
def test_a_refused_handshake_is_told_in_the_peers_words(reply: bytes, words: str) -> None:
    """At once, also when the body of the refusal has not come yet."""
    client = WebSocketClient(URL)
    client.handshake()
    with pytest.raises(TransportError) as raised:
        client.receive(reply)
    assert words in str(raised.value)
    assert not client.opened


def test_a_url_that_is_none_is_refused() -> None:
    """By name."""
    with pytest.raises(TransportError, match=r"https://example\.com"):
        WebSocketClient("https://example.com")


# -- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 125, 126, 127, 65_535, 65_536, 200_000])
def test_every_form_of_length(size: int) -> None:
    """7 bits, 16 and 64, in both directions."""
    server, client = connected()
    payload = b"p" * size
    for opcode in (Opcode.TEXT, Opcode.BINARY):
        assert [(payload, 0)] == list(client.receive(server.tell(payload, opcode)))
    server.take(client.frame(payload))
    assert [(Opcode.TEXT, payload)] == [(each.opcode, each.data) for each in server.heard]


@pytest.mark.parametrize("size", [0, 1, 5, 126, 300, 65_536])
def test_a_byte_at_a_time(size: int) -> None:
    """No single byte is taken for a message, and the frame behind is not lost."""
    server, client = connected()
    wire = server.tell(b"first") + server.tell(b"x" * size) + server.tell(b"last")
    messages = [message for at in range(len(wire)) for message in client.receive(wire[at : at + 1])]
    assert [(b"first", 0), (b"x" * size, 0), (b"last", 0)] == messages


Say = Callable[[Server], tuple[bytes, bytes | None]]


def ping(server: Server) -> tuple[bytes, None]:
    server.send_ping(b"are you there")
    return server.said(), None


def fragmented(server: Server) -> tuple[bytes, bytes]:
    server.send_text(b"one ", fin=False)
    server.send_continuation(b"", fin=False)
    server.send_ping(b"between")
    server.send_continuation(b"two", fin=True)
    return server.said(), b"one two"


def pong(server: Server) -> tuple[bytes, None]:
    server.send_pong(b"unasked")
    return server.said(), None


def telling(payload: bytes) -> Say:
    return lambda server: (server.tell(payload), payload)


things_to_say = st.lists(
    st.one_of(
        st.sampled_from([ping, pong, fragmented]), st.binary(max_size=300).map(telling), st.just(telling(b"b" * 70_000))
    ),
    min_size=1,
    max_size=6,
)


@given(said=things_to_say, deflate=st.booleans(), data=st.data())
def test_any_cut_gives_the_same_messages(said: list[Say], data: st.DataObject, *, deflate: bool) -> None:
    """Each with the number of bytes behind its last byte; every ping is answered, in order."""
    server, client = connected(deflate=deflate)
    wire, expected = b"", []
    for say in said:
        words, message = say(server)
        wire += words
        if message is not None:
            expected.append((message, len(wire)))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(wire) - 1, 1)), max_size=12)))
    messages = []
    for at, end in pairwise([0, *(cut for cut in cuts if cut < len(wire)), len(wire)]):
        messages += [(payload, end - behind) for payload, behind in client.receive(wire[at:end])]
    assert expected == messages
    assert client.closed is None
    pings = [b"are you there" if say is ping else b"between" for say in said if say in {ping, fragmented}]
    assert client.speaks or not pings
    server.take(client.pending())
    assert [(Opcode.PONG, words) for words in pings] == [(each.opcode, each.data) for each in server.heard]
    assert not client.speaks


def test_compressed_messages_are_inflated() -> None:
    """Where it was negotiated."""
    server, client = connected(deflate=True)
    wire = server.tell(b"abc" * 1000)
    assert len(wire) < 300
    assert [(b"abc" * 1000, 0)] == list(client.receive(wire))


@given(payload=st.binary(max_size=70_000))
def test_what_is_sent_is_masked_with_a_key_of_its_own(payload: bytes) -> None:
    """RFC 6455, section 5.3: a fresh, unpredictable key each time; 1,024 of them are drawn at once."""
    server, client = connected()
    server.take(client.frame(payload) + client.frame(payload))
    assert [payload, payload] == [each.data for each in server.heard]


def test_masking_keys_do_not_repeat() -> None:
    """Over more than one draw from the system's generator."""
    _, client = connected()
    keys = {client.frame(b"x")[2:6] for _ in range(3_000)}
    assert len(keys) > 2_990


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_close_is_answered_and_told() -> None:
    """With the peer's code and reason; what came before it is delivered, what comes after is not."""
    server, client = connected()
    server.send_close(1008, "disconnected after 24 h")
    wire = frame(b"last") + server.said() + frame(b"ghost")
    assert [b"last"] == [payload for payload, _ in client.receive(wire)]
    assert "the peer closed: 1008 (policy violation) disconnected after 24 h" == client.closed
    server.take(client.pending())
    assert [Opcode.CLOSE] == [each.opcode for each in server.heard]


def test_closing_says_goodbye_once() -> None:
    """Normal closure, code 1000."""
    server, client = connected()
    server.take(client.close())
    assert [(Opcode.CLOSE, b"\x03\xe8")] == [(each.opcode, each.data) for each in server.heard]
    assert b"" == client.close()


def test_closing_before_the_handshake_says_nothing() -> None:
    """There is nobody to say it to."""
    client = WebSocketClient(URL)
    client.handshake()
    assert b"" == client.close()


@pytest.mark.parametrize(
    "wire",
    [
        frame(b"price", mask=b"key!"),
        frame(b"p" * 300, mask=b"key!"),
        frame(b"price", first=0xC1),  # compressed, which was not negotiated
        frame(b"price", first=0x83),  # an opcode without a meaning
        frame(b"price", first=0x80),  # a continuation of nothing
        frame(b"price", first=0x01) + frame(b"price"),  # a new message within one that has not ended
        frame(b"p" * 126, first=0x89),  # a control frame has 125 bytes at most
        frame(b"", first=0x09),  # and is never fragmented
        frame(b"\x00", first=0x88),  # a close code has two bytes
    ],
)
def test_whoever_breaks_the_protocol_is_told_so(wire: bytes) -> None:
    """The connection is over, with the reason, and a close frame with code 1002 for the peer."""
    _, client = connected()
    before = list(client.receive(frame(b"sound") + wire + frame(b"ghost")))
    assert [b"sound"] == [payload for payload, _ in before]
    assert client.closed is not None
    assert client.closed.startswith("the peer broke the WebSocket protocol: ")
    assert client.pending().startswith(b"\x88")


@pytest.mark.parametrize("size", [1_001, 70_000, 2**40, 2**63])
def test_a_message_above_the_limit_ends_the_connection(size: int) -> None:
    """As soon as its length is known; nothing of it is kept."""
    _, client = connected(max_bytes=1_000)
    length = b"\x7e" + size.to_bytes(2, "big") if size < 65_536 else b"\x7f" + size.to_bytes(8, "big")
    messages = list(client.receive(frame(b"sound") + b"\x81" + length + b"p" * 2_000))
    assert [b"sound"] == [payload for payload, _ in messages]
    assert f"a message of {size:,} bytes exceeds the limit of 1,000" == client.closed


def test_a_message_at_the_limit_is_delivered() -> None:
    """The limit is the largest that is accepted."""
    _, client = connected(max_bytes=1_000)
    assert [(b"p" * 1_000, 0)] == list(client.receive(frame(b"p" * 1_000)))


def test_fragments_above_the_limit_end_the_connection() -> None:
    """However small each is."""
    _, client = connected(max_bytes=1_000)
    client.receive(frame(b"p" * 600, first=0x01) + frame(b"p" * 600, first=0x00))
    assert client.closed is not None
    assert "exceed" in client.closed


@given(noise=st.lists(st.binary(max_size=80), max_size=6))
def test_noise_never_raises(noise: list[bytes]) -> None:
    """It is messages, or nothing, or the end."""
    _, client = connected()
    for data in noise:
        if data and client.closed is None:
            assert all(isinstance(payload, bytes) for payload, _ in client.receive(data))
