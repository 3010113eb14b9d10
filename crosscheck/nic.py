"""Packets that a NIC stamped, on the monitor's clock: the NIC's is a third, with an interval of its own. Pure arrays.

The capture reads both clocks together now and then (`journal.wire.NIC`); such a reading has the form of a clock probe,
so the interval comes from the same estimate.
"""

import numpy as np

from crosscheck.causality import Translation
from crosscheck.clock import estimate_clock
from crosscheck.model import Column, Rows
from journal.layout import ABSENT
from journal.wire import PacketFlag


def by_monitor(packets: Rows, nic: Rows) -> tuple[Rows, Column | None]:
    """Return packets with all their times on the monitor's clock, as far as its difference to the NIC's is known.

    Args:
        packets: rows `journal.wire.PACKET`, of one NIC at most.
        nic: rows `journal.wire.NIC`.

    Returns:
        (rows, slack): the rows, copied where the NIC stamped any: a time that could be translated is the middle of its
        interval, without the flag HARDWARE; others stay as they are. And how far each true time may be from there, ns,
        shape (packets,); None when no packet was stamped by a NIC.
    """
    stamped = np.flatnonzero((packets["flags"] & PacketFlag.HARDWARE) != 0)
    if not len(stamped):
        return packets, None
    earliest, latest = Translation(estimate_clock(nic), nic["t1"]).on_wire(packets["time"][stamped])
    known = earliest != ABSENT
    stamped, earliest, latest = stamped[known], earliest[known], latest[known]
    half = (latest - earliest + 1) // 2
    translated = packets.copy()
    translated["time"][stamped] = earliest + half
    translated["flags"][stamped] &= np.uint16(~PacketFlag.HARDWARE & 0xFFFF)
    slack = np.zeros(len(packets), np.int64)
    slack[stamped] = half
    return translated, slack
