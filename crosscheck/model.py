"""What goes into a crosscheck and what comes out: rows of two journals; a column beside each of the trader's rows."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]
Column = npt.NDArray[np.int64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Reasons = npt.NDArray[np.uint8]


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

    `one_clock` says that both journals were written on one machine, by one clock, so that θ is 0 without any probe.
    """

    packets: Rows
    losses: Rows
    probes: Rows
    connections: list[WireConnection]
    one_clock: bool = False


class Unmatched(IntEnum):
    """Why a message has no packet."""

    MATCHED = 0
    NO_CONNECTION = 1  # the capture saw no packet of its connection
    BEFORE_CAPTURE = 2  # the message passed before the capture began to see its stream
    AFTER_CAPTURE = 3  # the capture ended before, or has not come so far yet
    ISN_AMBIGUOUS = 4  # the capture missed the SYN, and no first sequence number is the only possible one
    MIRROR_LOST = 5  # the mirror or the capture lost the packet
    NETWORK_LOST = 6  # the packet was lost on the way; what was seen is a retransmission
    RESENT = 7  # two copies passed before an acknowledgement; which of them arrived is not known
    UNKNOWN_LOSS = 8  # a hole whose cause is not known
    NO_OFFSET = 9  # the trader's stamp has no stream offset


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
