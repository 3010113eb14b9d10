"""Bytes come out in order, each once, whatever the network did; what is missing shows in the offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.inspect.reassembly import HeldBytes, StreamBytes

WORD = 1 << 32
STREAM = bytes(number * 7 % 251 for number in range(600))

spans = st.tuples(st.integers(0, len(STREAM) - 1), st.integers(1, 90))


def joined(pieces: list[tuple[int, bytes]], end: int = 0) -> bytes:
    """Return the bytes of pieces that follow one another."""
    out = b""
    for off, data in pieces:
        assert end == off
        end += len(data)
        out += data
    return out


@given(syn=st.one_of(st.integers(0, WORD - 1), st.integers(WORD - 700, WORD - 1)), early=st.lists(spans, max_size=30))
def test_every_byte_once_and_in_order(syn: int, early: list[tuple[int, int]]) -> None:
    """Any overlapping pieces in any order, then all of it: across the end of the number space as well."""
    budget = HeldBytes()
    stream = StreamBytes(budget)
    stream.begin(syn)
    told = []
    for off, size in [*early, (0, len(STREAM))]:
        told += stream.take((syn + 1 + off) % WORD, STREAM[off : off + size])
    assert STREAM == joined(told)
    assert 0 == budget.held
    assert [] == stream.rest()


@given(syn=st.integers(0, WORD - 1), parts=st.lists(spans, max_size=30), limit=st.integers(0, 300))
def test_what_is_told_is_true_also_where_bytes_are_missing(syn: int, parts: list[tuple[int, int]], limit: int) -> None:
    """Offsets only grow; a gap is given up when more is held than may be, or at the end."""
    budget = HeldBytes(limit)
    stream = StreamBytes(budget)
    stream.begin(syn)
    told = []
    for off, size in parts:
        told += stream.take((syn + 1 + off) % WORD, STREAM[off : off + size])
        assert budget.held <= limit
    told += stream.rest()
    end = 0
    for off, data in told:
        assert off >= end
        assert STREAM[off : off + len(data)] == data
        end = off + len(data)
    assert 0 == budget.held


@given(parts=st.lists(spans, max_size=30))
def test_nothing_that_came_is_lost(parts: list[tuple[int, int]]) -> None:
    """Where all may be held, what is told in the end is what came."""
    stream = StreamBytes(HeldBytes())
    stream.begin(0)
    told = [piece for off, size in parts for piece in stream.take(1 + off, STREAM[off : off + size])] + stream.rest()
    came = {at for off, size in parts for at in range(off, min(off + size, len(STREAM)))}
    assert came == {at for off, data in told for at in range(off, off + len(data))}


@pytest.mark.parametrize("seq", [0, 5_000, WORD - 1])
def test_without_its_syn_a_stream_begins_at_the_first_byte_seen(seq: int) -> None:
    """A SYN that comes later does not change that."""
    stream = StreamBytes(HeldBytes())
    assert [(0, b"ab")] == stream.take(seq, b"ab")
    stream.begin(77)
    assert [(2, b"c")] == stream.take((seq + 2) % WORD, b"c")


def test_a_syn_sent_again_changes_nothing() -> None:
    """As often as it likes."""
    stream = StreamBytes(HeldBytes())
    stream.begin(9)
    assert [(0, b"ab")] == stream.take(10, b"ab")
    stream.begin(9)
    assert [(2, b"c")] == stream.take(12, b"c")


def test_streams_share_what_they_may_hold() -> None:
    """The one that wants to hold too much goes on behind its gap; the other waits on."""
    budget = HeldBytes(10)
    one, other = StreamBytes(budget), StreamBytes(budget)
    one.begin(0)
    other.begin(0)
    assert [] == one.take(3, b"12345678")
    assert [(5, b"abc")] == other.take(6, b"abc")
    assert [(0, b"xy"), (2, b"12345678")] == one.take(1, b"xy")


def test_what_no_window_allows_is_passed_over() -> None:
    """A forged number holds nothing up."""
    stream = StreamBytes(HeldBytes())
    stream.begin(0)
    assert [] == stream.take(1 + (1 << 30), b"forged")
    assert [] == stream.rest()
