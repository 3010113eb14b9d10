"""Kernel stamps of UDP: reading control messages as the kernel lays them out. The kernel itself is in tests/system."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.clocks import udp_stamps
from journal.layout import ABSENT

Message = tuple[bytes, list[tuple[int, int, bytes]], int, object]
HEADERS = bytes(14 + 20 + 8)  # Ethernet, IPv4, UDP


def times(software_ns: int, nic_ns: int = 0) -> tuple[int, int, bytes]:
    """Return the control message SCM_TIMESTAMPING: three timespecs, native order."""
    return socket.SOL_SOCKET, 37, struct.pack("=6q", *divmod(software_ns, 10**9), 0, 0, *divmod(nic_ns, 10**9))


class Queue:
    """A socket that gives these messages to one kind of read."""

    def __init__(self, flags: int, *messages: Message) -> None:
        self._flags = flags
        self._messages = list(messages)

    def recvmsg(self, size: int, room: int, flags: int = 0) -> Message:
        """Return the next one as `socket.recvmsg` does."""
        assert (self._flags, True) == (flags, room >= 128)
        if not self._messages:
            raise BlockingIOError
        data, *rest = self._messages.pop(0)
        return data[:size], *rest


@given(software=st.integers(10**9, 2**62), nic=st.integers(0, 2**62))
def test_the_software_stamp_is_exact(software: int, nic: int) -> None:
    """Nanoseconds; a NIC's own clock beside it is not looked at."""
    assert software == udp_stamps.software_stamp([times(software, nic)])


@pytest.mark.parametrize(
    "ancillary",
    [
        [],
        [times(0)],
        [times(0, 5 * 10**9)],
        [(socket.IPPROTO_IP, 37, times(10**9)[2])],
        [(socket.SOL_SOCKET, 35, times(10**9)[2])],
        [(socket.SOL_SOCKET, 37, bytes(20))],
    ],
)
def test_an_absent_stamp_is_absent(ancillary: udp_stamps.Ancillary) -> None:
    """Never zero, never the NIC's, never another message's."""
    assert ABSENT == udp_stamps.software_stamp(ancillary)


def test_a_datagram_with_its_stamp_and_its_sender() -> None:
    """What is too long is cut to one byte more than is right, which shows it."""
    peer = ("10.0.0.9", 4000)
    queue = Queue(0, (b"probe", [(0, 8, b""), times(10**9 + 7)], 0, peer), (b"longer", [], 0, peer))
    assert (b"probe", 10**9 + 7, peer) == udp_stamps.receive(queue, 6)  # type: ignore[arg-type]
    assert (b"longe", ABSENT, peer) == udp_stamps.receive(queue, 5)  # type: ignore[arg-type]
    with pytest.raises(BlockingIOError):
        udp_stamps.receive(queue, 5)  # type: ignore[arg-type]


def test_a_departure_is_known_by_what_was_sent() -> None:
    """It lies behind whatever headers the link has; what has no stamp, or is too short, says nothing."""
    queue = Queue(
        0x2000 | socket.MSG_DONTWAIT,
        (HEADERS + b"one.", [times(10**9 + 1)], 0, None),
        (HEADERS + b"two.", [], 0, None),
        (b"thr", [times(10**9 + 3)], 0, None),
        (b"four", [times(10**9 + 4)], 0, None),
    )
    departures = udp_stamps.departures(queue, 4)  # type: ignore[arg-type]
    assert [(b"one.", 10**9 + 1), (b"four", 10**9 + 4)] == list(departures)


def test_where_the_kernel_has_no_stamps_there_are_none() -> None:
    """It says so, and nothing breaks."""

    class Refusing:
        def setsockopt(self, *_: int) -> None:
            raise OSError

    assert not udp_stamps.enable(Refusing())  # type: ignore[arg-type]
