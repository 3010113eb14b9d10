"""Where a run of probes is cut, and what is said of the cut. Whole figures are in test_clock."""

from itertools import pairwise

import numpy as np
import pytest

from crosscheck.segments import REACH_NS, SEGMENT_NS, Points, Segment, Step, cut

ORIGIN = 1_790_000_000_000_000_000
SECOND = 10**9
PAUSE = SECOND // 20
DELAY = 5_000  # ns, each way


def points(theta: np.ndarray, t: np.ndarray | None = None, delay: int | np.ndarray = DELAY) -> Points:
    """Return probes that bound θ by a delay on each side, one each 50 ms unless told when."""
    t = ORIGIN + np.arange(len(theta)) * PAUSE if t is None else t
    yes = np.ones(len(theta), np.bool_)
    number = np.arange(1, len(theta) + 1).astype(np.uint64)
    return Points(number, t, theta - delay, yes, t, theta + delay, yes, t, t + 2 * DELAY)


def flat(seconds: float, theta: int = 0) -> np.ndarray:
    return np.full(round(seconds * SECOND / PAUSE), theta, np.int64)


def theta_at(segment: Segment, t: int) -> tuple[int, int]:
    lower, upper = segment.lines.at(np.array([t]))
    return int(lower[0]), int(upper[0])


def test_no_probes_no_segments() -> None:
    """And no steps."""
    assert ([], []) == cut(points(flat(0)))


@pytest.mark.parametrize(("seconds", "count"), [(0.05, 1), (59, 1), (61, 2), (170, 3)])
def test_segments_are_equal_and_at_most_a_minute(seconds: float, count: int) -> None:
    """A short rest would know little of the rate, so there is none."""
    segments, steps = cut(points(flat(seconds)))
    assert [] == steps
    assert count == len(segments)
    lengths = [segment.stop - segment.first for segment in segments]
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) * PAUSE <= SEGMENT_NS
    assert all(old.end_ns == new.begin_ns for old, new in pairwise(segments))


def test_a_silence_cuts_and_both_sides_reach_into_it() -> None:
    """Each up to 10 s, and not past the other's probes."""
    for silence_s, reach in ((11, REACH_NS), (30, REACH_NS)):
        t = ORIGIN + np.concatenate([np.arange(40) * PAUSE, np.arange(40) * PAUSE + 2 * SECOND + silence_s * SECOND])
        segments, steps = cut(points(flat(4), t))
        assert [] == steps
        assert [REACH_NS, reach] == [segment.before_ns for segment in segments]
        assert [reach, REACH_NS] == [segment.after_ns for segment in segments]


def test_a_step_in_a_silence_is_found_only_beyond_what_a_slew_explains() -> None:
    """500 ppm over 20 s are 10 ms."""
    t = ORIGIN + np.concatenate([np.arange(40) * PAUSE, np.arange(40) * PAUSE + 22 * SECOND])
    _, none = cut(points(np.concatenate([flat(2), flat(2, 9_000_000)]), t))
    assert [] == none
    _, [step] = cut(points(np.concatenate([flat(2), flat(2, 12_000_000)]), t))
    assert t[39] <= step.earliest_ns < step.latest_ns <= t[40]
    assert step.least_ns is not None
    assert step.most_ns is not None
    assert 0 < step.least_ns <= 12_000_000 <= step.most_ns


@pytest.mark.parametrize("size", [-1_000_000, -50_000, 50_000, 1_000_000])
@pytest.mark.parametrize("at_s", [0.1, 7, 30.4, 30.45, 30.5, 30.55, 30.6, 59])
def test_a_step_is_found_where_it_is(size: int, at_s: float) -> None:
    """In a run of 60 s and a bit, also at the border of segments."""
    before, after = flat(at_s), flat(61 - at_s, size)
    segments, steps = cut(points(np.concatenate([before, after])))
    [step] = steps
    assert step.earliest_ns <= ORIGIN + len(before) * PAUSE <= step.latest_ns
    assert step.latest_ns - step.earliest_ns < 1.2 * PAUSE
    assert step.least_ns is not None
    assert step.most_ns is not None
    assert step.least_ns <= size <= step.most_ns
    assert step.most_ns - step.least_ns < 4 * DELAY + 1.2 * 0.0005 * PAUSE * 20
    [old] = [segment for segment in segments if segment.end_ns == step.latest_ns]
    new = segments[segments.index(old) + 1]
    assert step.earliest_ns == new.begin_ns
    assert theta_at(old, step.earliest_ns)[0] <= 0 <= theta_at(old, step.earliest_ns)[1]
    assert theta_at(new, step.latest_ns)[0] <= size <= theta_at(new, step.latest_ns)[1]


def test_a_step_that_delays_hid_is_reported_from_where_it_may_have_been() -> None:
    """Probes in the second before it was shown were too slow to show it, and bound neither side."""
    theta = np.concatenate([flat(20), flat(20, 100_000)])
    delay = np.full(len(theta), DELAY)
    delay[400:420] = 300_000
    segments, [step] = cut(points(theta, delay=delay))
    assert ORIGIN + 399 * PAUSE == step.earliest_ns
    assert ORIGIN + 420 * PAUSE <= step.latest_ns < ORIGIN + 421 * PAUSE
    assert [(0, 400), (420, 800)] == [(segment.first, segment.stop) for segment in segments]


@pytest.mark.parametrize("at", [600, 605, 610, 615, 620])
@pytest.mark.parametrize("size", [-100_000, 100_000])
def test_a_step_that_delays_hid_at_the_border_of_segments_is_found(at: int, size: int) -> None:
    """Each segment by itself allows lines; that they do not meet tells it. Row 610 begins the second segment."""
    theta = np.concatenate([flat(at / 20), flat(61 - at / 20, size)])
    delay = np.full(len(theta), DELAY)
    delay[596:624] = 300_000
    segments, [step] = cut(points(theta, delay=delay))
    assert ORIGIN + 595 * PAUSE <= step.earliest_ns <= ORIGIN + at * PAUSE <= step.latest_ns <= ORIGIN + 625 * PAUSE
    t = ORIGIN + np.arange(len(theta)) * PAUSE
    bounds = [segment.lines.at(t) for segment in segments]
    held = [(segment.begin_ns <= t) & (t <= segment.end_ns) for segment in segments]
    inside = [hold & (low <= theta) & (theta <= up) for hold, (low, up) in zip(held, bounds, strict=True)]
    assert np.any(inside, axis=0).all()


def test_a_change_of_rate_is_a_step_that_may_have_no_size() -> None:
    """0 to 50 ppm at 20 s."""
    theta = np.concatenate([flat(20), np.arange(400) * PAUSE // 20_000])
    segments, steps = cut(points(theta))
    [step] = steps
    assert step.least_ns is not None
    assert step.most_ns is not None
    assert step.least_ns <= 0 <= step.most_ns
    assert step.earliest_ns <= ORIGIN + 20 * SECOND <= step.latest_ns
    slow, fast = segments[-1].lines.drift_ppm()
    assert slow <= 50 <= fast


def test_a_clock_that_was_set_back_is_a_step() -> None:
    """The monitor's, by an hour: its times run twice."""
    hour = 3600 * SECOND
    t = ORIGIN + np.arange(80) * PAUSE
    t[40:] -= hour
    segments, steps = cut(points(np.concatenate([flat(2), flat(2, -hour)]), t))
    assert [(0, 40), (40, 80)] == [(segment.first, segment.stop) for segment in segments]
    [step] = steps
    assert Step(int(t[39]) + 2 * DELAY, int(t[40]), step.least_ns, step.most_ns) == step
    assert step.least_ns is not None
    assert step.most_ns is not None
    assert -hour - 3 * SECOND < step.least_ns <= -hour <= step.most_ns < -hour + 3 * SECOND


def test_one_sided_probes_show_no_step() -> None:
    """And no step: without upper bounds θ may always have been as high."""
    all_points = points(np.concatenate([flat(10), flat(10, 1_000_000)]))
    no = np.zeros(len(all_points), np.bool_)
    below = Points(
        all_points.number, all_points.lower_t, all_points.lower, all_points.has_lower,
        all_points.upper_t, all_points.upper, no, all_points.begin, all_points.end,
    )  # fmt: skip
    segments, steps = cut(below)
    assert [] == steps
    assert [(True, False)] == [(segment.lines.has_lower, segment.lines.has_upper) for segment in segments]
