"""What is asked of a NIC's clock, with a kernel that answers as each test wants.

The rest of the module is tested with real interfaces, in tests/system/test_ring.py.
"""

import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from capture.errors import CannotCapture
from capture.live import interfaces

SIOCSHWTSTAMP = 0x89B0
FILTER_NONE, FILTER_ALL, FILTER_PTP = 0, 1, 12

Answer = Callable[[int], list[tuple[bytes, int, int]]]


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    """Any socket: the ioctl never reaches it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Let the ioctl grant a filter, or fail with a negative error number; the list returned tells what was asked."""

    def prepare(granted: int) -> list[tuple[bytes, int, int]]:
        asked: list[tuple[bytes, int, int]] = []

        def ioctl(_: socket.socket, request: int, argument: bytes) -> bytes:
            assert SIOCSHWTSTAMP == request
            if granted < 0:
                raise OSError(-granted, "refused")
            name, address = struct.unpack("@16sP16x", argument)
            config = (ctypes.c_int * 3).from_address(address)
            asked.append((name.rstrip(b"\0"), config[1], config[2]))
            config[2] = granted
            return argument

        monkeypatch.setattr(fcntl, "ioctl", ioctl)
        return asked

    return prepare


@pytest.mark.parametrize(("granted", "all_of_them"), [(FILTER_ALL, True), (FILTER_PTP, False)])
def test_all_received_packets_are_to_be_stamped(
    sock: socket.socket, kernel: Answer, granted: int, *, all_of_them: bool
) -> None:
    """All packets, none that are sent; a NIC that stamps only some kinds says so."""
    asked = kernel(granted)
    assert all_of_them == interfaces.stamp_in_hardware(sock, "eth0")
    assert [(b"eth0", 0, FILTER_ALL)] == asked


@pytest.mark.parametrize("answer", [FILTER_NONE, -errno.EOPNOTSUPP, -errno.ERANGE])
def test_a_nic_without_a_clock_is_told(sock: socket.socket, kernel: Answer, answer: int) -> None:
    """Refused, or granted without effect."""
    kernel(answer)
    with pytest.raises(CannotCapture, match="eth0 cannot stamp received packets in hardware"):
        interfaces.stamp_in_hardware(sock, "eth0")


def test_the_missing_right_is_named(sock: socket.socket, kernel: Answer) -> None:
    """Another right than that to capture."""
    kernel(-errno.EPERM)
    with pytest.raises(CannotCapture, match="CAP_NET_ADMIN"):
        interfaces.stamp_in_hardware(sock, "eth0")
