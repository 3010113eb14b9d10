"""Milliseconds, microseconds, and what int64 nanoseconds can hold."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.binance_time import Time, to_ns


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (0, None),
        (1, 1_000_000),
        (1_723_161_255_208, 1_723_161_255_208_000_000),
        (1_723_161_255_208_123, 1_723_161_255_208_123_000),
    ],
)
def test_the_unit_is_told_by_the_size(time: int, expected: int | None) -> None:
    """No millisecond of a living person reaches a microsecond of one."""
    assert expected == to_ns(time)


@given(st.integers(0, 2**63 // 1_000 - 1))
def test_every_time_that_is_accepted_fits(time: int) -> None:
    """The journal holds signed 64-bit integers."""
    assert time == msgspec.convert(time, Time)
    assert 0 <= (to_ns(time) or 0) < 2**63


@pytest.mark.parametrize("time", [-1, 2**63 // 1_000, 10**30])
def test_other_times_make_their_message_malformed(time: int) -> None:
    """Where it is decoded."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(time, Time)
