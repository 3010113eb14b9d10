"""Both layouts of the kernel's answer, filled in by hand; a real NIC with a clock is rarely there."""

import struct

import pytest

from capture.clocks.nic_clock import NicClock, basic_readings, extended_readings, narrowest
from capture.errors import CannotCapture


def answer(samples: int, *times_ns: int) -> bytes:
    """Return an answer of the kernel's, longer than what was asked for."""
    packed = [struct.pack("=qI4x", *divmod(time_ns, 1_000_000_000)) for time_ns in times_ns]
    return struct.pack("=I12x", samples) + b"".join(packed) + bytes(160)


def test_the_extended_answer_has_three_times_a_sample() -> None:
    """System, NIC, system."""
    found = extended_readings(answer(2, 1_000, 5_000_000_000, 1_400, 2_000, 5_000_001_000, 2_100))
    assert [(1_000, 5_000_000_000, 5_000_000_000, 1_400), (2_000, 5_000_001_000, 5_000_001_000, 2_100)] == found


def test_the_basic_answer_shares_its_system_times() -> None:
    """Each but the outer ones is after one sample and before the next."""
    found = basic_readings(answer(2, 1_000, 7_000, 1_400, 8_000, 1_500))
    assert [(1_000, 7_000, 7_000, 1_400), (1_400, 8_000, 8_000, 1_500)] == found


def test_the_narrowest_sample_is_taken() -> None:
    """It says most about the difference."""
    assert (1_400, 8_000, 8_000, 1_500) == narrowest(basic_readings(answer(2, 1_000, 7_000, 1_400, 8_000, 1_500)))


def test_an_interface_without_a_clock_is_refused() -> None:
    """Loopback has none."""
    with pytest.raises(CannotCapture, match="lo has no hardware clock"):
        NicClock("lo")
