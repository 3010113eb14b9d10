"""Stamped connections on loopback TCP: who owns a stamp, where every byte ends, and every way to lose a peer."""

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from bot.errors import TransportError
from bot.transport import connection as connections
from bot.transport import stamps
from bot.transport.connection import Connection
from bot.transport.dial import ORDER_BUFFER_BYTES
from bot.transport.poller import Poller
from bot.transport.stamps import StampKeeper
from journal.layout import ABSENT, TxEvent

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Lines:
    """A protocol whose messages are lines; `words` is what it says by itself."""

    closed: str | None = None
    speaks = False
    words = b""

    def __init__(self) -> None:
        self._rest = b""

    def receive(self, data: bytes) -> Sequence[tuple[bytes, int]]:
        """Return whole lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        behind = [sum(len(line) + 1 for line in lines[at + 1 :]) + len(self._rest) for at in range(len(lines))]
        return list(zip(lines, behind, strict=True))

    def pending(self) -> bytes:
        """Return what it has to say."""
        return self.words

    def close(self) -> bytes:
        """Say goodbye."""
        return b"bye\n"


class Ends:
    """A connection and its peer, a plain blocking socket; what the connection tells is kept."""

    def __init__(self, host: str = "127.0.0.1", *, speaking: bool = True) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.poller = Poller()
        with socket.create_server((host, 0), family=family) as listener:
            ours = socket.socket(family)
            stamps.force_receive_buffer(ours, ORDER_BUFFER_BYTES)
            ours.connect(listener.getsockname())
            self.peer, _ = listener.accept()
        ours.settimeout(0)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer.settimeout(10)
        self.sock = ours
        self.protocol = Lines()
        self.connection = Connection(ours, self.poller, "peer")
        if speaking:
            self.connection.use_protocol(self.protocol)
        self.reads: list[tuple[Any, int, int, int, int]] = []
        self.transmitted: list[tuple[int, int, int]] = []
        self.losses: list[str] = []

    def listen(self) -> None:
        """Keep everything that the connection tells."""
        self.connection.listen(
            lambda *read: self.reads.append(read), lambda *stamp: self.transmitted.append(stamp), self.losses.append
        )

    def pump(self, done: Callable[[], bool]) -> None:
        """Serve the connection until something holds."""
        give_up = time.monotonic() + 10
        while not done():
            assert time.monotonic() < give_up, "it never came"
            select.select([self.poller.fileno()], [], [], 1)
            self.poller.turn()

    def messages(self) -> list[tuple[bytes, int]]:
        """Return all messages with their offsets."""
        return [message for read in self.reads for message in read[0]]

    def close(self) -> None:
        """Close everything."""
        self.connection.close()
        self.peer.close()
        self.poller.close()


@pytest.fixture(scope="module", autouse=True)
def stamping() -> Iterator[None]:
    """Keep the kernel's stamping on, as a run does."""
    with closing(StampKeeper()) as keeper:
        if not keeper.warm_up():
            pytest.skip("this kernel does not stamp")
        yield


@pytest.fixture(params=["127.0.0.1", "::1"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """Both ends, over IPv4 and IPv6."""
    if request.param == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    made = Ends(request.param)
    made.listen()
    yield made
    made.close()


# -- receiving --------------------------------------------------------------------------------------------------------


def test_the_last_message_of_a_read_owns_its_stamp(ends: Ends) -> None:
    """The stamp is of the last byte, and no earlier than the send and no later than the read."""
    before_ns = time.time_ns()
    ends.peer.sendall(b"one\ntwo\nthree\n")
    ends.pump(lambda: len(ends.messages()) == 3)
    ((messages, read_ns, kernel_rx_ns, nic_rx_ns, owner),) = ends.reads
    assert [(b"one", 3), (b"two", 7), (b"three", 13)] == messages
    assert 2 == owner
    assert before_ns <= kernel_rx_ns <= read_ns <= time.time_ns()
    assert ABSENT == nic_rx_ns


def test_a_read_that_ends_within_a_message_owns_nothing_of_those_before(ends: Ends) -> None:
    """The stamped byte is a byte of the unfinished one."""
    ends.peer.sendall(b"one\ntw")
    ends.pump(lambda: len(ends.messages()) == 1)
    ends.peer.sendall(b"o\n")
    ends.pump(lambda: len(ends.messages()) == 2)
    assert [[(b"one", 3)], [(b"two", 7)]] == [read[0] for read in ends.reads]
    assert [-1, 0] == [read[4] for read in ends.reads]


def test_a_read_that_filled_its_buffer_owns_nothing(ends: Ends) -> None:
    """More may be queued, and then the stamp is of a byte behind it."""
    connection = ends.connection
    connection._room, connection._buffers = 8, [connection._view[:8]]
    connection._view = connection._view[:8]
    ends.peer.sendall(b"one\ntwo\n")
    ends.pump(lambda: len(ends.messages()) == 2)
    assert -1 == ends.reads[-1][4]


def test_offsets_go_on_from_read_to_read(ends: Ends) -> None:
    """A message's offset is that of its last byte in the stream."""
    for number in range(50):
        ends.peer.sendall(b"%d\n" % number)
        ends.pump(lambda wanted=number + 1: len(ends.messages()) == wanted)  # type: ignore[misc]
    wire = b"".join(payload + b"\n" for payload, _ in ends.messages())
    ends_at = [at for at, byte in enumerate(wire) if byte == ord("\n")]
    assert [(b"%d" % number, ends_at[number]) for number in range(50)] == ends.messages()
    assert len(wire) == ends.connection.received_off


def test_what_arrives_before_somebody_listens_is_kept() -> None:
    """With the stamps that it had; then the loss is told, once."""
    ends = Ends()
    ends.peer.sendall(b"early\n")
    ends.pump(lambda: ends.connection.received_off == 6)
    ends.peer.sendall(b"later\n")
    ends.peer.close()
    ends.pump(lambda: ends.connection.lost is not None)
    listened_ns = time.time_ns()
    ends.listen()
    assert [(b"early", 5), (b"later", 11)] == ends.messages()
    assert all(read[2] <= read[1] < listened_ns for read in ends.reads)
    assert ["the peer closed the connection"] == ends.losses
    ends.close()
    assert 1 == len(ends.losses)


# -- sending ----------------------------------------------------------------------------------------------------------


def test_every_send_gets_its_three_stamps(ends: Ends) -> None:
    """At the offset of its last byte, in the order of the way out."""
    sent = []
    for size in (10, 100, 3_000, 1):
        off = ends.connection.send(b"x" * size)
        sent.append((off, ends.connection.written_ns, ends.connection.sent_ns))
    assert [9, 109, 3_109, 3_110] == [off for off, _, _ in sent]
    ends.pump(lambda: len({stamp[:2] for stamp in ends.transmitted}) == 12)
    at = {(off, event): stamp_ns for off, event, stamp_ns in ends.transmitted}
    for off, written_ns, sent_ns in sent:
        assert written_ns <= at[off, TxEvent.SCHED] <= at[off, TxEvent.DRIVER] <= at[off, TxEvent.ACK]
        assert written_ns <= sent_ns


def test_a_peer_that_does_not_read_loses_nothing_and_no_stamp() -> None:
    """What has to wait is sent in order, each send a segment of its own that keeps its stamps (MSG_EOR)."""
    ends = Ends()
    ends.listen()
    ends.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
    messages = [b"%06d" % number + b"x" * 1_500 + b"\n" for number in range(3_000)]
    offs = [ends.connection.send(message) for message in messages]
    assert ends.connection._backlog
    wire, received = b"".join(messages), bytearray()

    def all_stamped() -> bool:
        while select.select([ends.peer], [], [], 0)[0]:
            received.extend(ends.peer.recv(1 << 20))
        return len({off for off, event, _ in ends.transmitted if event == TxEvent.DRIVER}.intersection(offs)) == 3_000

    ends.pump(all_stamped)
    assert wire == received
    assert len(wire) - 1 == offs[-1]
    assert not ends.connection._backlog
    ends.close()


def test_offsets_beyond_four_gigabytes_are_whole(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel counts modulo 2³²: the stamped byte is the latest one with these low bits."""
    queue = [(0, 4, 1), (1, 2**32 - 1, 2), (2, 0, 3)]
    monkeypatch.setattr(stamps, "transmit_stamps", lambda _: queue)
    ends.connection.sent_off = 3 * 2**32 + 5
    ends.connection.on_error_queue()
    assert [(3 * 2**32 + 4, 0, 1), (3 * 2**32 - 1, 1, 2), (3 * 2**32, 2, 3)] == ends.transmitted


def endlessly(connection: Connection) -> None:
    while True:
        connection.send(b"x" * 50_000)


def test_a_backlog_without_end_ends_the_connection(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that say why."""
    monkeypatch.setattr(connections, "_MAX_BACKLOG_BYTES", 100_000)
    with pytest.raises(TransportError, match=r"peer: the peer does not read: [\d,]+ bytes wait to be sent"):
        endlessly(ends.connection)
    assert 1 == len(ends.losses)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_peer_that_closes_within_a_message(ends: Ends) -> None:
    """The half message is not handed on."""
    ends.peer.sendall(b"whole\nhal")
    ends.peer.close()
    ends.pump(lambda: bool(ends.losses))
    assert [(b"whole", 5)] == ends.messages()
    assert ["the peer closed the connection"] == ends.losses


def test_a_reset_while_much_waits_to_be_sent(ends: Ends) -> None:
    """Readable, writable and an error come at once; it is one loss, and the stamps that came are kept."""
    ends.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 10)
    for _ in range(200):
        ends.connection.send(b"x" * 10_000)
    assert ends.connection._backlog
    ends.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    ends.peer.close()
    ends.pump(lambda: bool(ends.losses))
    assert ["the connection broke: Connection reset by peer"] == ends.losses
    assert ends.transmitted
    assert not ends.connection._backlog


def test_sending_on_a_lost_connection_is_an_error(ends: Ends) -> None:
    """The caller must know that nothing left."""
    ends.connection.close()
    with pytest.raises(TransportError, match="peer: closed by us"):
        ends.connection.send(b"x")
    assert 0 == ends.connection.sent_off - len(b"bye\n")


def test_closing_says_goodbye(ends: Ends) -> None:
    """In the protocol's words."""
    ends.connection.close()
    assert b"bye\n" == ends.peer.recv(100)
    assert ["closed by us"] == ends.losses
    ends.connection.close()
    assert 1 == len(ends.losses)


def test_what_was_received_outlives_an_answer_that_cannot_be_sent(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill and a ping in one read, and the peer is gone before the pong."""

    def broken(*_: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    ends.protocol.speaks, ends.protocol.words = True, b"pong\n"
    monkeypatch.setattr(ends.connection, "_send", broken)
    ends.peer.sendall(b"fill\n")
    ends.pump(lambda: bool(ends.losses))
    assert [(b"fill", 4)] == ends.messages()
    assert ["the connection broke: Broken pipe"] == ends.losses


def test_a_protocol_that_is_over_ends_the_connection(ends: Ends) -> None:
    """What came before is handed on."""
    ends.protocol.closed = "the peer closed: 1000"
    ends.peer.sendall(b"last\n")
    ends.pump(lambda: bool(ends.losses))
    assert ([(b"last", 4)], ["the peer closed: 1000"]) == (ends.messages(), ends.losses)


def test_a_peer_that_speaks_before_it_was_asked() -> None:
    """Nobody knows what it means."""
    ends = Ends(speaking=False)
    ends.listen()
    ends.peer.sendall(b"220 smtp ready\r\n")
    ends.pump(lambda: bool(ends.losses))
    assert ["the peer spoke before it was asked: b'220 smtp ready\\r\\n'"] == ends.losses
    ends.close()


def test_both_ends_are_known_after_the_loss(ends: Ends) -> None:
    """The journal is told of the loss then."""
    host, port, *_ = ends.peer.getsockname()
    ends.connection.close()
    described = ends.connection.describe()
    assert (f"{host}:{port}", None) == (described["remote"], described["tls"])


# -- without stamps ---------------------------------------------------------------------------------------------------


def test_a_kernel_without_stamps_does_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamps are absent, and the connection says so."""

    class NoStamps(socket.socket):
        def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
            if option == stamps.SO_TIMESTAMPING:
                raise OSError(92, "Protocol not available")
            super().setsockopt(level, option, value)

    monkeypatch.setattr(socket, "socket", NoStamps)
    ends = Ends()
    ends.listen()
    assert not ends.connection.stamped
    assert 2 == ends.connection.send(b"abc")
    ends.peer.sendall(b"one\n")
    ends.pump(lambda: bool(ends.reads))
    assert [([(b"one", 3)], ABSENT, ABSENT, 0)] == [(read[0], *read[2:]) for read in ends.reads]
    assert b"abc" == ends.peer.recv(10)
    assert [] == ends.transmitted
    ends.close()
