"""Spans and worklists: nothing gets lost between them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.decode.headers import TCP, UDP, Header, read
from capture.decode.worklists import Spans, Worklists


def spans_of(sizes: list[int]) -> Spans:
    """Return spans of some sizes, one behind the other."""
    end = np.cumsum(np.array(sizes, np.int64))
    at = end - np.array(sizes, np.int64)
    return Spans(np.arange(len(sizes)), at, end, end, np.zeros(len(sizes), np.uint32), at)


@pytest.fixture
def work() -> Worklists:
    return Worklists(np.zeros(100, np.uint8), np.zeros(10, np.int64), Counter())


def test_an_empty_worklist_gives_nothing(work: Worklists) -> None:
    """Neither does one where all headers are cut."""
    assert work.take(Header.TCP, 20) is None
    work.push(Header.TCP, spans_of([19, 3]))
    assert work.take(Header.TCP, 20) is None
    assert {"truncated in TCP header": 2} == work.counts
    assert 0 == len(work)


def test_what_was_pushed_in_parts_is_taken_at_once(work: Worklists) -> None:
    """And only once."""
    work.push(Header.TCP, spans_of([20, 30]))
    work.push(Header.TCP, spans_of([19, 20]))
    taken = work.take(Header.TCP, 20)
    assert taken is not None
    assert [0, 1, 1] == taken.packet.tolist()
    assert work.take(Header.TCP, 20) is None


def test_what_is_left_can_be_counted(work: Worklists) -> None:
    """Whatever it stands at."""
    work.push(Header.TCP, spans_of([20, 30]))
    work.push(Header.UDP, spans_of([20]))
    assert 3 == len(work)
    work.clear("too many layers")
    assert (0, {"too many layers": 3}) == (len(work), work.counts)


@given(st.lists(st.sampled_from([6, 17, 47, 48, 49]), max_size=30))
def test_every_span_goes_one_way(values: list[int]) -> None:
    """To the header that its value announces, or into the counts."""
    work = Worklists(np.zeros(1000, np.uint8), np.zeros(30, np.int64), Counter())
    routes = {6: Header.TCP, 17: Header.UDP, 47: Header.GRE}
    work.route(spans_of([20] * len(values)), np.array(values, np.uint8), routes, lambda number: f"protocol {number}")
    for value, header in routes.items():
        taken = work.take(header, 1)
        assert [at for at, each in enumerate(values) if each == value] == (
            [] if taken is None else taken.packet.tolist()
        )
    assert Counter(f"protocol {value}" for value in values if value > 47) == work.counts


@given(st.binary(min_size=20, max_size=60), st.data())
def test_headers_are_read_wherever_they_begin(data: bytes, more: st.DataObject) -> None:
    """Overlapping, unaligned, up to the last byte of the buffer."""
    at = more.draw(st.lists(st.integers(0, len(data) - 20), min_size=1))
    headers = read(np.frombuffer(data, np.uint8), np.array(at), TCP)
    assert [data[place : place + 20] for place in at] == [header.tobytes() for header in headers]
    assert [int.from_bytes(data[place + 4 : place + 8]) for place in at] == headers["seq"].tolist()


def test_nothing_is_read_of_a_buffer_too_small() -> None:
    """No place is asked for, and none is there."""
    assert 0 == len(read(np.zeros(3, np.uint8), np.zeros(0, np.int64), UDP))
