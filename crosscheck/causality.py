"""Stamps against the wire: can what the trader wrote down be true? Pure arrays; the only place where clocks meet.

A message is written, then scheduled by the kernel, then it is on the wire. So `stamp + θ ≤ wire_out` must hold for some
θ within the bounds, and only a lower bound of θ can refute it. The bounds come from probes; what is tested here never
tightens them. Not tested: `kernel_tx`, since a kernel's mirror clones a packet before its driver stamps it, and inbound
stamps, since the mirror's copy and the trader's own follow the same packet in either order.
"""

from typing import Final

import numpy as np

from crosscheck.feasible import MAX_RATE_PPM
from crosscheck.model import Causality, Clock, Column, Index, Mask, Matches, Rows, Span, Violation, WireSide
from crosscheck.streams import Grouped
from journal.layout import ABSENT, StampFlag, TxEvent
from journal.wire import PacketFlag

SECOND_NS: Final = 1_000_000_000

_LISTED: Final = 1000  # violations that are told one by one: a clock that is wrong refutes every stamp


class Translation:
    """The trader's times on the monitor's clock, for every θ that the probes allow.

    θ is known by the monitor's time, which is what is wanted; so it is taken at some known moment first, then where
    that leads. What remains of it is the square of the drift: 35 µs a day away at 20 ppm.

    Args:
        clock: the bounds of θ.
        known_ns: times of the monitor's clock at which θ may be known, shape (n,): those of the probes.
    """

    def __init__(self, clock: Clock, known_ns: Column) -> None:
        self._clock = clock
        lower, upper = clock.bounds(known_ns)
        known = np.flatnonzero((lower != ABSENT) & (upper != ABSENT))
        self._anchor: tuple[int, int] | None = None  # a moment and θ there, ns
        if len(known):
            middle = known[len(known) // 2]
            self._anchor = int(known_ns[middle]), (int(lower[middle]) + int(upper[middle])) // 2

    def on_wire(self, when: Column) -> tuple[Column, Column]:
        """Return when it was on the monitor's clock, at the earliest and at the latest.

        Args:
            when: ns of the trader's clock, or ABSENT.

        Returns:
            Shape of `when`, ns of the monitor's clock; ABSENT where the time or one of the bounds is not known.
        """
        if self._anchor is None:
            return np.full(len(when), ABSENT), np.full(len(when), ABSENT)
        anchor_ns, theta_ns = self._anchor
        known = when != ABSENT
        lower, upper = self._clock.bounds(np.where(known, when + theta_ns, anchor_ns))
        known &= (lower != ABSENT) & (upper != ABSENT)
        return np.where(known, when + lower, ABSENT), np.where(known, when + upper, ABSENT)

    def roughly(self, when_ns: int) -> Span | None:
        """Return between which moments of the monitor's clock a time of the trader's was, also far from any probe.

        Args:
            when_ns: ns of the trader's clock.
        """
        if self._anchor is None:
            return None
        anchor_ns, theta_ns = self._anchor
        slack_ns = SECOND_NS + int(abs(when_ns + theta_ns - anchor_ns) * MAX_RATE_PPM / 1e6)
        return when_ns + theta_ns - slack_ns, when_ns + theta_ns + slack_ns


def own_kernel_rx(received: Rows) -> Column:
    """Return the kernel's receive stamp of the messages that own theirs, ABSENT for the others; shape (messages,)."""
    return np.where((received["flags"] & StampFlag.RX_SHARED) != 0, ABSENT, received["kernel_rx"])


def kernel_sched(sent: Rows, transmitted: Rows) -> Column:
    """Return when the kernel scheduled the last byte of each message, first transmission; shape (messages,).

    Args:
        sent: rows `journal.layout.SENT`.
        transmitted: rows `journal.layout.TRANSMITTED`, in which stamps of a retransmission follow the first.
    """
    found = np.full(len(sent), ABSENT, np.int64)
    scheduled = np.flatnonzero(transmitted["event"] == TxEvent.SCHED)
    by_connection = Grouped(transmitted["conn"][scheduled])
    messages = Grouped(sent["conn"])
    for number in np.unique(sent["conn"]).tolist():
        rows = scheduled[by_connection.places(number)]
        if not len(rows):
            continue
        rows = rows[np.argsort(transmitted["off"][rows], kind="stable")]
        offs = transmitted["off"][rows]
        mine = messages.places(number)
        place = np.minimum(np.searchsorted(offs, sent["off"][mine]), len(rows) - 1)
        same = offs[place] == sent["off"][mine]
        found[mine[same]] = transmitted["time"][rows[place[same]]]
    return found


def check_causality(sent: Rows, scheduled: Column, outbound: Matches, wire: WireSide, clock: Clock) -> Causality:
    """Test `written` and `kernel_sched` of every message that was sent.

    Args:
        sent: rows `journal.layout.SENT`.
        scheduled: `kernel_sched` beside them.
        outbound: their packets. Those that a NIC stamped test nothing where its clock's difference is not known.
        wire: the capture.
        clock: the bounds of θ.

    Returns:
        The findings of outbound stamps; those of inbound messages are for the caller to add.
    """
    violations: list[Violation] = []
    refuted = tested = stamped = 0
    rows = np.flatnonzero(_comparable(outbound.packet, wire.packets))
    wire_out = outbound.time[rows]
    lower, _ = clock.bounds(wire_out)
    latest = wire_out if wire.slack_ns is None else wire_out + wire.slack_ns[outbound.packet[rows]]
    for hop, when in (("written", sent["written"]), ("kernel_sched", scheduled)):
        testable = (lower != ABSENT) & (when[rows] != ABSENT)
        excess = when[rows] + lower - latest
        late = np.flatnonzero(testable & (excess > 0))
        stamped += int(np.count_nonzero(when != ABSENT))
        tested += int(np.count_nonzero(testable))
        refuted += len(late)
        violations += [
            Violation(int(sent["trace"][row]), int(sent["order"][row]), row, hop, by_ns)
            for row, by_ns in zip(rows[late[:_LISTED]].tolist(), excess[late[:_LISTED]].tolist(), strict=True)
        ]
    violations.sort(key=lambda violation: violation.row)
    return Causality(violations[:_LISTED], refuted, tested - refuted, stamped - tested)


def _comparable(packet: Index, packets: Rows) -> Mask:
    """Tell which messages have a packet with a time of the monitor's own clock."""
    same = packet >= 0
    same[same] = (packets["flags"][packet[same]] & PacketFlag.HARDWARE) == 0
    return same


def by_trader(clock: Clock, captured: Column) -> Column:
    """Return when packets were captured, on the trader's clock, by the middle of θ's interval.

    Args:
        clock: the bounds of θ.
        captured: ns of the monitor's clock, or ABSENT.

    Returns:
        Shape of `captured`, ns; ABSENT where the time or one of the bounds is not known.
    """
    lower, upper = clock.bounds(captured)
    known = (captured != ABSENT) & (lower != ABSENT) & (upper != ABSENT)
    middle = lower + (upper - lower) // 2
    return np.where(known, captured - np.where(known, middle, 0), ABSENT)
