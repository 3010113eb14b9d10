"""The polygon of feasible lines: against lines known to be feasible, and against a search that knows no geometry."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crosscheck.feasible import MAX_RATE_PPM, Lines, feasible_lines

ORIGIN = 1_790_000_000_000_000_000
SECOND = 10**9


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


NONE = column()


def at(lines: Lines, t_ns: int) -> tuple[int, int]:
    lower, upper = lines.at(column(t_ns))
    return int(lower[0]), int(upper[0])


def test_one_point_on_each_side_at_one_moment() -> None:
    """The interval is what the two points say, given way by 1 ns, and widens at the greatest rate."""
    lines = feasible_lines(column(ORIGIN), column(100), column(ORIGIN), column(700))
    assert lines is not None
    lower, upper = at(lines, ORIGIN)
    assert 98 <= lower <= 99
    assert 701 <= upper <= 702
    lower, upper = at(lines, ORIGIN + SECOND)
    assert -500_000 + 98 <= lower <= -500_000 + 99
    assert 500_701 <= upper <= 500_702
    assert (-MAX_RATE_PPM, MAX_RATE_PPM) == lines.drift_ppm()


def test_a_contradiction_leaves_no_line() -> None:
    """By more than the 1 ns on each side that clocks truncate."""
    assert feasible_lines(column(ORIGIN), column(100), column(ORIGIN), column(99)) is not None
    assert feasible_lines(column(ORIGIN), column(100), column(ORIGIN), column(90)) is None


def test_two_tight_moments_fix_the_rate() -> None:
    """θ rises by 20 µs in a second: 20 ppm."""
    t = column(ORIGIN, ORIGIN + SECOND)
    lines = feasible_lines(t, column(0, 20_000), t, column(10, 20_010))
    assert lines is not None
    slow, fast = lines.drift_ppm()
    assert 19.98 < slow < 20 < fast < 20.02
    lower, upper = at(lines, ORIGIN + SECOND // 2)
    assert 9_990 < lower <= 10_000
    assert 10_010 <= upper < 10_020


def test_no_line_is_steeper_than_the_kernel_slews() -> None:
    """501 µs in a second is a step, 499 is a rate."""
    t = column(ORIGIN, ORIGIN + SECOND)
    assert feasible_lines(t, column(0, 499_000), t, column(100, 499_100)) is not None
    assert feasible_lines(t, column(0, 501_000), t, column(100, 501_100)) is None


def test_one_side_alone_bounds_one_side() -> None:
    """And says that the other means nothing."""
    t = column(ORIGIN, ORIGIN + SECOND)
    below = feasible_lines(t, column(5, 5), NONE, NONE)
    above = feasible_lines(NONE, NONE, t, column(5, 5))
    assert below is not None
    assert above is not None
    assert (True, False) == (below.has_lower, below.has_upper)
    assert (False, True) == (above.has_lower, above.has_upper)
    assert 2 <= at(below, ORIGIN + SECOND // 2)[0] <= 4
    assert 6 <= at(above, ORIGIN + SECOND // 2)[1] <= 8
    assert -500_000 <= at(below, ORIGIN - SECOND)[0] <= -499_990
    assert 500_010 >= at(above, ORIGIN - SECOND)[1] >= 500_000


def test_bounds_are_rounded_outward() -> None:
    """To whole nanoseconds and exactly however large θ is."""
    lines = Lines(ORIGIN, 2**62, ((0.5, 0.0), (1.5, 0.0)), has_lower=True, has_upper=True)
    assert (2**62, 2**62 + 2) == at(lines, ORIGIN)
    lines = Lines(ORIGIN, -(2**62), ((-1.5, 1.0), (-0.5, 1.0)), has_lower=True, has_upper=True)
    assert (-(2**62) - 1, -(2**62) + 1) == at(lines, ORIGIN + SECOND)


@given(
    lower=st.lists(st.tuples(st.integers(0, 60 * SECOND), st.integers(0, 10**7)), min_size=1, max_size=30),
    upper=st.lists(st.tuples(st.integers(0, 60 * SECOND), st.integers(0, 10**7)), min_size=1, max_size=30),
    theta=st.integers(-(2**60), 2**60),
    ppb=st.integers(-499_000, 499_000),
    when=st.integers(-10 * SECOND, 70 * SECOND),
)
def test_the_line_that_made_the_points_is_never_lost(
    lower: list[tuple[int, int]], upper: list[tuple[int, int]], theta: int, ppb: int, when: int
) -> None:
    """Whatever the delays; exact in integers."""

    def true(t: int) -> int:
        return theta + ppb * t // 10**9

    lines = feasible_lines(
        column(*(ORIGIN + t for t, _ in lower)),
        column(*(true(t) - delay for t, delay in lower)),
        column(*(ORIGIN + t for t, _ in upper)),
        column(*(true(t) + delay for t, delay in upper)),
    )
    assert lines is not None
    least, most = at(lines, ORIGIN + when)
    assert least <= true(when) <= most
    slow, fast = lines.drift_ppm()
    assert slow <= ppb / 1000 <= fast


@given(
    lower=st.lists(st.tuples(st.integers(0, 20), st.integers(-4, 4)), min_size=1, max_size=6),
    upper=st.lists(st.tuples(st.integers(0, 20), st.integers(-4, 4)), min_size=1, max_size=6),
)
def test_no_line_is_invented(lower: list[tuple[int, int]], upper: list[tuple[int, int]]) -> None:
    """Points in whole seconds and ms: a line exists when one through two points does, or a steepest one through one."""
    scale_t, scale_y = SECOND, 10**6
    rates = {-0.5, 0.5}  # ms/s
    points = [*lower, *upper]
    rates |= {(y - v) / (x - u) for x, y in points for u, v in points if x != u and abs(y - v) <= 0.5 * abs(x - u)}
    exists = any(max(y - rate * x for x, y in lower) <= min(y - rate * x for x, y in upper) + 1e-9 for rate in rates)
    lines = feasible_lines(
        column(*(ORIGIN + x * scale_t for x, _ in lower)),
        column(*(y * scale_y for _, y in lower)),
        column(*(ORIGIN + x * scale_t for x, _ in upper)),
        column(*(y * scale_y for _, y in upper)),
    )
    assert exists == (lines is not None)
    if lines is not None:
        for a, b in lines.vertices:  # every extreme line is itself feasible, but for the ns that points give way
            since = ORIGIN - lines.origin_ns
            theta = [lines.base_ns + a + b * (since + x * scale_t) / 1e9 for x, _ in points]
            floor, ceiling = theta[: len(lower)], theta[len(lower) :]
            assert all(line >= y * scale_y - 2 for line, (_, y) in zip(floor, lower, strict=True))
            assert all(line <= y * scale_y + 2 for line, (_, y) in zip(ceiling, upper, strict=True))
