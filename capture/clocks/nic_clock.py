"""A NIC's hardware clock beside the system's: a third clock, which stamps packets when asked to.

The kernel reads both clocks together (`PTP_SYS_OFFSET_EXTENDED`, else `PTP_SYS_OFFSET`; `linux/ptp_clock.h`): the
system's before, the NIC's, the system's after. That is a clock probe without a network: T1 before, T2 = T3 the NIC's,
T4 after, so that ψ = system clock − NIC clock obeys T1 − T2 ≤ ψ ≤ T4 − T3.
"""

import fcntl
import os
import socket
import struct
from typing import Final

from capture.errors import CannotCapture
from capture.live import interfaces

Reading = tuple[int, int, int, int]  # T1 to T4, ns

_SAMPLES: Final = 5  # of which the narrowest is taken
_MAX_SAMPLES: Final = 25
_HEAD: Final = struct.Struct("=I12x")
_TIME: Final = struct.Struct("=qI4x")  # struct ptp_clock_time
_EXTENDED: Final = 0xC4C03D09  # _IOWR('=', 9, struct ptp_sys_offset_extended)
_BASIC: Final = 0x43403D05  # _IOW('=', 5, struct ptp_sys_offset)
_EXTENDED_BYTES: Final = _HEAD.size + 3 * _MAX_SAMPLES * _TIME.size
_BASIC_BYTES: Final = _HEAD.size + (2 * _MAX_SAMPLES + 1) * _TIME.size
_SECOND: Final = 1_000_000_000


class NicClock:
    """The clock of an interface's NIC, open for reading.

    Args:
        interface: its name.

    Raises:
        CannotCapture: the NIC has no clock, or it may not be read.
    """

    def __init__(self, interface: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            index = interfaces.clock_of(asking, interface)
        path = f"/dev/ptp{index}"
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise CannotCapture(f"the clock of {interface}, {path}, cannot be read: {reason}") from error

    def read(self) -> Reading:
        """Return both clocks, as close together as a few attempts brought them.

        Raises:
            CannotCapture: the clock cannot be read.
        """
        try:
            return narrowest(extended_readings(self._ask(_EXTENDED, _EXTENDED_BYTES)))
        except OSError:
            pass  # a kernel before 5.0, or a driver without it
        try:
            return narrowest(basic_readings(self._ask(_BASIC, _BASIC_BYTES)))
        except OSError as error:
            raise CannotCapture(f"the NIC's clock cannot be read: {os.strerror(error.errno or 0)}") from error

    def close(self) -> None:
        """Release the clock."""
        os.close(self._descriptor)

    def _ask(self, request: int, size: int) -> bytes:
        answer = bytearray(size)
        _HEAD.pack_into(answer, 0, _SAMPLES)
        fcntl.ioctl(self._descriptor, request, answer, True)  # noqa: FBT003 - ioctl's own signature: fill the buffer
        return bytes(answer)


def extended_readings(answer: bytes) -> list[Reading]:
    """Return the samples in a `struct ptp_sys_offset_extended`: (before, NIC, NIC, after), ns."""
    times = _times(answer, 3 * _count(answer))
    return [(before, nic, nic, after) for before, nic, after in zip(*[iter(times)] * 3, strict=True)]


def basic_readings(answer: bytes) -> list[Reading]:
    """Return the samples in a `struct ptp_sys_offset`, where a system time is after one sample and before the next."""
    times = _times(answer, 2 * _count(answer) + 1)
    return [(times[at], times[at + 1], times[at + 1], times[at + 2]) for at in range(0, len(times) - 2, 2)]


def narrowest(readings: list[Reading]) -> Reading:
    """Return the sample whose system times are closest to one another."""
    return min(readings, key=lambda reading: reading[3] - reading[0])


def _count(answer: bytes) -> int:
    return int(_HEAD.unpack_from(answer)[0])


def _times(answer: bytes, count: int) -> list[int]:
    found = (_TIME.unpack_from(answer, _HEAD.size + at * _TIME.size) for at in range(count))
    return [seconds * _SECOND + nanos for seconds, nanos in found]
