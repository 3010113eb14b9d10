"""Holes: what opens and closes them, what fills them, and what is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.streams.flows import REORDER_NS
from capture.streams.holes import MOST, Holes, Loss, Piece, Sight, is_counted, is_original, sent_after
from capture.streams.options import NO_TIMESTAMP
from journal.layout import ABSENT
from journal.wire import LossCause, PacketFlag

MS = 1_000_000
SEEN = PacketFlag.SEEN
LATE = PacketFlag.FIRST | PacketFlag.LATE
RESENT = PacketFlag.FIRST | PacketFlag.RESENT
RESENT_ACKED = RESENT | PacketFlag.ACKED


def sight(time_ns: int = 0, tsval: int = NO_TIMESTAMP, ip_id: int = 0) -> Sight:
    """A packet; its ordinal grows with its time."""
    return Sight(time_ns, time_ns, time_ns, tsval, ip_id)


@pytest.fixture
def told() -> list[Loss]:
    """The losses that were told."""
    return []


@pytest.fixture
def holes(told: list[Loss]) -> Holes:
    """One hole, 100 to 400, opened at 5 ms by the packet with TSval 50 and identification 10."""
    holes = Holes(7, told.append)
    holes.open(100, 400, sight(5 * MS, 50, 10), counting=True)
    return holes


def causes(told: list[Loss]) -> list[tuple[int, int, LossCause]]:
    """Position, size and cause of each loss."""
    return [(loss.position, loss.size, loss.cause) for loss in told]


def test_original_fills_a_hole(holes: Holes, told: list[Loss]) -> None:
    """It is late, and nothing was lost."""
    assert [Piece(100, 400, LATE)] == holes.fill(100, 400, sight(9 * MS, 49, 9))
    assert [Loss((9 * MS, 9 * MS), 7, 100, 300, 5 * MS, 9 * MS, LossCause.REORDERED)] == told
    assert not holes


def test_retransmission_fills_a_hole(holes: Holes, told: list[Loss]) -> None:
    """Before any acknowledgement: the network lost the original."""
    assert [Piece(100, 400, RESENT)] == holes.fill(100, 400, sight(9 * MS, 51, 11))
    assert [(100, 300, LossCause.NETWORK)] == causes(told)


def test_acknowledged_hole_is_held_back(holes: Holes, told: list[Loss]) -> None:
    """The mirror's loss is told once the original can no longer come."""
    holes.acknowledge(0, 400, sight(6 * MS))
    assert (False, True) == (holes.waiting, holes.held)
    holes.expire(6 * MS + REORDER_NS - 1)
    assert [] == told
    holes.expire(6 * MS + REORDER_NS)
    assert [Loss((6 * MS + REORDER_NS, -1), 7, 100, 300, 5 * MS, 6 * MS, LossCause.MIRROR)] == told


def test_original_behind_its_acknowledgement_is_reordering(holes: Holes, told: list[Loss]) -> None:
    """The acknowledgement overtook it in the mirror."""
    holes.acknowledge(0, 400, sight(6 * MS))
    assert [Piece(100, 400, LATE)] == holes.fill(100, 400, sight(7 * MS, 49, 9))
    assert [(100, 300, LossCause.REORDERED)] == causes(told)


@pytest.mark.parametrize("at_ns", [7 * MS, 6 * MS + REORDER_NS])
def test_retransmission_behind_the_acknowledgement(holes: Holes, told: list[Loss], at_ns: int) -> None:
    """The mirror lost the original, whether that was told before or not, and it is told once."""
    holes.acknowledge(0, 400, sight(6 * MS))
    assert [Piece(100, 400, RESENT_ACKED)] == holes.fill(100, 400, sight(at_ns, 51, 11))
    assert [(100, 300, LossCause.MIRROR)] == causes(told)
    holes.give_up((at_ns, 0))
    assert 1 == len(told)


def test_original_behind_the_verdict_comes_too_late(holes: Holes, told: list[Loss]) -> None:
    """The verdict stands, and the bytes are not taken for the original's."""
    holes.acknowledge(0, 400, sight(6 * MS))
    assert [Piece(100, 400, RESENT_ACKED)] == holes.fill(100, 400, sight(6 * MS + REORDER_NS, 49, 9))
    assert [(100, 300, LossCause.MIRROR)] == causes(told)


def test_hole_is_split_exactly(holes: Holes, told: list[Loss]) -> None:
    """Pieces of a hole have causes of their own."""
    holes.acknowledge(250, 300, sight(6 * MS))
    assert [Piece(150, 200, LATE)] == holes.fill(150, 200, sight(7 * MS, 49, 9))
    assert [Piece(350, 400, RESENT), Piece(400, 450, SEEN)] == holes.fill(350, 450, sight(8 * MS, 51, 12))
    assert [Piece(90, 100, SEEN), Piece(100, 120, RESENT)] == holes.fill(90, 120, sight(9 * MS, 52, 13))
    holes.give_up((10 * MS, 0))
    assert [
        (150, 50, LossCause.REORDERED),
        (350, 50, LossCause.NETWORK),
        (100, 20, LossCause.NETWORK),
        (120, 30, LossCause.UNKNOWN),
        (200, 50, LossCause.UNKNOWN),
        (250, 50, LossCause.MIRROR),
        (300, 50, LossCause.UNKNOWN),
    ] == causes(told)
    assert [ABSENT] * 3 == [loss.closed_ns for loss in told if loss.cause is LossCause.UNKNOWN]


def test_earlier_packet_from_behind_the_hole_is_the_better_witness(holes: Holes, told: list[Loss]) -> None:
    """What was sent between the two cannot be the original."""
    holes.witness(400, sight(6 * MS, 40, 5))
    assert [Piece(100, 200, RESENT)] == holes.fill(100, 200, sight(7 * MS, 45, 7))
    assert [(100, 100, LossCause.NETWORK)] == causes(told)


def test_packet_from_below_is_no_witness(holes: Holes) -> None:
    """Only what lies behind a hole was sent after its original."""
    holes.witness(399, sight(6 * MS, 40, 5))
    assert [Piece(100, 200, LATE)] == holes.fill(100, 200, sight(7 * MS, 45, 7))


def test_holes_are_bounded(told: list[Loss]) -> None:
    """The oldest is given up, also when acknowledgements split a hole into ever more."""
    holes = Holes(7, told.append)
    for number in range(MOST + 1):
        holes.open(10 * number, 10 * number + 5, sight(number), counting=False)
    assert [(0, 5, LossCause.UNKNOWN)] == causes(told)
    split = Holes(7, told.append)
    split.open(0, 10_000, sight(), counting=False)
    for at in range(0, 10_000, 10):
        split.acknowledge(at, at + 5, sight())
    assert len(split._holes) <= MOST


@pytest.mark.parametrize(
    ("packet", "after"),
    [
        (sight(tsval=49, ip_id=11), False),
        (sight(tsval=51, ip_id=9), True),
        (sight(tsval=50, ip_id=9), False),
        (sight(tsval=50, ip_id=11), True),
        (sight(tsval=50, ip_id=10), None),
        (sight(tsval=50, ip_id=10 + 9_000), None),
        (sight(ip_id=65_535), False),
        (sight(tsval=50 - 2**31 + 2**32, ip_id=9), False),
    ],
)
def test_what_was_sent_after_the_witness(packet: Sight, after: bool | None) -> None:  # noqa: FBT001 - a parameter
    """TSval decides before the identification, both modulo their width."""
    assert after == sent_after(packet, sight(tsval=50, ip_id=10), counting=True)


def test_identifications_that_do_not_count_say_nothing() -> None:
    """Then only TSval does."""
    assert sent_after(sight(tsval=50, ip_id=9), sight(tsval=50, ip_id=10), counting=False) is None


@pytest.mark.parametrize(
    ("ip_id", "before", "counted"),
    [(7, 6, True), (7, 9, True), (3, 65_530, True), (7, 7, False), (7, 0, False), (0, 7, False), (7, 9_000, False)],
)
def test_counted_identifications_are_close(ip_id: int, before: int, counted: bool) -> None:  # noqa: FBT001 - the same
    """Zero, constant and random ones are not counted."""
    assert counted == is_counted(ip_id, before)
    assert not is_counted(ip_id, None)


@pytest.mark.parametrize(
    ("after_ns", "doubted", "original"), [(3 * MS, False, True), (3 * MS + 1, False, False), (1, True, False)]
)
def test_time_decides_last(after_ns: int, doubted: bool, original: bool) -> None:  # noqa: FBT001 - the same
    """Soon, and before the sender had reason to send again: the original."""
    assert original == is_original(sight(5 * MS + after_ns), sight(5 * MS), 5 * MS, counting=False, doubted=doubted)


def test_duplicate_acknowledgement_raises_doubt(holes: Holes) -> None:
    """What comes afterwards and cannot be told is a retransmission."""
    holes.doubt()
    assert [Piece(100, 400, RESENT)] == holes.fill(100, 400, sight(6 * MS))


EDGES = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda edges: (min(edges), max(edges)))


@given(st.lists(st.tuples(st.sampled_from(["open", "acknowledge", "fill"]), EDGES), max_size=30))
def test_each_missing_byte_is_told_once(steps: list[tuple[str, tuple[int, int]]]) -> None:
    """Byte by byte: missing until it is filled, and its cause told once."""
    told: list[Loss] = []
    holes = Holes(7, told.append)
    missing: dict[int, bool] = {}
    mark, expected = 0, dict[int, LossCause]()
    for time_ns, (what, (start, end)) in enumerate(steps, 1):
        packet = sight(time_ns, tsval=time_ns)
        if what == "open" and start < end:
            holes.open(mark + start, mark + end, packet, counting=False)
            missing |= dict.fromkeys(range(mark + start, mark + end), False)
            mark += end
        elif what == "acknowledge":
            holes.acknowledge(start, end, packet)
            missing |= {at: True for at in range(start, end) if at in missing}
        elif what == "fill":
            pieces = holes.fill(start, end, packet)
            flags = {at: piece.flags for piece in pieces for at in range(piece.start, piece.end)}
            assert set(range(start, end)) == set(flags)
            for at in range(start, end):
                acked = missing.pop(at, None)
                assert {None: SEEN, False: RESENT, True: RESENT_ACKED}[acked] == flags[at]
                if acked is not None:
                    expected[at] = LossCause.MIRROR if acked else LossCause.NETWORK
    holes.give_up((100, 0))
    expected |= {at: LossCause.MIRROR if acked else LossCause.UNKNOWN for at, acked in missing.items()}
    assert sum(loss.size for loss in told) == len(expected)
    assert expected == {at: loss.cause for loss in told for at in range(loss.position, loss.position + loss.size)}
