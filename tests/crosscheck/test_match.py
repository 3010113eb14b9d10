"""A byte is matched where it was first seen, and its loss is named; what two taps saw is matched to neither."""

from typing import Any

import numpy as np
import pytest

from crosscheck.isn import Origin
from crosscheck.match import combine, match_stream, nothing_found
from crosscheck.model import Unmatched
from crosscheck.streams import Ranges, Stream
from journal.wire import LossCause, PacketFlag

NONE = Ranges(np.array([], np.int64), np.array([], np.int64))
START = 5000


def stream(
    flags: int = PacketFlag.FIRST, again: Ranges = NONE, missed: Ranges = NONE, cause: LossCause = LossCause.MIRROR
) -> Stream:
    """Return a stream of three packets of 10 bytes, a hole behind the first; the second has these flags."""
    begin = np.array([START, START + 20, START + 30])
    return Stream(
        isn=START - 1,
        first=Ranges(begin, begin + 10),
        row=np.array([7, 9, 8]),
        time=np.array([1, 3, 2]),
        flags=np.array([1, flags, 1], np.uint16),
        again=again,
        missed=missed,
        hole=Ranges(begin[:1] + 10, begin[:1] + 20),
        cause=np.array([cause], np.uint32),
        extent=START + 50,
    )


def matched(of: Stream, off: list[int], *, inbound: bool, start: int = START) -> tuple[list[int], list[int]]:
    """Return the packets and reasons as lists."""
    packet, reason = match_stream(of, Origin(START, start), np.array(off), inbound=inbound)
    return packet.tolist(), reason.tolist()


@pytest.mark.parametrize("inbound", [True, False])
def test_every_byte_is_of_its_packet_or_has_its_reason(*, inbound: bool) -> None:
    """First and last byte of a packet, of a hole that was told and of one that was not, and behind everything."""
    expected = [7, 7, -1, -1, 9, 8, -1, -1]
    lost = [Unmatched.MIRROR_LOST] * 2
    reasons = [0, 0, *lost, 0, 0, Unmatched.UNKNOWN_LOSS, Unmatched.AFTER_CAPTURE]
    assert (expected, reasons) == matched(stream(), [0, 9, 10, 19, 20, 39, 40, 50], inbound=inbound)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (LossCause.MIRROR, Unmatched.MIRROR_LOST),
        (LossCause.NETWORK, Unmatched.NETWORK_LOST),
        (LossCause.UNKNOWN, Unmatched.UNKNOWN_LOSS),
        (LossCause.REORDERED, Unmatched.UNKNOWN_LOSS),
    ],
)
def test_a_hole_names_its_cause(cause: LossCause, reason: Unmatched) -> None:
    """A hole that is said to be filled, and is not, is unknown."""
    assert ([-1], [reason]) == matched(stream(cause=cause), [15], inbound=True)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        (PacketFlag.LATE, Unmatched.MATCHED),
        (PacketFlag.RESENT, Unmatched.NETWORK_LOST),
        (PacketFlag.RESENT | PacketFlag.ACKED, Unmatched.MIRROR_LOST),
    ],
)
def test_a_hole_that_was_filled_tells_by_what(flag: PacketFlag, reason: Unmatched) -> None:
    """Only the original packet is a match."""
    of = stream(PacketFlag.FIRST | flag)
    for inbound in (True, False):
        assert ([9 if reason == Unmatched.MATCHED else -1], [reason]) == matched(of, [25], inbound=inbound)


def test_of_two_copies_only_the_sender_knows_his() -> None:
    """Outbound stamps are of the first transmission; inbound either copy may have arrived first."""
    of = stream(again=Ranges(np.array([START + 22]), np.array([START + 26])))
    assert ([9, -1, 9], [0, Unmatched.RESENT, 0]) == matched(of, [21, 25, 26], inbound=True)
    assert ([9, 9, 9], [0, 0, 0]) == matched(of, [21, 25, 26], inbound=False)


@pytest.mark.parametrize("flags", [PacketFlag.FIRST, PacketFlag.FIRST | PacketFlag.RESENT])
def test_where_the_receiver_had_a_copy_more_no_packet_is_the_first(flags: PacketFlag) -> None:
    """Whichever side sent it; nor is anything else said of bytes that were never seen."""
    missed = Ranges(np.array([START + 22, START + 45]), np.array([START + 30, START + 50]))
    of = stream(flags, again=missed, missed=missed)
    for inbound in (True, False):
        reasons = matched(of, [22, 29, 30, 44, 45], inbound=inbound)[1]
        assert [Unmatched.MIRROR_LOST] * 2 + [0, Unmatched.UNKNOWN_LOSS, Unmatched.MIRROR_LOST] == reasons


def test_what_may_have_passed_before_the_capture_is_not_matched() -> None:
    """Though it was captured: as a retransmission."""
    before = Unmatched.BEFORE_CAPTURE
    assert ([-1, -1, 9], [before, before, 0]) == matched(stream(), [5, 24, 25], inbound=True, start=START + 25)


def test_what_one_capture_does_not_know_another_may() -> None:
    """What two know of is of two taps; what none knows keeps the first one's reason."""
    one: Any = (np.array([3, -1, 4, -1]), np.array([0, Unmatched.AFTER_CAPTURE, 0, Unmatched.AFTER_CAPTURE], np.uint8))
    lost = [Unmatched.BEFORE_CAPTURE, 0, Unmatched.MIRROR_LOST, Unmatched.BEFORE_CAPTURE]
    other: Any = (np.array([-1, 6, -1, -1]), np.array(lost, np.uint8))
    packet, reason = combine([one, other])
    assert [3, 6, -1, -1] == packet.tolist()
    assert [0, 0, Unmatched.CONNECTION_AMBIGUOUS, Unmatched.AFTER_CAPTURE] == reason.tolist()
    packet, reason = combine([nothing_found(4, Unmatched.ISN_AMBIGUOUS), one])
    assert ([3, -1, 4, -1], [0, 4, 0, 4]) == (packet.tolist(), reason.tolist())
