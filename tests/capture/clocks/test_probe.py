"""The prober without a socket: what it sends, what it makes of replies, and what it counts."""

import random
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.clocks.probe import DATAGRAM, PROBE, REPLY, Prober
from journal.layout import ABSENT
from journal.wire import PROBE as PROBE_ROW

SESSION = 0xFEDC_BA98_7654_3210
INTERVAL = 50_000_000
PATIENCE = 40  # probes: 2 s of them
START = 1_790_000_000_000_000_000


def prober(uniform: float = 0.5) -> Prober:
    return Prober(SESSION, INTERVAL, lambda: uniform)


def reply(number: int, t2: int = 0, previous: int = 0, t3: int = ABSENT, session: int = SESSION) -> bytes:
    return DATAGRAM.pack(b"WSCP", 1, REPLY, 0, session, number, t2, previous, t3)


def counted(core: Prober) -> dict[str, int]:
    return {name: count for name, count in asdict(core.counts).items() if count}


def test_a_probe_on_the_wire() -> None:
    """48 bytes, big-endian, numbered from 1."""
    core = prober()
    first, second = core.datagram(START), core.datagram(START)
    assert bytes.fromhex("57534350 01 01 0000 fedcba9876543210 0000000000000001") + bytes(24) == first
    assert 48 == len(first)
    assert 2 == DATAGRAM.unpack(second)[5]


def test_a_row_is_whole_when_the_next_reply_brought_t3() -> None:
    """Its own reply brings T2."""
    core = prober()
    core.datagram(100)
    core.datagram(200)
    core.on_reply(reply(1, t2=110), 130)
    assert [] == core.take_rows()
    core.on_reply(reply(2, t2=210, previous=1, t3=120), 230)
    rows = core.take_rows()
    assert [(1, 100, 110, 120, 130)] == rows
    assert [] == core.take_rows()
    assert [(2, 200, 210, ABSENT, 230)] == core.finish()
    assert len(rows[0]) == len(PROBE_ROW.names or ()) - 1
    assert {"sent": 2, "answered": 2} == counted(core)


def test_the_kernels_stamp_replaces_the_clock_before_the_send() -> None:
    """Of this session and of a probe that is waited for; others are nobody's."""
    core = prober()
    probe = core.datagram(100)
    core.departed(probe, 105)
    core.departed(DATAGRAM.pack(b"WSCP", 1, PROBE, 0, SESSION + 1, 1, 0, 0, 0), 999)
    core.departed(DATAGRAM.pack(b"WSCP", 1, PROBE, 0, SESSION, 7, 0, 0, 0), 999)
    core.departed(probe[:-1], 999)
    core.on_reply(reply(1, t2=110), 130)
    assert [(1, 105, 110, ABSENT, 130)] == core.finish()


def test_a_lost_reply_leaves_t3_of_the_one_before_absent() -> None:
    """Reply 2 is lost and with it T3 of 1; T3 of 2 is nobody's. Rows wait until more cannot come, and keep order."""
    core = prober()
    for number in (1, 2, 3, 4):
        core.datagram(100 * number)
    core.on_reply(reply(1, t2=110), 130)
    core.on_reply(reply(3, t2=310, previous=2, t3=220), 330)
    core.on_reply(reply(4, t2=410, previous=3, t3=320), 430)
    assert [] == core.take_rows()
    for number in range(5, PATIENCE + 3):
        core.datagram(100 * number)
    assert [(1, 100, 110, ABSENT, 130), (3, 300, 310, 320, 330)] == core.take_rows()
    assert {"sent": PATIENCE + 2, "answered": 3, "lost": 1} == counted(core)


def test_replies_that_overtake_each_other() -> None:
    """T3 may come before T2, and the first one stands; rows come in the order of numbers."""
    core = prober()
    for number in (1, 2, 3):
        core.datagram(100 * number)
    core.on_reply(reply(3, t2=310, previous=2, t3=220), 330)
    core.on_reply(reply(2, t2=210, previous=1, t3=120), 340)
    core.on_reply(reply(2, t2=211, previous=1, t3=121), 345)
    core.on_reply(reply(1, t2=110), 350)
    assert [(1, 100, 110, 120, 350), (2, 200, 210, 220, 340)] == core.take_rows()


def test_a_second_reply_changes_nothing() -> None:
    """The first one's T4 stands, and the first T3."""
    core = prober()
    core.datagram(100)
    core.datagram(200)
    core.on_reply(reply(1, t2=110), 130)
    core.on_reply(reply(1, t2=111), 190)
    core.on_reply(reply(2, t2=210, previous=1, t3=120), 230)
    core.on_reply(reply(2, t2=211, previous=1, t3=121), 240)
    core.on_reply(reply(1, t2=111), 290)
    assert [(1, 100, 110, 120, 130), (2, 200, 210, ABSENT, 230)] == core.finish()
    assert {"sent": 2, "answered": 2, "duplicated": 3} == counted(core)


def test_a_reply_to_a_probe_that_was_given_up_is_late() -> None:
    """It was counted as lost and stays so."""
    core = prober()
    for number in range(PATIENCE + 1):
        core.datagram(100 * number)
    assert {"sent": PATIENCE + 1, "lost": 1} == counted(core)
    core.on_reply(reply(1, t2=110), 5000)
    assert {"sent": PATIENCE + 1, "lost": 1, "late": 1} == counted(core)
    assert [] == core.finish()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        reply(1)[:-1],
        reply(1) + b"\0",
        b"WSCQ" + reply(1)[4:],
        b"WSCP\2" + reply(1)[5:],
        b"WSCP\1\1" + reply(1)[6:],
        b"WSCP\1\2\0\1" + reply(1)[8:],
        reply(1, session=SESSION ^ 1),
        reply(0),
        reply(2),
        reply(2**64 - 1),
    ],
)
def test_what_is_no_answer_is_counted_and_nothing_else(data: bytes) -> None:
    """Too short, too long, another magic, version, kind, session, or a number that was not sent."""
    core = prober()
    core.datagram(100)
    core.on_reply(data, 130)
    assert {"sent": 1, "malformed": 1} == counted(core)
    assert [] == core.finish()


@given(st.lists(st.binary(max_size=60) | st.builds(reply, st.integers(0, 9))))
def test_no_datagram_raises_and_state_is_bounded(datagrams: list[bytes]) -> None:
    """Whatever comes, whenever."""
    core = prober()
    for data in datagrams:
        core.datagram(100)
        core.on_reply(data, 200)
        core.departed(data, 150)
    assert len(core._open) <= PATIENCE
    assert len(core._lost) <= 2 * PATIENCE


def test_extreme_stamps_pass_through() -> None:
    """64 bits of either sign."""
    core = prober()
    core.datagram(-(2**63))
    core.datagram(2**63 - 1)
    core.on_reply(reply(1, t2=-(2**63)), 2**63 - 1)
    core.on_reply(reply(2, t2=2**63 - 1, previous=1, t3=2**63 - 1), -(2**63))
    rows = core.finish()
    assert [(1, -(2**63), -(2**63), 2**63 - 1, 2**63 - 1), (2, 2**63 - 1, 2**63 - 1, ABSENT, -(2**63))] == rows
    np.array([(0, *row) for row in rows], PROBE_ROW)


def test_an_unanswering_responder_costs_bounded_memory() -> None:
    """All but the last two seconds of probes are given up."""
    core = prober()
    for _ in range(1000):
        core.datagram(100)
    assert PATIENCE == len(core._open)
    assert 1000 - PATIENCE == core.counts.lost
    assert [] == core.finish()
    assert 1000 == core.counts.lost


def test_pauses_are_half_to_one_and_a_half_intervals() -> None:
    """In the mean one interval, and never two alike for long."""
    core = Prober(SESSION, INTERVAL, random.Random(1).random)
    now, pauses = START, []
    for _ in range(2000):
        assert now == core.next_send_time(now)
        core.datagram(now)
        pauses.append(core.next_send_time(now) - now)
        now += pauses[-1]
    assert INTERVAL // 2 <= min(pauses)
    assert max(pauses) <= INTERVAL * 3 // 2
    assert abs(sum(pauses) / len(pauses) - INTERVAL) < INTERVAL / 50
    assert len(set(pauses)) > 1900


def test_a_clock_that_is_set_does_not_stop_the_probes() -> None:
    """Back by an hour: the next probe is due at once; forward: likewise."""
    core = prober()
    assert START == core.next_send_time(START)
    core.datagram(START)
    assert START + INTERVAL == core.next_send_time(START)
    hour = 3600 * 10**9
    assert START - hour == core.next_send_time(START - hour)
    core.datagram(START - hour)
    assert START - hour + INTERVAL == core.next_send_time(START - hour)
    assert core.next_send_time(START + hour) <= START + hour
