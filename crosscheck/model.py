"""What goes into a crosscheck and what comes out: rows of two journals; a column beside each of the trader's rows."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]
Column = npt.NDArray[np.int64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Reasons = npt.NDArray[np.uint8]
Span = tuple[int, int]  # first and last moment, ns of the monitor's clock


@dataclass(frozen=True, slots=True)
class TraderConnection:
    """A connection as the trader's journal tells of it.

    Attributes:
        number: as in the rows' `conn`.
        local, remote: its ends, `address:port`.
        opened_ns, closed_ns: when, on the trader's clock; `closed_ns` is None while it is open.
    """

    number: int
    local: str
    remote: str
    opened_ns: int
    closed_ns: int | None


@dataclass(frozen=True, slots=True)
class WireConnection:
    """A connection as the capture met it: streams `2 * number` (sent by `a`) and `2 * number + 1` (sent by `b`)."""

    number: int
    a: str
    b: str
    tunnel: int


@dataclass(frozen=True, slots=True)
class TraderSide:
    """The trader's journal: rows as `journal.layout` RECEIVED, SENT and TRANSMITTED, and its connections."""

    received: Rows
    sent: Rows
    transmitted: Rows
    connections: list[TraderConnection]


@dataclass(frozen=True, slots=True)
class WireSide:
    """The capture's journal: rows as `journal.wire` PACKET, LOSS and PROBE, and its connections.

    `slack_ns`, shape (packets,), says how far a packet's true time may be from its row's; None is nowhere.
    `one_clock` says that both journals were written on one machine, by one clock, so that θ is 0 without any probe.
    """

    packets: Rows
    losses: Rows
    probes: Rows
    connections: list[WireConnection]
    one_clock: bool = False
    slack_ns: Column | None = None


class Unmatched(IntEnum):
    """Why a message has no packet."""

    MATCHED = 0
    NO_CONNECTION = 1  # the capture saw no packet of its connection
    BEFORE_CAPTURE = 2  # the message passed before the capture began to see its stream
    AFTER_CAPTURE = 3  # the capture ended before, or has not come so far yet
    ISN_AMBIGUOUS = 4  # the capture missed the SYN, and no first sequence number is the only possible one
    MIRROR_LOST = 5  # the mirror or the capture lost the packet, or one of its copies, and perhaps the first
    NETWORK_LOST = 6  # the packet was lost on the way; what was seen is a retransmission
    RESENT = 7  # two copies passed before an acknowledgement; which of them arrived is not known
    UNKNOWN_LOSS = 8  # a hole whose cause is not known
    NO_OFFSET = 9  # the trader's stamp has no stream offset
    CONNECTION_AMBIGUOUS = 10  # several captured connections could be its own, and nothing singles one out
    TOO_LATE = 11  # what was captured came long after the trader's stamp: a retransmission, or the stamp is false


@dataclass(frozen=True, slots=True)
class Matches:
    """The packets of some messages; each array has shape (messages,).

    Attributes:
        time: when the packet with the message's last byte was captured, ns of the monitor's clock; ABSENT where none.
        packet: index of its row in `WireSide.packets`, -1 where none.
        reason: `Unmatched`.
    """

    time: Column
    packet: Index
    reason: Reasons

    @property
    def matched(self) -> int:
        """How many messages have a packet."""
        return int(np.count_nonzero(self.reason == Unmatched.MATCHED))

    def unmatched(self) -> dict[Unmatched, int]:
        """Return how many messages have none, by reason; only reasons that occur."""
        counts = np.bincount(self.reason, minlength=len(Unmatched)).tolist()
        return {reason: counts[reason] for reason in Unmatched if reason != Unmatched.MATCHED and counts[reason]}


class Clock(Protocol):
    """What is known of θ, monitor clock − trader clock; `crosscheck.clock` makes it from probes."""

    def bounds(self, t_ns: Column) -> tuple[Column, Column]:
        """Return the least and the greatest θ at these times, ns, shape of `t_ns`; ABSENT where unknown."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A trader's connection and the captured connections that carried it, by their numbers.

    `wire` is empty when the capture has none, or none could be told from others. It has several members when the
    capture met the connection more than once, as after a long silence.
    """

    trader: int
    wire: list[int]


@dataclass(frozen=True, slots=True)
class Violation:
    """A stamp that no θ in the interval explains: the packet had passed before the moment that the stamp names.

    Attributes:
        trace, order: the message, as in its row.
        row: its place in `TraderSide.sent`.
        hop: `written` or `kernel_sched`.
        by_ns: how much earlier the stamp had to be for the most favourable θ to explain it.
    """

    trace: int
    order: int
    row: int
    hop: str
    by_ns: int


@dataclass(frozen=True, slots=True)
class Causality:
    """What the test of stamps against the wire found.

    Attributes:
        violations: the first of them, in the order of the messages.
        refuted: stamps that cannot be true; all violations.
        unrefuted: stamps that were tested and cannot be refuted: some θ in the interval explains them.
        not_refutable: stamps that nothing could refute: inbound ones, which have no order towards the mirror's copy,
            and outbound ones without a packet, or whose θ has no lower bound.
    """

    violations: list[Violation]
    refuted: int
    unrefuted: int
    not_refutable: int


@dataclass(frozen=True, slots=True)
class DirectionFigures:
    """What one direction of the paired connections was on the wire. A mirror's copies count as `copies` alone.

    Attributes:
        packets: packets, with or without payload.
        payload_bytes, frame_bytes: TCP payload; whole packets with all headers, as captured.
        seconds: from the first packet to the last.
        retransmitted: packets with bytes that their sender had sent before.
        copies: packets that the mirror delivered once more.
        reordered: original packets that came after later ones.
        resets, zero_windows: packets with RST; packets that forbid to send.
        network_lost, mirror_lost, unknown_lost: holes by cause, and with the mirror's the copies that it lost of what
            came twice; the same with `_bytes`: the bytes missing in them.
    """

    packets: int
    payload_bytes: int
    frame_bytes: int
    seconds: float
    retransmitted: int
    copies: int
    reordered: int
    resets: int
    zero_windows: int
    network_lost: int
    network_lost_bytes: int
    mirror_lost: int
    mirror_lost_bytes: int
    unknown_lost: int
    unknown_lost_bytes: int

    @property
    def bits_per_s(self) -> float:
        """Mean bandwidth of the frames, 0 for less than two moments."""
        return self.frame_bytes * 8 / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class NetworkFigures:
    """Both directions as the trader sees them: `inbound` is what it received."""

    inbound: DirectionFigures
    outbound: DirectionFigures
