"""Times of any resolution, and the options of an interface."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capture.files.pcapng_blocks import Interface, nanoseconds, read_interface

Files = Any


def exactly(ticks: int, resolution: int) -> int:
    """Return the time in ns, rounded down, as 64 bits hold it."""
    unit = Fraction(1, 2 ** (resolution & 0x7F)) if resolution & 0x80 else Fraction(1, 10 ** (resolution & 0x7F))
    time_ns = int(ticks * unit * 10**9) % 2**64
    return time_ns - 2**64 if time_ns >= 2**63 else time_ns


@given(ticks=st.lists(st.integers(0, 2**64 - 1), min_size=1), resolution=st.integers(0, 255))
@example(ticks=[2**64 - 1], resolution=0x80 | 64)
@example(ticks=[2**64 - 1], resolution=0x80)
@example(ticks=[1_700_000_000 << 32 | 0xFFFFFFFF], resolution=0x80 | 32)
def test_times_are_exact(ticks: list[int], resolution: int) -> None:
    """Powers of ten and of two, finer and coarser than a nanosecond, also where a product exceeds 64 bits."""
    expected = [exactly(each, resolution) for each in ticks]
    assert expected == nanoseconds(np.array(ticks, np.uint64), resolution).tolist()


@pytest.mark.parametrize("order", "<>")
def test_an_interface(capture_files: Files, order: str) -> None:
    """Its link type, and the options that concern times."""
    block = capture_files.packing.interface(order, 276, 96, 0x8A, -7_200)
    assert Interface(276, 96, 0x8A, -7_200) == read_interface(block, order)


@pytest.mark.parametrize(
    "options",
    [
        b"",
        b"\0\0\0\0\x09\0\x01\0\x03\0\0\0",  # behind the end of the options
        b"\x09\0\x02\0\x03\x03\0\0",  # of a wrong size
        b"\x09\0\xff\0\x03\0\0\0",  # cut
        b"\x09\0\x01",
    ],
)
def test_options_that_say_nothing(capture_files: Files, options: bytes) -> None:
    """An interface without a resolution counts microseconds."""
    block = capture_files.packing.block(1, b"\x01\0\0\0\0\0\x04\0" + options)
    assert Interface(1, 262_144, 6, 0) == read_interface(block, "<")


@given(body=st.binary(min_size=8, max_size=200), order=st.sampled_from("<>"))
def test_any_bytes_make_an_interface(capture_files: Files, body: bytes, order: str) -> None:
    """No options are wrong enough to raise."""
    assert isinstance(read_interface(capture_files.packing.block(1, body, order), order), Interface)
