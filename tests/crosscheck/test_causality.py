"""A stamp is refuted when no θ explains it, by how much, and only then."""

import numpy as np
import pytest

from crosscheck.causality import SECOND_NS, Translation, check_causality, kernel_sched, own_kernel_rx
from crosscheck.model import Column, Matches, WireSide
from journal.layout import ABSENT, RECEIVED, SENT, TRANSMITTED, StampFlag, TxEvent
from journal.wire import LOSS, PACKET, PROBE, PacketFlag

THETA = 1000


class Known:
    """θ = `THETA` ± 10 ns between two moments, with a drift from the first on."""

    def __init__(self, since: int = 0, until: int = 1 << 62, ppm: int = 0, lower: int | None = None) -> None:
        self.since, self.until, self.ppm, self.lower = since, until, ppm, lower

    def bounds(self, t_ns: Column) -> tuple[Column, Column]:
        """Return θ ± 10 ns."""
        theta = THETA + (t_ns - self.since) * self.ppm // 1_000_000
        known = (t_ns >= self.since) & (t_ns <= self.until)
        lower = np.full(len(t_ns), ABSENT) if self.lower == ABSENT else theta - 10
        return np.where(known, lower, ABSENT), np.where(known, theta + 10, ABSENT)


def orders(*written: int) -> np.ndarray:
    rows = np.zeros(len(written), SENT)
    rows["written"] = written
    rows["trace"] = 100 + np.arange(len(written))
    rows["order"] = 1 + np.arange(len(written))
    return rows


def on_the_wire(*time: int, flags: int = PacketFlag.FIRST) -> tuple[Matches, np.ndarray]:
    packets = np.zeros(len(time), PACKET)
    packets["time"], packets["flags"] = time, flags
    return Matches(packets["time"].copy(), np.arange(len(time)), np.zeros(len(time), np.uint8)), packets


def seen(packets: np.ndarray, slack_ns: Column | None = None) -> WireSide:
    return WireSide(packets, np.zeros(0, LOSS), np.zeros(0, PROBE), [], slack_ns=slack_ns)


def test_a_stamp_is_refuted_only_when_the_least_theta_cannot_explain_it() -> None:
    """To the nanosecond; the message is named."""
    matches, packets = on_the_wire(5990, 5990, 5990)
    found = check_causality(orders(5000, 5001, 4000), np.array([4990, 5300, ABSENT]), matches, seen(packets), Known())
    assert [(101, 2, 1, "written", 1), (101, 2, 1, "kernel_sched", 300)] == [
        (v.trace, v.order, v.row, v.hop, v.by_ns) for v in found.violations
    ]
    assert (2, 3, 0) == (found.refuted, found.unrefuted, found.not_refutable)


@pytest.mark.parametrize("clock", [Known(until=-1), Known(lower=ABSENT)])
def test_without_a_lower_bound_nothing_can_be_refuted(clock: Known) -> None:
    """However late the stamp is."""
    matches, packets = on_the_wire(5990)
    found = check_causality(orders(1 << 40), np.array([1 << 40]), matches, seen(packets), clock)
    assert ([], 0, 0, 2) == (found.violations, found.refuted, found.unrefuted, found.not_refutable)


def test_a_message_without_a_packet_or_with_another_clocks_cannot_be_tested() -> None:
    """The NIC's clock is a third one."""
    none = Matches(np.array([ABSENT]), np.array([-1]), np.array([3], np.uint8))
    absent = np.array([ABSENT])
    assert 1 == check_causality(orders(1 << 40), absent, none, seen(np.zeros(0, PACKET)), Known()).not_refutable
    matches, packets = on_the_wire(5990, flags=PacketFlag.FIRST | PacketFlag.HARDWARE)
    assert 1 == check_causality(orders(1 << 40), absent, matches, seen(packets), Known()).not_refutable


def test_a_packet_may_have_passed_later_than_its_row_says_by_its_slack() -> None:
    """The stamp of a NIC is known to the width of its clock's interval."""
    matches, packets = on_the_wire(5990, 5990)
    wire = seen(packets, np.array([3, 4]))
    found = check_causality(orders(5004, 5004), np.array([ABSENT, ABSENT]), matches, wire, Known())
    assert [(100, 1)] == [(violation.trace, violation.by_ns) for violation in found.violations]


def test_violations_are_all_counted_and_the_first_are_named() -> None:
    """A clock that is wrong refutes every stamp."""
    matches, packets = on_the_wire(*[5990] * 1500)
    found = check_causality(orders(*[9000] * 1500), np.full(1500, 9000), matches, seen(packets), Known())
    assert (3000, 1000) == (found.refuted, len(found.violations))
    assert list(range(500)) == [v.row for v in found.violations[::2]]


def test_scheduling_stamps_are_joined_by_connection_and_byte() -> None:
    """The first transmission's, of that event alone."""
    sent = np.zeros(4, SENT)
    sent["conn"], sent["off"] = [1, 2, 1, 3], [99, 99, 199, 5]
    rows = [(1, 199, 1, 30), (2, 99, 1, 20), (1, 99, 1, 10), (1, 99, 0, 5), (1, 99, 1, 15), (3, 6, 1, 7)]
    transmitted = np.zeros(len(rows), TRANSMITTED)
    for place, name in enumerate(("conn", "off", "event", "time")):
        transmitted[name] = [row[place] for row in rows]
    assert TxEvent.SCHED == 1
    assert [10, 20, 30, ABSENT] == kernel_sched(sent, transmitted).tolist()
    assert [ABSENT] * 4 == kernel_sched(sent, transmitted[:0]).tolist()


def test_a_receive_stamp_that_is_another_messages_is_left_out() -> None:
    """It belongs to a later byte of the read."""
    received = np.zeros(2, RECEIVED)
    received["kernel_rx"], received["flags"] = [10, 20], [StampFlag.RX_SHARED, 0]
    assert [ABSENT, 20] == own_kernel_rx(received).tolist()


def test_times_are_translated_by_the_theta_of_their_own_moment() -> None:
    """A minute away from the probe that is asked first, at 20 ppm."""
    clock = Known(ppm=20)
    known = np.arange(0, 120) * SECOND_NS
    earliest, latest = Translation(clock, known).on_wire(np.array([0, 110 * SECOND_NS, ABSENT]))
    theta = THETA + 110 * 20_000
    assert [THETA - 10, 110 * SECOND_NS + theta - 10, ABSENT] == pytest.approx(earliest.tolist(), abs=50)
    assert [20, 20] == (latest - earliest)[:2].tolist()


def test_far_from_any_probe_a_time_is_known_roughly() -> None:
    """A second and what clocks may drift; nothing without any probe."""
    translation = Translation(Known(until=10 * SECOND_NS), np.array([ABSENT, 5 * SECOND_NS, 99 * SECOND_NS]))
    assert [ABSENT] == translation.on_wire(np.array([3600 * SECOND_NS]))[0].tolist()
    span = translation.roughly(3605 * SECOND_NS)
    assert span is not None
    assert 2 * (SECOND_NS + 1.8 * SECOND_NS) == pytest.approx(span[1] - span[0], rel=1e-6)
    nothing = Translation(Known(), np.array([], np.int64))
    assert (None, [ABSENT]) == (nothing.roughly(0), nothing.on_wire(np.array([5]))[1].tolist())
