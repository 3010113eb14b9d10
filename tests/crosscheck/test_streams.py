"""Rows by stream: where each byte was first seen, what was sent again, what was missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosscheck.streams import Grouped, Ranges, Stream, captured_stream
from journal.wire import LOSS, PACKET, LossCause, PacketFlag, TcpFlag

FIRST = int(PacketFlag.FIRST)


def stream_of(*rows: tuple[int, int, int, int], losses: list[tuple[int, int, LossCause]] | None = None) -> Stream:
    """Return a stream of (position, size, tcp, flags), each a microsecond after the one before."""
    packets = np.zeros(len(rows), PACKET)
    for place, name in enumerate(("position", "size", "tcp", "flags")):
        packets[name] = [row[place] for row in rows]
    packets["time"] = 1000 * np.arange(len(rows))
    holes = np.zeros(len(losses or []), LOSS)
    for place, name in enumerate(("position", "size", "cause")):
        holes[name] = [hole[place] for hole in losses or []]
    return captured_stream(packets, np.arange(len(rows)), holes, np.arange(len(holes)))


@given(st.lists(st.integers(0, 9)))
def test_grouped_rows_keep_their_order(keys: list[int]) -> None:
    """Rows of a key are found in the order in which they came."""
    grouped = Grouped(np.array(keys, np.uint32))
    for key in range(11):
        assert [place for place, one in enumerate(keys) if one == key] == grouped.places(key).tolist()


def test_a_byte_is_found_in_the_range_that_holds_it() -> None:
    """Ends are outside, and so is everything before and behind."""
    ranges = Ranges(np.array([10, 20]), np.array([15, 30]))
    assert [-1, 0, 0, -1, 1, 1, -1] == ranges.find(np.array([9, 10, 14, 15, 20, 29, 30])).tolist()
    assert [-1] == Ranges(np.array([], np.int64), np.array([], np.int64)).find(np.array([0])).tolist()


def test_ranges_are_in_the_order_of_positions_with_their_rows() -> None:
    """A packet that came late stands where its bytes are."""
    stream = stream_of((100, 10, 0, FIRST), (120, 10, 0, FIRST), (110, 10, 0, FIRST | PacketFlag.LATE))
    assert [100, 110, 120] == stream.first.begin.tolist()
    assert ([0, 2, 1], [0, 2000, 1000]) == (stream.row.tolist(), stream.time.tolist())
    assert [True, False, True] == stream.clear().tolist()
    assert (None, 100, 130) == (stream.isn, stream.start(), stream.extent)


def test_data_in_a_syn_begins_behind_it() -> None:
    """The SYN takes a sequence number of its own (RFC 9293, section 3.4)."""
    stream = stream_of((99, 10, TcpFlag.SYN, FIRST), (99, 10, TcpFlag.SYN, PacketFlag.SEEN), (110, 5, 0, FIRST))
    assert (99, 100, [100, 110]) == (stream.isn, stream.start(), stream.first.begin.tolist())


@pytest.mark.parametrize("other", [98, 2**33])
def test_syns_that_differ_are_none(other: int) -> None:
    """Nothing tells which of them is this connection's."""
    assert stream_of((99, 0, TcpFlag.SYN, 0), (other, 0, TcpFlag.SYN, 0)).isn is None


def test_a_reset_does_not_extend_what_was_seen() -> None:
    """Its number may be anything; an acknowledgement's is that of the next byte."""
    assert 130 == stream_of((100, 10, 0, FIRST), (130, 0, TcpFlag.ACK, 0), (900, 0, TcpFlag.RST, 0)).extent


def test_what_was_sent_again_is_merged() -> None:
    """One that was acknowledged in between is not doubtful, nor is a copy."""
    again = PacketFlag.SEEN | PacketFlag.UNACKED
    stream = stream_of(
        (100, 100, 0, FIRST),
        (150, 20, 0, again),
        (100, 60, 0, again),
        (120, 10, 0, again),
        (180, 10, 0, PacketFlag.SEEN),
        (190, 10, 0, PacketFlag.SEEN | PacketFlag.COPY),
    )
    assert ([100], [170]) == (stream.again.begin.tolist(), stream.again.end.tolist())


def test_holes_are_in_the_order_of_positions() -> None:
    """With the cause of each."""
    losses = [(300, 5, LossCause.UNKNOWN), (200, 10, LossCause.MIRROR)]
    stream = stream_of((100, 10, 0, FIRST), losses=losses)
    assert ([200, 300], [210, 305]) == (stream.hole.begin.tolist(), stream.hole.end.tolist())
    assert [LossCause.MIRROR, LossCause.UNKNOWN] == stream.cause.tolist()


def test_bytes_of_which_both_copies_arrived_are_not_doubtful() -> None:
    """The receiver's word that it has both is no hole; other bytes that were sent again stay in doubt."""
    again = int(PacketFlag.SEEN | PacketFlag.UNACKED)
    rows = [(100, 50, 0, FIRST), (150, 50, 0, FIRST), (100, 50, 0, again), (150, 50, 0, again)]
    stream = stream_of(*rows, losses=[(100, 50, LossCause.DUPLICATED)])
    assert ([150], [200], []) == (stream.again.begin.tolist(), stream.again.end.tolist(), stream.hole.begin.tolist())
    assert [True, False] == stream.clear().tolist()


def test_bytes_of_which_a_copy_was_missed_are_no_hole() -> None:
    """What was captured of them shows nothing."""
    losses = [(160, 20, LossCause.MISSED), (170, 30, LossCause.MISSED), (150, 5, LossCause.MIRROR)]
    stream = stream_of((100, 50, 0, FIRST), (150, 50, 0, FIRST), losses=losses)
    assert ([160], [200], [150]) == (
        stream.missed.begin.tolist(),
        stream.missed.end.tolist(),
        stream.hole.begin.tolist(),
    )
    assert [True, False] == stream.clear().tolist()
