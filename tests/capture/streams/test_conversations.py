"""Connections with something out of the ordinary: what is kept, and for how long."""

from typing import Any

import pytest

from capture.streams import Streams, conversations
from capture.streams.flows import REORDER_NS
from journal.wire import LossCause

Made = Any  # a class of conftest.py, which cannot be imported


def take(streams: Streams, tcp: Made, *packets: Made) -> list[tuple[int, LossCause]]:
    """Take packets; return the streams and the causes of the losses."""
    losses = streams.take(tcp.segments_of(packets)).losses
    return [(int(row["stream"]), LossCause(int(row["cause"]))) for row in losses]


@pytest.fixture
def streams() -> Streams:
    """All connections are of interest."""
    return Streams(str)


def test_nothing_is_kept_of_ordinary_connections(streams: Streams, tcp: Made) -> None:
    """Nor of one whose hole was filled."""
    take(streams, tcp, tcp.sent(0, 1, 5), tcp.sent(1, 9, ack=6), tcp.sent(0, 8, 5, time_ns=1))
    assert 1 == len(streams._talks._kept)
    take(streams, tcp, tcp.sent(0, 6, 2, time_ns=2))
    assert not streams._talks._kept


def test_what_came_twice_is_kept_for_a_while(streams: Streams, tcp: Made) -> None:
    """A receiver may speak of it yet; the connection's other packets need not be met."""
    packets = [tcp.sent(0, 1, 5, ip_id=1), tcp.sent(1, 9, ack=6), tcp.sent(0, 1, 5, time_ns=1, ip_id=2)]
    take(streams, tcp, *packets)
    assert (1, set()) == (len(streams._talks._kept), streams._talks._waiting)
    take(streams, tcp, tcp.sent(0, 6, 1, time_ns=1_000_000_001))
    assert 1 == len(streams._talks._kept)
    take(streams, tcp, tcp.sent(0, 7, 1, time_ns=1_000_000_002))
    assert (0, set()) == (len(streams._talks._kept), streams._talks._held)


def test_verdicts_are_told_though_their_connection_is_silent(streams: Streams, tcp: Made) -> None:
    """The capture's clock is that of all packets."""
    take(streams, tcp, tcp.sent(0, 1, 5), tcp.sent(0, 8, 5), tcp.sent(1, 9, ack=13, time_ns=1))
    assert [] == take(streams, tcp, tcp.sent(0, 1, client=5, time_ns=REORDER_NS))
    assert [(2, LossCause.MIRROR)] == take(streams, tcp, tcp.sent(0, 1, client=5, time_ns=REORDER_NS + 1))
    assert [] == take(streams, tcp, tcp.sent(0, 1, client=5, time_ns=2 * REORDER_NS))


def test_what_is_kept_is_bounded(streams: Streams, tcp: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that has been kept longest is given up."""
    monkeypatch.setattr(conversations, "MOST", 2)
    told = []
    for client in range(1, 4):
        told += take(streams, tcp, tcp.sent(0, 1, 5, client=client), tcp.sent(0, 8, 5, client=client))
    assert [(2, LossCause.UNKNOWN)] == told
    assert 2 == len(streams._talks._kept)


def test_acknowledgements_of_an_earlier_batch_count(streams: Streams, tcp: Made) -> None:
    """Also those that came before the stream that they are of."""
    take(streams, tcp, tcp.sent(1, 9, ack=20))
    take(streams, tcp, tcp.sent(0, 1, 5))
    take(streams, tcp, tcp.sent(0, 8, 5))
    assert [(2, LossCause.MIRROR)] == take(streams, tcp, tcp.sent(0, 1, client=5, time_ns=REORDER_NS))
