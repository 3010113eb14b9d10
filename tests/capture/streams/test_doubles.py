"""What was sent twice, and the receiver's word that both copies arrived (RFC 2883)."""

from typing import Any

import pytest

from capture.streams.doubles import MOST, Doubles, Span, duplicate
from capture.streams.holes import NO_TIMESTAMP, Loss, Sight
from journal.wire import LossCause, PacketFlag

MS = 1_000_000
Made = Any  # a class of conftest.py, which cannot be imported


def sight(time_ns: int) -> Sight:
    return Sight(time_ns, time_ns, time_ns // MS, NO_TIMESTAMP, 0)


@pytest.fixture
def told() -> list[Loss]:
    """What was told."""
    return []


@pytest.fixture
def doubles(told: list[Loss]) -> Doubles:
    """Those of stream 7, with bytes 100 to 199 sent again after 10 ms."""
    made = Doubles(7, told.append)
    made.add(100, 200, sight(10 * MS))
    return made


@pytest.mark.parametrize(
    ("ack", "blocks", "expected"),
    [
        (500, [(100, 200)], (100, 200)),
        (500, [(100, 200), (600, 700)], (100, 200)),
        (500, [(620, 640), (600, 700)], (620, 640)),
        (500, [(600, 700)], None),
        (500, [(600, 700), (100, 200)], None),
        (500, [], None),
    ],
)
def test_the_first_block_says_what_came_once_more(ack: int, blocks: list[Span], expected: Span | None) -> None:
    """At or below the acknowledgement, or inside the second block; else it is an ordinary SACK."""
    assert expected == duplicate(ack, blocks)


def test_both_copies_arrived_when_the_receiver_says_so(doubles: Doubles, told: list[Loss]) -> None:
    """An acknowledgement alone, or a D-SACK of a part, says nothing of it."""
    doubles.acknowledge(200, [], sight(11 * MS))
    doubles.acknowledge(300, [(100, 150)], sight(12 * MS))
    assert [] == told
    doubles.acknowledge(300, [(90, 200)], sight(13 * MS))
    assert [Loss((13 * MS, 13), 7, 100, 100, 10 * MS, 13 * MS, LossCause.DUPLICATED)] == told
    assert not doubles


def test_three_copies_stay_untold(doubles: Doubles, told: list[Loss]) -> None:
    """Two of them may have arrived, and the first of all need not be one of these."""
    doubles.add(150, 160, sight(11 * MS))
    doubles.acknowledge(300, [(100, 200)], sight(12 * MS))
    doubles.acknowledge(300, [(150, 160)], sight(12 * MS))
    assert [] == told


def test_an_answer_is_awaited_for_a_second(doubles: Doubles, told: list[Loss]) -> None:
    """Then nothing is kept any more."""
    doubles.acknowledge(300, [(100, 200)], sight(1_011 * MS))
    assert ([], False) == (told, bool(doubles))


def test_what_is_kept_is_bounded(doubles: Doubles, told: list[Loss]) -> None:
    """The oldest is given up."""
    for number in range(MOST):
        doubles.add(1_000 + 10 * number, 1_010 + 10 * number, sight(11 * MS))
    doubles.acknowledge(300, [(100, 200)], sight(12 * MS))
    doubles.acknowledge(9_000, [(1_000, 1_010)], sight(12 * MS))
    assert [1_000] == [loss.position for loss in told]


def test_a_probe_for_a_lost_tail(tcp: Made) -> None:
    """The last packet is sent again before it is acknowledged; the receiver had it: that is no loss."""
    packets = [
        tcp.sent(0, 1_000, 100, 5_000, 1 * MS, ip_id=1),
        tcp.sent(0, 1_000, 100, 5_000, 9 * MS, ip_id=2),
        tcp.sent(1, 5_000, 0, 1_100, 10 * MS, ip_id=1),
        tcp.sent(1, 5_000, 0, 1_100, 11 * MS, ip_id=2, sack=((1_000, 1_100),)),
        tcp.sent(0, 1_100, 100, 5_000, 12 * MS, ip_id=3),
    ]
    for cut in range(len(packets)):
        followed = tcp.follow(packets, [cut])
        assert PacketFlag.SEEN | PacketFlag.UNACKED == followed.rows()[1].flags
        assert [tcp.lost(2, 1_000, 100, LossCause.DUPLICATED)] == followed.lost()
