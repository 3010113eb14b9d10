"""Who gets which message, in which form, and how often."""

from typing import Any

from market.events import BookDelta
from sandbox.binance_symbols import BTCUSDT
from sandbox.connection import text_frame
from sandbox.fanout import Fanout, Subscriber
from sandbox.publication import Publication

MESSAGE = Publication(0, "a", (b'{"E":', b"}"), (0,), BookDelta(BTCUSDT, [], [], 1, None))
FakeOf = Any


class FakeConnection:
    """Takes frames like a connection."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.flushed = 0

    def send_frame(self, frame: bytes) -> None:
        """Keep a frame."""
        self.frames.append(frame)

    def flush(self) -> None:
        """Count a write."""
        self.flushed += 1

    async def drain(self) -> None:
        """Take it that a write came first."""
        assert self.flushed


def subscriber(connection: FakeOf, *, combined: bool = False, microseconds: bool = False) -> Subscriber:
    return Subscriber(connection, combined=combined, microseconds=microseconds)


def test_each_subscriber_gets_its_form() -> None:
    """Raw or combined, ms or µs, of one and the same message."""
    fanout = Fanout(frozenset({"a", "b"}))
    connections = [FakeConnection() for _ in range(3)]
    fanout.subscribe(subscriber(connections[0]), ["a"])
    fanout.subscribe(subscriber(connections[1], combined=True, microseconds=True), ["a", "b"])
    fanout.subscribe(subscriber(connections[2]), ["b"])
    fanout.publish(MESSAGE, (1_234_567,))
    assert connections[0].frames == [text_frame(b'{"E":1234}')]
    assert connections[1].frames == [text_frame(b'{"stream":"a","data":{"E":1234567}}')]
    assert connections[2].frames == []
    assert (fanout.published, fanout.sent) == ({"a": 1}, {"a": 2})


def test_a_double_subscription_is_one() -> None:
    """And one that ended gets nothing more."""
    fanout = Fanout(frozenset({"a"}))
    connection = FakeConnection()
    listener = subscriber(connection)
    fanout.subscribe(listener, ["a"])
    fanout.subscribe(listener, ["a"])
    fanout.publish(MESSAGE, (0,))
    fanout.unsubscribe(listener, ["a"])
    fanout.publish(MESSAGE, (0,))
    assert len(connection.frames) == 1


def test_only_a_published_stream_has_listeners() -> None:
    """A subscription to an unknown stream is kept and stays silent."""
    fanout = Fanout(frozenset({"a"}))
    listener = subscriber(FakeConnection())
    fanout.subscribe(listener, ["nothing"])
    assert not fanout.is_listened
    assert list(listener.streams) == ["nothing"]
    fanout.subscribe(listener, ["a"])
    assert fanout.is_listened
    assert fanout.subscribers == {listener}
    fanout.unsubscribe(listener, ["a", "never"])
    assert not fanout.is_listened


async def test_a_flush_writes_each_connection_once() -> None:
    """However many messages wait, and nothing when none do."""
    fanout = Fanout(frozenset({"a"}))
    connection = FakeConnection()
    fanout.subscribe(subscriber(connection), ["a"])
    for _ in range(3):
        fanout.publish(MESSAGE, (0,))
    await fanout.flush()
    await fanout.flush()
    assert connection.flushed == 1
