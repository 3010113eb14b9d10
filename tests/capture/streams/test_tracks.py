"""Tracks: how far streams have come, and which segments are out of the ordinary."""

from typing import Any

import numpy as np
import pytest

from capture.streams.options import repeats, timestamps
from capture.streams.sequence import ORIGIN
from capture.streams.tracks import Arrivals, Placed, Tracks
from journal.wire import TcpFlag

FIN, SYN, RST, ACK, ZERO_WINDOW = 1, 2, 4, 16, int(TcpFlag.ZERO_WINDOW)
Made = Any  # a class of conftest.py, which cannot be imported


@pytest.fixture
def tracks() -> Tracks:
    """Room for two streams, 0 and 1."""
    tracks = Tracks()
    tracks.grow(2)
    return tracks


def place(tracks: Tracks, tcp: Made, *packets: Made) -> Placed:
    """Place packets; each one's side is its stream."""
    segments = tcp.segments_of(packets)
    stream = np.array([sent.side for sent in packets], np.int64)
    tsval = timestamps(segments)
    arrivals = Arrivals(stream, segments.flags, segments.time_ns, 0, tsval, repeats(segments, tsval))
    return tracks.place(segments, arrivals)


def test_what_moves_a_stream(tracks: Tracks, tcp: Made) -> None:
    """Data, and a position each for SYN and FIN; no acknowledgement, and no reset."""
    packets = [(9, 0, SYN), (10, 0, ACK), (10, 5, ACK), (15, 3, FIN), (19, 0, ACK), (70, 9, RST)]
    placed = place(tracks, tcp, *(tcp.sent(0, seq, size, flags=flags) for seq, size, flags in packets))
    assert [ORIGIN + it for it in (9, 10, 10, 15, 19, 70)] == placed.start.tolist()
    assert [1, 0, 5, 4, 0, 9] == placed.length.tolist()
    assert [True] * 5 + [False] == placed.counts.tolist()
    assert [] == placed.notable.tolist()
    assert [ORIGIN + 19, 0] == tracks.mark.tolist()
    assert [ORIGIN + 9, 0] == tracks.low.tolist()


def test_what_is_out_of_the_ordinary(tracks: Tracks, tcp: Made) -> None:
    """What leaves a hole, repeats bytes, closes a window, or brings data with a SYN; not what only acknowledges."""
    packets = [
        tcp.sent(0, 9, 4, flags=SYN),
        tcp.sent(0, 14, 6),
        tcp.sent(0, 22, 5),
        tcp.sent(0, 27, 0),
        tcp.sent(0, 20, 2),
        tcp.sent(0, 26, 0),
        tcp.sent(0, 28, 0),
        tcp.sent(0, 28, 0, flags=ACK | ZERO_WINDOW),
        tcp.sent(0, 28, 1),
    ]
    # The pure acknowledgement at 28 says that a byte was sent before it.
    assert [0, 2, 4, 6, 7] == place(tracks, tcp, *packets).notable.tolist()


def test_word_of_bytes_that_came_twice_is_out_of_the_ordinary(tracks: Tracks, tcp: Made) -> None:
    """Another SACK is not."""
    words = [tcp.sent(1, 5, ack=14, sack=(block,)) for block in ((20, 25), (10, 14))]
    assert [1] == place(tracks, tcp, *words).notable.tolist()


def test_acknowledgements_before_their_stream(tracks: Tracks, tcp: Made) -> None:
    """They are remembered as numbers, and become positions when the stream is met."""
    place(tracks, tcp, tcp.sent(1, 5, ack=2**32 - 6))
    place(tracks, tcp, tcp.sent(0, 4))
    assert ORIGIN - 6 == tracks.acked[0]
    place(tracks, tcp, tcp.sent(1, 5, ack=7), tcp.sent(1, 5, ack=6), tcp.sent(1, 5, ack=999, flags=RST | ACK))
    assert ORIGIN + 7 == tracks.acked[0]


def test_a_forgotten_stream_begins_anew(tracks: Tracks, tcp: Made) -> None:
    """With the first number that comes."""
    place(tracks, tcp, tcp.sent(0, 100, 5), tcp.sent(0, 2**31 + 100, 5))
    tracks.forget(np.array([0, 1]))
    placed = place(tracks, tcp, tcp.sent(0, 7, 5))
    assert [ORIGIN + 7] == placed.start.tolist()
    assert placed.trail.stray is None
    assert {} == tracks._strays
