"""Times of a NIC's clock come onto the monitor's within an interval that holds the truth."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crosscheck.nic import by_monitor
from journal.wire import NIC, PACKET, PacketFlag

START_NS = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
TAI_NS = 37 * SECOND  # a NIC's clock often counts atomic time


def nic_time(monitor_ns: np.ndarray) -> np.ndarray:
    """Return what the NIC's clock shows: 37 s ahead, and 12 ppm fast."""
    return monitor_ns + TAI_NS + (monitor_ns - START_NS) * 12 // 1_000_000


def readings(delays: list[tuple[int, int]]) -> np.ndarray:
    """Return a reading a second; the NIC's clock was read so long after the first and before the second time."""
    rows = np.zeros(len(delays), NIC)
    truth = START_NS + np.arange(len(delays)) * SECOND
    before, after = np.array(delays, np.int64).T
    rows["number"] = 1 + np.arange(len(delays))
    rows["t1"], rows["t4"] = truth - before, truth + after
    rows["t2"] = rows["t3"] = nic_time(truth)
    return rows


@given(st.lists(st.tuples(st.integers(100, 5000), st.integers(100, 5000)), min_size=3, max_size=60))
def test_the_true_time_is_within_the_slack(delays: list[tuple[int, int]]) -> None:
    """And what the NIC did not stamp stays as it is."""
    truth = START_NS + np.linspace(0, (len(delays) - 1) * SECOND, 50).astype(np.int64)
    packets = np.zeros(50, PACKET)
    packets["time"], packets["flags"] = nic_time(truth), PacketFlag.FIRST | PacketFlag.HARDWARE
    packets["time"][::5], packets["flags"][::5] = truth[::5], PacketFlag.FIRST
    moved, slack = by_monitor(packets, readings(delays))
    assert slack is not None
    assert np.all(np.abs(moved["time"] - truth) <= slack)
    assert [0] * 10 == slack[::5].tolist()
    assert slack.max() < 20_000
    assert [PacketFlag.FIRST] * 50 == moved["flags"].tolist()


def test_without_readings_nothing_is_moved() -> None:
    """The flag stays, so that nobody compares the times."""
    packets = np.zeros(1, PACKET)
    packets["flags"] = PacketFlag.HARDWARE
    moved, slack = by_monitor(packets, np.zeros(0, NIC))
    assert (PacketFlag.HARDWARE, [0]) == (moved["flags"][0], None if slack is None else slack.tolist())


def test_packets_of_the_monitors_own_clock_are_not_copied() -> None:
    """The common case costs nothing."""
    packets = np.zeros(3, PACKET)
    moved, slack = by_monitor(packets, np.zeros(0, NIC))
    assert moved is packets
    assert slack is None
