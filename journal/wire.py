"""What the rows of a capture agent's journal mean: packets, holes, clock probes. Pure.

The agent writes a journal of its own, with a record log and these row logs (`journal.layout` says how rows are sealed).
It knows nothing of any trader: streams are numbered as they are met, and a CONNECTION record tells whose they are.

A *stream* is one direction of a TCP connection: `conn * 2 + side`, where side 0 is sent by the connection's endpoint
`a` and side 1 by `b`; connections count from 1. A *position* is the TCP sequence number of a byte, unwrapped to 64
bits: the first that was seen of a stream lies in [2³², 2³³) and the others follow from it by differences. So where the
SYN was captured, a byte's stream offset is its position − the SYN's position − 1.
"""

from enum import IntEnum, IntFlag
from typing import Final

import numpy as np


class PacketFlag(IntFlag):
    """Bits of a packet row's `flags`: what its payload bytes are to the capture."""

    FIRST = 1  # bytes not seen before; these rows of a stream never overlap
    SEEN = 2  # bytes that were seen before: retransmitted, or a copy
    COPY = 4  # with SEEN: the very same packet again (a mirror's duplicate), not sent again by its sender
    LATE = 8  # with FIRST: fills a hole with the original packet: reordering
    RESENT = 16  # with FIRST: fills a hole with a retransmission: when the original passed is not known
    UNACKED = 32  # with SEEN, not COPY: sent again before an acknowledgement was seen: which copy arrived is not known
    PART = 64  # a further piece of the packet in the row before: neither counts as another packet
    HARDWARE = 128  # `time` is of the NIC's clock
    ACKED = 256  # with RESENT: an acknowledgement of these bytes had been seen before: the mirror lost the original


class TcpFlag(IntFlag):
    """Bits of a packet row's `tcp` (RFC 9293, section 3.1), and one that is no bit of TCP's."""

    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16
    URG = 32
    ECE = 64
    CWR = 128
    ZERO_WINDOW = 1 << 15  # the sender accepts no data


class LossCause(IntEnum):
    """Why bytes of a stream were missing when later ones had come."""

    UNKNOWN = 0  # neither filled nor acknowledged, or not to be told
    MIRROR = 1  # acknowledged by the receiver though the capture had not seen them: the mirror or the capture lost them
    NETWORK = 2  # filled by a retransmission before any acknowledgement
    REORDERED = 3  # filled by the original packet, which came late: nothing was lost
    DUPLICATED = 4  # no hole: sent again though nothing was lost, as the receiver says that it has both copies
    MISSED = 5  # the receiver had them twice and the capture saw them once, or the later copy first: which copy the
    # mirror lost, or delayed, is not known


# One row per packet, or per piece of it where some of its bytes are new and others not.
PACKET: Final = np.dtype(
    [
        ("seal", "<u8"),
        ("time", "<i8"),  # ns of the monitor's CLOCK_REALTIME (of the NIC's clock with HARDWARE)
        ("position", "<u8"),  # of the first payload byte; of a SYN, that of the SYN itself
        ("stream", "<u4"),
        ("size", "<u4"),  # payload bytes on the wire, also when fewer were captured
        ("frame", "<u4"),  # the captured frame's size on the wire, bytes, with all headers
        ("tcp", "<u2"),  # TcpFlag
        ("flags", "<u2"),  # PacketFlag
    ]
)

# One row per hole, when its cause is known or the stream is given up; and one per DUPLICATED or MISSED bytes.
LOSS: Final = np.dtype(
    [
        ("seal", "<u8"),
        ("opened", "<i8"),  # time of the packet that showed the hole, ns
        ("closed", "<i8"),  # time of the packet that told the cause, ns; ABSENT for UNKNOWN
        ("position", "<u8"),  # of the first missing byte
        ("stream", "<u4"),
        ("size", "<u4"),  # bytes
        ("cause", "<u4"),  # LossCause
        ("spare", "<u4"),
    ]
)

# One row per answered clock probe. A stamp that could not be had is ABSENT.
PROBE: Final = np.dtype(
    [
        ("seal", "<u8"),
        ("number", "<u8"),
        ("t1", "<i8"),  # the probe leaves the monitor, ns of the monitor's clock
        ("t2", "<i8"),  # it reaches the responder, ns of the trader's clock
        ("t3", "<i8"),  # the reply leaves the responder, ns of the trader's clock
        ("t4", "<i8"),  # it reaches the monitor, ns of the monitor's clock
    ]
)

# One row per reading of the NIC's clock beside the monitor's, where the NIC stamps the packets: t1 and t4 are the
# monitor's clock before and after, t2 = t3 the NIC's.
NIC: Final = PROBE

# Reasons in a capture's END record when all is well; any other says what went wrong.
ASKED_TO_STOP: Final = "asked to stop"
READ_TO_THE_END: Final = "read to the end"

WIRE_LOGS: Final[dict[str, np.dtype[np.void]]] = {"packets": PACKET, "losses": LOSS, "probes": PROBE, "nic": NIC}
