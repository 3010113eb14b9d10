"""RollingMoments against numpy and exact rational arithmetic."""

from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.moments import RollingMoments

prices = st.integers(-(2**63), 2**63 - 1)


@given(size=st.integers(2, 12), values=st.lists(prices, min_size=1, max_size=60))
def test_moments_are_exact_at_every_step(size: int, values: list[int]) -> None:
    """Mean and variance equal those of the window's values as fractions, also where floats overflow or cancel."""
    moments = RollingMoments(size)
    for end, value in enumerate(values, 1):
        moments.push(value)
        window = values[max(end - size, 0) : end]
        mean = Fraction(sum(window), len(window))
        variance = sum((Fraction(each) - mean) ** 2 for each in window) / len(window)
        assert window == list(moments.values)
        assert (len(window) == size) == moments.is_full
        assert float(mean) == moments.mean
        assert variance * len(window) ** 2 == moments.scaled_variance


@given(size=st.integers(2, 12), values=st.lists(st.integers(0, 10_000), min_size=2, max_size=60))
def test_zscore_equals_numpys(size: int, values: list[int]) -> None:
    """To 12 digits, where numpy's two passes are accurate themselves."""
    moments = RollingMoments(size, values)
    window = np.array(values[-size:], dtype=np.float64)
    expected = (values[-1] - window.mean()) / window.std() if len(set(values[-size:])) > 1 else 0.0
    assert expected == pytest.approx(moments.zscore(values[-1]), rel=1e-12, abs=1e-12)


@given(size=st.integers(2, 12), values=st.lists(st.integers(0, 10_000), min_size=1, max_size=40), shift=prices)
def test_zscore_is_the_same_at_any_price_level(size: int, values: list[int], shift: int) -> None:
    """Bit for bit: adding a constant to all prices changes neither n·x − S₁ nor D."""
    low = RollingMoments(size, values)
    high = RollingMoments(size, [value + shift for value in values])
    assert low.zscore(values[-1]) == high.zscore(values[-1] + shift)


@given(size=st.integers(2, 12), values=st.lists(prices, min_size=1, max_size=40))
def test_the_last_value_is_never_beyond_samuelsons_bound(size: int, values: list[int]) -> None:
    """|z| ≤ √(n − 1)."""
    assert abs(RollingMoments(size, values).zscore(values[-1])) <= sqrt(size - 1) * (1 + 1e-12)


@pytest.mark.parametrize("offset", [6_183_763, 10**15, 2**62])
def test_a_million_adversarial_values_leave_no_error(offset: int) -> None:
    """A walk with jumps of 2²⁴ that come and go, at large offsets: every one of a million windows is exactly right.

    The reference takes differences of cumulated sums of the values without the offset, in int64 and therefore exact;
    D does not depend on the offset.
    """
    size, count = 64, 1_000_000
    random = np.random.default_rng(527)
    walk = random.integers(-2, 3, count)
    walk[::1000] += 1 << 24
    sums = np.concatenate(([0], np.cumsum(walk)))
    squares = np.concatenate(([0], np.cumsum(walk * walk)))
    expected = (size * (squares[size:] - squares[:-size]) - (sums[size:] - sums[:-size]) ** 2).tolist()
    moments = RollingMoments(size)
    wrong = []
    for index, value in enumerate(walk.tolist()):
        moments.push(value + offset)
        if index >= size - 1 and expected[index - size + 1] != moments.scaled_variance:
            wrong.append(index)
    assert [] == wrong
    assert float(Fraction(sum(moments.values), size)) == moments.mean


def test_equal_values_have_zscore_0() -> None:
    """A window without variance says nothing."""
    assert 0.0 == RollingMoments(3, [7, 7, 7]).zscore(7)


def test_a_window_of_one_is_refused() -> None:
    """One value has no variance."""
    with pytest.raises(ValueError, match="at least 2 values, was 1"):
        RollingMoments(1)
