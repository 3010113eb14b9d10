"""Records to messages: a real conversation in any cut is what its two ends said; what is none is given as it came."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from capture.inspect import messages as messages_module
from capture.inspect.inspection import Decrypted
from capture.inspect.messages import Kind, Message, messages
from capture.inspect.tls import ContentType, Plain

CLIENT, SERVER = 0, 1
ENDS = ("10.0.0.1:4000", "10.0.0.2:443")
Said = list[tuple[int, bytes]]  # side and plaintext of each record
Heard = list[tuple[int, Kind, bytes]]
ASK = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
GET, OK = b"GET /time HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def records(said: Said, connection: int = 0, content_type: int = ContentType.APPLICATION_DATA) -> list[Decrypted]:
    """Return what `Inspection` makes of them: each record ends 100 bytes behind the last, a ns later."""
    return [
        Decrypted(at, ENDS[side], ENDS[1 - side], 7, connection, Plain(side, 100 * at, content_type, data))
        for at, (side, data) in enumerate(said)
    ]


def heard(said: Said) -> Heard:
    """Return side, kind and bytes of their messages."""
    return [(ENDS.index(each.sender), each.kind, each.data) for each in messages(records(said))]


def of(side: int, found: Heard) -> Heard:
    """Return one side's messages."""
    return [each for each in found if each[0] == side]


class Pair:
    """A WebSocket's two ends.

    Attributes:
        said: records, each of what one end had to send at once.
        expected: their messages.
    """

    def __init__(self, *, deflate: bool = False, takeover: bool = True) -> None:
        offered = [ClientPerMessageDeflateFactory(client_max_window_bits=True, server_max_window_bits=10)]
        granted = [ServerPerMessageDeflateFactory(not takeover, not takeover, client_max_window_bits=9)]
        client = ClientProtocol(parse_uri("wss://x/ws"), extensions=offered if deflate else None)
        server = ServerProtocol(extensions=granted if deflate else None)
        self.ends = client, server
        self.said: Said = []
        self.expected: Heard = []
        client.send_request(client.connect())
        self.flush(CLIENT)
        (request,) = server.events_received()
        server.send_response(server.accept(request))
        self.flush(SERVER)
        assert deflate is bool(client.extensions)
        self.expected = [(side, Kind.HTTP, data) for side, data in self.said]

    def flush(self, side: int) -> None:
        """Send what waits, as one record."""
        data = b"".join(self.ends[side].data_to_send())
        self.said.append((side, data))
        self.ends[1 - side].receive_data(data)

    def talk(self, lines: Sequence[tuple[int, bytes]]) -> None:
        """Say lines: text, in one frame, or binary in two with a ping between them when it is no UTF-8."""
        for side, line in lines:
            end = self.ends[side]
            try:
                line.decode()
            except UnicodeDecodeError:
                end.send_binary(line[:1], fin=False)
                end.send_ping(b"still there?")
                end.send_continuation(line[1:], fin=True)
                self.expected += [(side, Kind.PING, b"still there?"), (side, Kind.BINARY, line)]
                self.expected.append((1 - side, Kind.PONG, b"still there?"))
                self.flush(side)
                self.flush(1 - side)
            else:
                end.send_text(line)
                self.expected.append((side, Kind.TEXT, line))
                self.flush(side)


LINES = [
    (CLIENT, b'{"method":"order.place","params":{"apiKey":"k"}}'),
    (SERVER, b'{"e":"trade"}' * 40),
    (SERVER, b"\xff\x00 of no text"),
    (CLIENT, b"\\x41 is no escape"),
    (CLIENT, b""),
    (CLIENT, "π".encode() * 30_000),
    (SERVER, b'{"e":"trade"}' * 40),
]


@pytest.mark.parametrize(("deflate", "takeover"), [(False, True), (True, True), (True, False)])
def test_a_websocket(*, deflate: bool, takeover: bool) -> None:
    """Handshake as it is, then each message once, unmasked and inflated; at the end the close's code."""
    pair = Pair(deflate=deflate, takeover=takeover)
    pair.talk(LINES)
    pair.ends[SERVER].send_close(1001, "bye")
    pair.flush(SERVER)
    for side in (CLIENT, SERVER):
        expected = of(side, pair.expected) + [(side, Kind.CLOSE, b"1001 (going away) bye")] * (side == SERVER)
        assert expected == of(side, heard(pair.said))


@settings(max_examples=100, deadline=None)
@given(
    lines=st.lists(st.tuples(st.sampled_from([CLIENT, SERVER]), st.binary(min_size=2, max_size=200)), max_size=6),
    cuts=st.sets(st.integers(1, 2000), max_size=12),
    deflate=st.booleans(),
)
def test_a_websocket_in_any_cut(lines: list[tuple[int, bytes]], cuts: set[int], *, deflate: bool) -> None:
    """Records may hold parts of messages, or many; the directions may be read one after the other."""
    pair = Pair(deflate=deflate)
    pair.talk(lines)
    streams = [b"".join(data for side, data in pair.said if side == each) for each in (CLIENT, SERVER)]
    said = [
        (side, stream[at:end])
        for side, stream in enumerate(streams)
        for at, end in pairwise([0, *sorted(cuts), max(len(stream), 2001)])
    ]
    for order in (said, sorted(said, key=lambda part: -part[0])):
        for side in (CLIENT, SERVER):
            assert of(side, pair.expected) == of(side, heard(order))


def test_a_message_has_the_place_of_the_record_in_which_it_ends() -> None:
    """As the trader's journal says it; two that end in one record share it."""
    pair = Pair()
    head, server = pair.said
    frame = b"\x81\x03one"
    said = [head, (SERVER, server[1] + frame[:2]), (SERVER, frame[2:] + b"\x81\x03two")]
    expected = [
        Message(0, *ENDS, 7, 0, Kind.HTTP, head[1]),
        Message(1, *ENDS[::-1], 7, 100, Kind.HTTP, server[1]),
        Message(2, *ENDS[::-1], 7, 200, Kind.TEXT, b"one"),
        Message(2, *ENDS[::-1], 7, 200, Kind.TEXT, b"two"),
    ]
    assert expected == list(messages(records(said)))


def test_http_before_and_instead_of_a_websocket() -> None:
    """Several on one connection, pipelined; a refused upgrade goes on as HTTP."""
    head = GET.replace(b"GET", b"HEAD")
    no_body, chunked = (
        OK[:-2],
        (b"HTTP/1.1 426 No\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    )
    said = [(CLIENT, GET + head), (SERVER, OK + no_body), (CLIENT, ASK), (SERVER, chunked[:50]), (CLIENT, GET[:9])]
    said += [(SERVER, chunked[50:]), (CLIENT, GET[9:]), (SERVER, b"HTTP/1.1 200 OK\r\n\r\nto the "), (SERVER, b"end")]
    expected = [(CLIENT, GET), (CLIENT, head), (SERVER, OK), (SERVER, no_body), (CLIENT, ASK), (SERVER, chunked)]
    expected += [(CLIENT, GET), (SERVER, b"HTTP/1.1 200 OK\r\n\r\nto the end")]
    assert [(side, Kind.HTTP, data) for side, data in expected] == heard(said)


def test_what_is_neither_is_given_record_by_record() -> None:
    """From the first byte on, from where it breaks, and what is left at the end."""
    said = [(CLIENT, b"8=FIX.4.4\n"), (SERVER, b"\x00\x01\n"), (CLIENT, b"10=000\n")]
    for side in (CLIENT, SERVER):
        assert [(who, Kind.DATA, data) for who, data in said if who == side] == of(side, heard(said))
    pair = Pair()
    broken = [(SERVER, b"\x81\x02ok\xf3\x00"), (SERVER, b"more"), (CLIENT, b"\x81\x85half")]
    expected = [(SERVER, Kind.TEXT, b"ok"), (SERVER, Kind.DATA, b"\xf3\x00"), (SERVER, Kind.DATA, b"more")]
    expected.append((CLIENT, Kind.DATA, b"\x81\x85half"))
    assert pair.expected + expected == heard(pair.said + broken)
    assert [(SERVER, Kind.DATA, OK[:-1])] == heard([(SERVER, OK[:-1])])
    begun = pair.said[1][1] + b"\x01\x02ha"
    assert [*pair.expected, (SERVER, Kind.DATA, b"\x01\x02ha")] == heard([pair.said[0], (SERVER, begun)])


def test_a_handshake_whose_reply_is_missing() -> None:
    """Nothing says how the frames are compressed: they are given as they are."""
    pair = Pair()
    frame = b"\x81\x80abcd"
    assert [pair.expected[0], (CLIENT, Kind.DATA, frame)] == heard([pair.said[0], (CLIENT, frame)])


def test_a_reply_that_is_none_is_not_waited_for() -> None:
    """The client's bytes are given before the server's next."""
    rest = [(SERVER, b"\0\n"), (CLIENT, b"\x01\x80abcd"), (SERVER, b"\0")]
    assert [(CLIENT, Kind.HTTP, ASK), *((side, Kind.DATA, data) for side, data in rest)] == heard(
        [(CLIENT, ASK), *rest]
    )


def test_each_message_compressed_to_its_end() -> None:
    """RFC 7692, section 7.2.3.4: its block is the last one, so that only without context takeover another follows."""
    names = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"
    granted = b"HTTP/1.1 101 \r\nUpgrade: websocket\r\n" + names + b"\r\n\r\n"
    hello = b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
    expected = [(SERVER, Kind.HTTP, granted), *[(SERVER, Kind.TEXT, b"Hello")] * 2]
    assert expected == heard([(SERVER, granted + hello + hello)])


def test_alerts_have_names() -> None:
    """Unless nobody gave them any."""
    said = [(SERVER, b"\x01\x00"), (SERVER, b"\x02\xfa"), (SERVER, b"\x02")]
    found = messages(records(said, content_type=ContentType.ALERT))
    assert [(Kind.ALERT, b"close_notify"), (Kind.ALERT, b"\x02\xfa"), (Kind.ALERT, b"\x02")] == [
        (each.kind, each.data) for each in found
    ]


def test_connections_are_told_apart_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ends again are another conversation; of many, the one that was silent longest is given up."""
    monkeypatch.setattr(messages_module, "MAX_CONNECTIONS", 2)
    parts = [(0, OK[:-1]), (1, OK), (0, b"}"), (1, OK[:-1]), (2, OK), (1, b"}"), (0, OK)]
    found = messages(each for number, data in parts for each in records([(SERVER, data)], number))
    expected = [(Kind.HTTP, OK)] * 5
    assert expected == [(each.kind, each.data) for each in found]
    found = messages(each for number in range(3) for each in records([(SERVER, OK[:-1])], number))
    assert (Kind.DATA, OK[:-1]) == next((each.kind, each.data) for each in found)


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message in too many records is given up; another one is read."""
    monkeypatch.setattr(messages_module, "_MAX_HELD_RECORDS", 4)
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    assert [(SERVER, Kind.DATA, data) for data in (large, *[b"."] * 4)] == heard(
        [(SERVER, large), *[(SERVER, b".")] * 4]
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([CLIENT, SERVER]),
            st.sampled_from(
                [GET, OK, b"", b"HTTP/1.1 101 \r\nUpgrade: websocket\r\n\r\n", *(d for _, d in Pair().said)]
            )
            | st.tuples(st.sampled_from([1, 2, 8, 0x41, 0x80, 0x81, 0xC1, 0x89]), st.binary(max_size=6)).map(
                lambda part: bytes([part[0], 0x80 | len(part[1])]) + b"\0\0\0\0" + part[1]
            )
            | st.binary(max_size=20),
        ),
        max_size=10,
    ),
    st.booleans(),
)
def test_senseless_records_never_raise(said: Said, deflate: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """And nothing empty is given."""
    start = Pair(deflate=deflate, takeover=False).said
    heard(start + said)
    assert all(data for _, kind, data in heard(said) if kind is Kind.DATA)
