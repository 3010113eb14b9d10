"""What came twice, and what the receiver's word of it proves (RFC 2883)."""

from typing import Any

import pytest

from capture.streams.doubles import MOST, Doubles, Span, duplicate
from capture.streams.holes import NO_TIMESTAMP, Loss, Sight
from journal.wire import LossCause, PacketFlag

MS = 1_000_000
DUPLICATED, MISSED = LossCause.DUPLICATED, LossCause.MISSED
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
    again(made, 100, 200, 10)
    return made


def again(doubles: Doubles, start: int, end: int, ms: int, *, acked: bool = False) -> None:
    """Let bytes come once more."""
    doubles.add(start, end, sight(ms * MS), acked=acked, provable=not acked)


def word(doubles: Doubles, start: int, end: int, ms: int, *, copied: bool = False) -> None:
    """Let the receiver say that bytes came once more."""
    doubles.answer((start, end), sight(ms * MS), copied=copied)


def spans(told: list[Loss]) -> list[tuple[int, int, LossCause]]:
    """Return what was told: first position, position behind the last, cause."""
    return [(loss.position, loss.position + loss.size, loss.cause) for loss in told]


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
    """An acknowledgement alone says nothing of it; the row tells when the second copy came and when the word."""
    doubles.acknowledge(200, [], sight(11 * MS))
    assert [] == told
    word(doubles, 100, 200, 13)
    assert [Loss((13 * MS, 13), 7, 100, 100, 10 * MS, 13 * MS, DUPLICATED)] == told


def test_the_word_may_be_about_a_part_or_about_several(doubles: Doubles, told: list[Loss]) -> None:
    """A frame of segmentation offload reaches the receiver in parts, and it may speak of neighbours at once."""
    again(doubles, 200, 300, 10)
    word(doubles, 100, 150, 11)
    word(doubles, 150, 300, 12)
    assert [(100, 150, DUPLICATED), (150, 200, DUPLICATED), (200, 300, DUPLICATED)] == sorted(spans(told))


def test_bytes_that_the_capture_saw_once_were_missed(doubles: Doubles, told: list[Loss]) -> None:
    """All that the receiver names and that did not come twice, told once."""
    word(doubles, 90, 220, 13)
    word(doubles, 95, 100, 14)
    assert [(90, 100, MISSED), (100, 200, DUPLICATED), (200, 220, MISSED)] == sorted(spans(told))


def test_each_copy_is_spoken_of_once(doubles: Doubles, told: list[Loss]) -> None:
    """One word more is about a copy that the capture missed, unless it is the mirror's copy of the same word."""
    word(doubles, 100, 200, 13)
    word(doubles, 100, 200, 14, copied=True)
    assert [(100, 200, DUPLICATED)] == spans(told)
    word(doubles, 100, 200, 15)
    assert [(100, 200, DUPLICATED), (100, 200, MISSED)] == spans(told)


def test_what_came_again_after_its_acknowledgement_was_not_missed(told: list[Loss]) -> None:
    """Nor is anything proven by the word of it: the first copy had arrived before."""
    doubles = Doubles(7, told.append)
    again(doubles, 100, 200, 10, acked=True)
    assert not doubles.waiting
    word(doubles, 100, 200, 11)
    assert [] == told


@pytest.mark.parametrize("acked", [False, True])
def test_three_copies_stay_untold(doubles: Doubles, told: list[Loss], *, acked: bool) -> None:
    """Two of them may have arrived, and the first of all need not be one of these."""
    again(doubles, 150, 160, 11, acked=acked)
    word(doubles, 150, 160, 12)
    word(doubles, 100, 200, 12)
    assert [] == told


def test_what_is_not_acknowledged_is_not_forgotten(doubles: Doubles, told: list[Loss]) -> None:
    """The original was lost behind the capture, the answer to the second copy by the mirror: a third one is sent."""
    again(doubles, 100, 200, 5_000)
    doubles.acknowledge(200, [], sight(5_001 * MS))
    word(doubles, 100, 200, 5_001)
    assert [] == told


def test_a_word_that_comes_late_proves_nothing(doubles: Doubles, told: list[Loss]) -> None:
    """It may be about a copy that the capture missed; while nothing is acknowledged it is no new one."""
    word(doubles, 100, 200, 210)
    assert [] == told


@pytest.mark.parametrize("acknowledgement", [(200, []), (100, [(50, 220)])])
def test_an_answer_is_awaited_for_a_second(
    doubles: Doubles, told: list[Loss], acknowledgement: tuple[int, list[Span]]
) -> None:
    """From the acknowledgement on, by number or by SACK; then nothing is known any more, and doubt remains."""
    assert doubles.waiting
    doubles.acknowledge(*acknowledgement, sight(20 * MS))
    assert not doubles.waiting
    doubles.expire(1_020 * MS)
    assert doubles
    doubles.expire(1_021 * MS)
    assert not doubles
    word(doubles, 100, 200, 1_021)
    assert [(100, 200, MISSED)] == spans(told)


def test_what_is_kept_is_bounded(doubles: Doubles, told: list[Loss]) -> None:
    """The oldest are put together: they prove nothing, nor does what comes again of them."""
    for number in range(MOST + 1):
        again(doubles, 1_000 + 10 * number, 1_010 + 10 * number, 11)
    assert MOST == len(doubles._doubles)
    again(doubles, 110, 120, 12)
    word(doubles, 110, 120, 13)
    word(doubles, 110, 120, 14)
    word(doubles, 1_600, 1_610, 14)
    assert [(110, 120, MISSED), (1_600, 1_610, DUPLICATED)] == spans(told)
    doubles.acknowledge(9_000, [], sight(14 * MS))
    assert not doubles.waiting


def test_what_is_known_to_be_missed_is_told_once(told: list[Loss]) -> None:
    """Also when another row has told of it."""
    doubles = Doubles(7, told.append)
    doubles.miss(100, 200, sight(10 * MS), told=True)
    doubles.miss(150, 250, sight(11 * MS))
    word(doubles, 100, 260, 12)
    word(doubles, 100, 200, 13)
    assert [(200, 250, MISSED), (250, 260, MISSED)] == spans(told)


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
        assert [tcp.lost(2, 1_000, 100, DUPLICATED)] == followed.lost()


LOST_TAIL = [
    # The mirror lost 1000 to 1099 at 2 ms; the receiver delays its acknowledgement, and the sender probes.
    (0, 1_000, 100, 5_000, 9 * MS, ()),
    (1, 5_000, 0, 1_100, 10 * MS, ()),
    (1, 5_000, 0, 1_100, 11 * MS, ((1_000, 1_100),)),
    (0, 1_100, 100, 5_000, 12 * MS, ()),
]


@pytest.mark.parametrize("tsval", [None, 7])
def test_a_probe_for_a_tail_that_the_mirror_lost(tcp: Made, tsval: int | None) -> None:
    """It comes in its turn, as if it were the original: only the receiver's answer tells, wherever batches are cut."""
    first = tcp.sent(0, 900, 100, 5_000, MS, ip_id=1, tsval=tsval)
    packets = [first]
    for number, (side, seq, size, ack, time_ns, sack) in enumerate(LOST_TAIL, 3):
        packets.append(tcp.sent(side, seq, size, ack, time_ns, ip_id=number, tsval=tsval, sack=sack))
    for cut in range(len(packets)):
        followed = tcp.follow(packets, [cut])
        assert [tcp.lost(2, 1_000, 100, MISSED)] == followed.lost()
        assert [(11 * MS, 11 * MS)] == [(row["opened"], row["closed"]) for row in followed.losses]


def test_the_mirrors_copy_of_a_receivers_word(tcp: Made) -> None:
    """It is the same word."""
    packets = [
        tcp.sent(0, 1_000, 100, 5_000, 1 * MS, ip_id=1),
        tcp.sent(0, 1_000, 100, 5_000, 9 * MS, ip_id=2),
        tcp.sent(1, 5_000, 0, 1_100, 10 * MS, ip_id=1, sack=((1_000, 1_100),)),
        tcp.sent(1, 5_000, 0, 1_100, 11 * MS, ip_id=1, sack=((1_000, 1_100),)),
        tcp.sent(1, 5_000, 0, 1_100, 11 * MS, ip_id=2, sack=((1_000, 1_100),)),
    ]
    assert [tcp.lost(2, 1_000, 100, DUPLICATED)] == tcp.follow(packets[:4]).lost()
    expected = [tcp.lost(2, 1_000, 100, DUPLICATED), tcp.lost(2, 1_000, 100, MISSED)]
    for cut in range(len(packets)):
        assert expected == tcp.follow(packets, [cut]).lost()


def causes(talk: Made) -> list[tuple[int, int, LossCause]]:
    """Sequence number, size and cause of the losses of a conversation."""
    return [(loss.offset, loss.size, loss.cause) for loss in talk.follow().lost()]


def test_original_behind_its_retransmission(talk: Made) -> None:
    """The mirror delayed it until it had been sent again: when it passed is not known."""
    talk.send(1100, ip_id=9)
    talk.ack(1200)
    talk.send(1100, ip_id=8)
    assert [(1100, 100, MISSED)] == causes(talk)


def test_retransmission_that_the_receiver_did_not_need(talk: Made) -> None:
    """It came behind the acknowledgement; the receiver's word of it is nothing new, and soon nothing is kept."""
    talk.send(1050, 50)
    talk.ack(1100, sack=((1050, 1100),))
    assert [] == causes(talk)


def test_retransmission_of_what_the_mirror_is_known_to_have_lost(talk: Made) -> None:
    """The receiver's word of it says no more."""
    talk.send(1200)
    talk.ack(1300)
    talk.send(1100)
    talk.ack(1300, sack=((1100, 1200),))
    assert [(1100, 100, LossCause.MIRROR)] == causes(talk)


def test_word_of_a_stream_that_was_not_met(tcp: Made) -> None:
    """Nor of what passed before it was met: there is nothing to doubt."""
    talk = tcp.talk()
    talk.ack(1150, sack=((1000, 1150),))
    talk.send(1100)
    talk.ack(1200, sack=((1050, 1140),))
    for cut in range(3):
        assert [tcp.lost(2, 1100, 40, MISSED)] == tcp.follow(talk.packets, [cut]).lost()


@pytest.mark.parametrize("probing", [False, True])
def test_keep_alive_with_a_byte_is_answered_as_a_copy(talk: Made, *, probing: bool) -> None:
    """Its byte is no copy that the capture missed (RFC 9293, section 3.8.4)."""
    if probing:
        talk.send(1099, 1)
    talk.ack(1100, sack=((1099, 1100),))
    expected = [] if probing else [(1099, 1, MISSED)]
    assert expected == causes(talk)
