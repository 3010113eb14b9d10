"""The ring of recent packets: what is a copy."""

from typing import Any

import numpy as np
import pytest

from capture.streams.flows import REORDER_NS
from capture.streams.holes import Sight
from capture.streams.options import timestamps
from capture.streams.recent import _RING, BATCH, Recent
from capture.streams.sequence import group

MS = 1_000_000
Made = Any  # a class of conftest.py, which cannot be imported


def add(recent: Recent, tcp: Made, *packets: Made) -> None:
    """Add packets of one stream, or of two: a packet's side is its stream, its number its position."""
    segments = tcp.segments_of(packets)
    groups = group(np.array([sent.side for sent in packets], np.int64))
    recent.add(segments, segments.seq.astype(np.int64), timestamps(segments), groups)


@pytest.fixture
def recent() -> Recent:
    """An empty ring for two streams."""
    recent = Recent()
    recent.grow(2)
    return recent


@pytest.mark.parametrize(
    ("change", "copy"),
    [
        ({}, True),
        ({"time_ns": REORDER_NS}, True),
        ({"time_ns": REORDER_NS + 1}, False),
        ({"seq": 2}, False),
        ({"size": 99}, False),
        ({"ack": 4}, False),
        ({"flags": 24}, False),
        ({"ip_id": 8}, False),
        ({"tsval": 51}, False),
        ({"side": 1}, False),
    ],
)
def test_a_copy_is_the_same_in_all(recent: Recent, tcp: Made, change: dict[str, int], copy: bool) -> None:  # noqa: FBT001 - a parameter
    """A packet that differs in anything but its time was sent again."""
    sent = tcp.sent(0, 1, 100, ack=3, ip_id=7, tsval=50)
    add(recent, tcp, sent)
    add(recent, tcp, tcp.sent(0, 200, ip_id=9), sent._replace(**change))
    assert copy == recent.is_copy(2)


@pytest.mark.parametrize("ip_id", [0, 7])
@pytest.mark.parametrize(("later_ns", "copy"), [(MS, True), (MS + 1, False)])
def test_identification_that_says_nothing(recent: Recent, tcp: Made, ip_id: int, later_ns: int, copy: bool) -> None:  # noqa: FBT001 - the same
    """Where it is zero, or the same in another packet, a copy comes within a millisecond."""
    sent = tcp.sent(0, 1, 100, ip_id=ip_id)
    add(recent, tcp, sent, sent._replace(seq=101), sent._replace(time_ns=later_ns))
    assert copy == recent.is_copy(2)


def test_a_third_copy(recent: Recent, tcp: Made) -> None:
    """Copies do not make an identification a constant one."""
    sent = tcp.sent(0, 1, 100, ip_id=7)
    add(recent, tcp, sent, sent, sent._replace(time_ns=50 * MS))
    assert recent.is_copy(2)


@pytest.mark.parametrize(
    ("change", "overtaken"),
    [
        ({}, True),
        ({"seq": 150}, True),
        ({"seq": 200}, False),
        ({"ip_id": 10}, False),
        ({"ip_id": 10, "tsval": 49}, True),
        ({"ip_id": 8, "tsval": 51}, False),
        ({"ip_id": 0}, False),
        ({"side": 1}, False),
    ],
)
def test_a_packet_behind_one_that_was_sent_later(
    recent: Recent, tcp: Made, change: dict[str, int], *, overtaken: bool
) -> None:
    """By TSval, else by identification; the later one has some of its bytes."""
    sent = tcp.sent(0, 100, 100, ip_id=9, tsval=50)
    add(recent, tcp, sent._replace(seq=1, ip_id=7), sent)
    add(recent, tcp, sent._replace(ip_id=8)._replace(**change))
    number = change.get("ip_id", 8), change.get("tsval", 50)
    assert overtaken == recent.is_overtaken(Sight(0, 0, 2, number[1], number[0]))


def test_the_packet_before_on_the_stream(recent: Recent, tcp: Made) -> None:
    """Over the packets of other streams and over batches."""
    add(recent, tcp, tcp.sent(0, 1, ip_id=5), tcp.sent(1, 1, ip_id=6))
    add(recent, tcp, tcp.sent(1, 2, ip_id=7), tcp.sent(0, 2, ip_id=8))
    assert [None, None, 6, 5] == [recent.previous_id(ordinal) for ordinal in range(4)]


def test_a_stream_that_begins_anew_has_nothing_before_it(recent: Recent, tcp: Made) -> None:
    """Its slot was another connection's."""
    add(recent, tcp, tcp.sent(0, 1, ip_id=5))
    recent.forget(np.array([0]))
    add(recent, tcp, tcp.sent(0, 1, ip_id=5))
    assert recent.previous_id(1) is None


def test_the_ring_goes_round(recent: Recent, tcp: Made) -> None:
    """Packets are found again wherever in the ring they are, as far back as promised and no further."""
    filling = [tcp.sent(1, 1, ip_id=1)] * (BATCH - 1)
    for number in range(2 * _RING // BATCH):
        add(recent, tcp, tcp.sent(0, 5, ip_id=number + 1), *filling)
        assert (number or None) == recent.previous_id(number * BATCH)
    add(recent, tcp, tcp.sent(1, 1), tcp.sent(0, 5))
    assert recent.previous_id(recent.count - 1) is None
