"""θ from probes between two simulated clocks: the truth is known, and never outside."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosscheck.clock import ClockEstimate, estimate_clock
from journal.layout import ABSENT
from journal.wire import PROBE

ORIGIN = 1_790_000_000_000_000_000
SECOND = 10**9
MS = 10**6
Theta = Callable[[np.ndarray], np.ndarray]  # of the trader's time since ORIGIN, ns


def line(offset_ns: float, ppm: float = 0.0) -> Theta:
    return lambda x: offset_ns + ppm * 1e-6 * x


def step(at_s: float, size_ns: float) -> Theta:
    return lambda x: np.where(x < at_s * SECOND, 0.0, size_ns)


def probes(theta: Theta, seconds: float, seed: int = 1, mean_delay_ns: float = 100_000, rate: int = 20) -> np.ndarray:
    """Return rows of probes between the clocks x (the trader's) and x + θ(x) (the monitor's).

    Delays are exponential beyond 1 µs, at most 500 µs, and differ by direction.
    """
    random = np.random.default_rng(seed)
    count = round(seconds * rate)

    def delay(mean_ns: float) -> np.ndarray:
        return 1000 + np.minimum(random.exponential(mean_ns, count), 499_000)

    sent = (np.arange(count) + random.random(count)) * SECOND / rate
    reached = sent + delay(mean_delay_ns)
    replied = reached + delay(20_000)
    returned = replied + delay(3 * mean_delay_ns)
    rows = np.zeros(count, PROBE)
    rows["number"] = np.arange(1, count + 1)
    for name, x in (("t1", sent), ("t4", returned)):
        rows[name] = ORIGIN + np.floor(x + theta(x)).astype(np.int64)
    for name, x in (("t2", reached), ("t3", replied)):
        rows[name] = ORIGIN + np.floor(x).astype(np.int64)
    return rows


def inside(estimate: ClockEstimate, theta: Theta, seconds: float, pause_s: float = 0.25) -> np.ndarray:
    """Return whether the truth is in the interval, at moments from 0 on."""
    x = np.arange(0, seconds * SECOND, pause_s * SECOND)
    true = theta(x)
    lower, upper = estimate.bounds(ORIGIN + np.floor(x + true).astype(np.int64))
    return (lower != ABSENT) & (upper != ABSENT) & (lower <= true) & (true <= upper)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("offset_ns", "ppm"), [(0, 0), (-5e18 / 7, 0), (123 * MS, 20), (-7 * SECOND, -480), (1e15, 1)])
def test_the_truth_is_inside_at_every_moment(offset_ns: float, ppm: float, seed: int) -> None:
    """Over 60 s at 20 probes a second; the drift is known to 1 ppm."""
    theta = line(offset_ns, ppm)
    if abs(offset_ns) > 2**52:
        theta = line(round(offset_ns / 4096) * 4096, ppm)  # what the simulation's floats hold exactly
    estimate = estimate_clock(probes(theta, 60, seed))
    assert inside(estimate, theta, 60).all()
    assert () == estimate.steps
    assert () == estimate.alarms
    summary = estimate.summary()
    assert summary.drift_ppm is not None
    assert abs(summary.drift_ppm - ppm / (1 + ppm * 1e-6)) < 1
    assert summary.drift_error_ppm is not None
    assert summary.drift_error_ppm < 1
    assert 1200 == summary.probes
    assert summary.widest_ns is not None
    assert 2000 < summary.widest_ns < 60_000
    at_end = np.array([estimate.segments[-1].end_ns])
    assert (summary.lower_ns, summary.upper_ns) == tuple(int(bound[0]) for bound in estimate.bounds(at_end))
    assert summary.upper_ns - summary.lower_ns == int(estimate.width(at_end)[0])


@pytest.mark.parametrize("size_ns", [-MS, MS, -40_000, 40_000])
@pytest.mark.parametrize("at_s", [3.3, 30, 59.9, 75])
def test_a_step_is_found_and_the_truth_is_on_both_sides_of_it(size_ns: int, at_s: float) -> None:
    """Smaller than the delays' mean, too; around it both sides hold."""
    theta = step(at_s, size_ns)
    estimate = estimate_clock(probes(theta, 90))
    [found] = estimate.steps
    assert found.earliest_ns - 1 <= ORIGIN + at_s * SECOND + max(size_ns, 0)
    assert found.latest_ns >= ORIGIN + at_s * SECOND + min(size_ns, 0)
    assert found.latest_ns - found.earliest_ns < 3 * SECOND
    assert found.least_ns is not None
    assert found.most_ns is not None
    assert found.least_ns <= size_ns <= found.most_ns
    assert inside(estimate, theta, 89, 0.01).all()


def test_the_estimate_follows_a_rate_that_changes() -> None:
    """From 0 to 30 ppm at 40 s: the truth is lost nowhere, the new rate is known."""

    def theta(x: np.ndarray) -> np.ndarray:
        return np.maximum(0, x - 40 * SECOND) * 30e-6

    estimate = estimate_clock(probes(theta, 100))
    assert 1 == len(estimate.steps)
    assert inside(estimate, theta, 99).all()
    slow, fast = estimate.drift(np.array([ORIGIN + 20 * SECOND, ORIGIN + 90 * SECOND]))
    assert (slow <= [0, 30]).all()
    assert (fast >= [0, 29.99]).all()
    assert (fast - slow < 2).all()


@settings(max_examples=60)
@given(
    offset_ns=st.integers(-(2**59), 2**59),
    ppb=st.integers(-499_000, 499_000),
    journeys=st.lists(st.tuples(st.integers(0, 9 * SECOND), *[st.integers(0, 2**28)] * 3), min_size=1, max_size=60),
    missing=st.sets(st.tuples(st.integers(0, 59), st.sampled_from(["t1", "t2", "t3", "t4"])), max_size=20),
)
def test_whatever_the_delays_the_truth_is_never_outside(
    offset_ns: int, ppb: int, journeys: list[tuple[int, int, int, int]], missing: set[tuple[int, str]]
) -> None:
    """In exact integers, with stamps missing anywhere."""

    def monitor(x: int) -> int:
        return ORIGIN + x + offset_ns + ppb * x // SECOND

    rows = np.zeros(len(journeys), PROBE)
    moments, x = [], 0
    for number, (pause, there, held, back) in enumerate(journeys):
        x += pause
        rows[number] = (0, number + 1, monitor(x), ORIGIN + x + there, ORIGIN + x + there + held, 0)
        rows[number]["t4"] = monitor(x + there + held + back)
        moments += [x, x + there, x + there + held + back]
    for number, name in missing:
        if number < len(rows):
            rows[number][name] = ABSENT
    estimate = estimate_clock(rows)
    assert () == estimate.steps
    assert () == estimate.alarms
    lower, upper = estimate.bounds(np.array([monitor(x) for x in moments]))
    for x, least, most in zip(moments, lower.tolist(), upper.tolist(), strict=True):
        true = monitor(x) - ORIGIN - x
        assert least <= true
        assert most == ABSENT or true <= most


@pytest.mark.parametrize(("name", "by_ns"), [("t1", 5 * MS), ("t2", -5 * MS), ("t3", 5 * MS), ("t4", -5 * MS)])
def test_a_false_stamp_is_an_alarm_that_names_its_probe(name: str, by_ns: int) -> None:
    """A departure too late or an arrival too early, by more than the journey; the interval is as without it."""
    rows = probes(line(0), 60)
    without = estimate_clock(np.delete(rows, 600))
    rows[name][600] += by_ns
    estimate = estimate_clock(rows)
    [alarm] = estimate.alarms
    assert (601, rows["t1"][600]) == (alarm.number, alarm.time_ns)
    assert 3 * MS < alarm.by_ns < 5 * MS
    t = rows["t1"][::7]
    assert () == estimate.steps
    assert np.array_equal(without.bounds(t), estimate.bounds(t))


@pytest.mark.parametrize(("name", "sign"), [("t1", 1), ("t2", -1), ("t3", 1), ("t4", -1)])
@pytest.mark.parametrize("by_ns", [30_000, 100_000, 1_000_000])
def test_a_false_stamp_is_never_a_silent_wrong(name: str, sign: int, by_ns: int) -> None:
    """By less than its journey it is a step there and back, or harmless; else an alarm."""
    theta = line(0)
    rows = probes(theta, 60)
    rows[name][600] += sign * by_ns
    estimate = estimate_clock(rows)
    truth = inside(estimate, theta, 60)
    named = [alarm.time_ns for alarm in estimate.alarms] + [step.latest_ns for step in estimate.steps]
    assert all(abs(t - int(rows["t1"][600])) < SECOND for t in named)
    assert truth[:116].all()
    assert truth[124:].all()
    assert named or truth.all()


def test_a_late_arrival_stamp_only_widens() -> None:
    """What errs to the safe side is no contradiction: a stamp of the application instead of the kernel."""
    rows = probes(line(0), 60)
    rows["t2"][::3] += 3 * MS
    rows["t4"][::5] += 3 * MS
    estimate = estimate_clock(rows)
    assert () == estimate.steps + estimate.alarms
    assert inside(estimate, line(0), 60).all()


def test_beyond_the_probes_it_widens_and_ends() -> None:
    """Up to 10 s, with the rates that are left; then nothing is known."""
    rows = probes(line(5 * MS, 10), 60)
    estimate = estimate_clock(rows)
    end = int(rows["t4"][-1])
    ahead_s = np.array([0, 1, 5, 9.9, 10.1, 1000])
    t = end + (ahead_s * SECOND).astype(np.int64)
    width = estimate.width(t)
    assert (np.diff(width[:4]) > 0).all()
    assert width[3] < 50_000
    assert [ABSENT, ABSENT] == width[4:].tolist()
    lower, upper = estimate.bounds(int(rows["t1"][0]) - (ahead_s * SECOND).astype(np.int64))
    assert (lower[:4] != ABSENT).all()
    assert [ABSENT, ABSENT] == lower[4:].tolist() == upper[4:].tolist()
    slow, fast = estimate.drift(t)
    assert np.isnan(slow[4:]).all()
    assert (slow[:4] < 10).all()
    assert (fast[:4] > 9.9).all()


def test_the_order_of_questions_does_not_matter() -> None:
    """Stamps of several connections are not in order of time."""
    rows = probes(step(30, MS), 90)
    estimate = estimate_clock(rows)
    t = rows["t1"][np.random.default_rng(2).permutation(len(rows))]
    order = np.argsort(t)
    for shuffled, sorted_ in zip(estimate.bounds(t), estimate.bounds(t[order]), strict=True):
        assert np.array_equal(sorted_, shuffled[order])


@pytest.mark.parametrize(("name", "known"), [("t3", 0), ("t4", 0), ("t1", 1), ("t2", 1)])
def test_one_sided_probes_leave_one_bound(name: str, known: int) -> None:
    """Without any T3 nothing is known from above."""
    rows = probes(line(7 * MS), 20)
    rows[name] = ABSENT
    estimate = estimate_clock(rows)
    t = np.array([ORIGIN + 10 * SECOND])
    bounds = estimate.bounds(t)
    assert ABSENT == bounds[1 - known][0]
    assert ABSENT == estimate.width(t)[0]
    assert abs(int(bounds[known][0]) - 7 * MS) < 100_000
    summary = estimate.summary()
    assert None is (summary.upper_ns, summary.lower_ns)[known]
    assert None is summary.widest_ns


def test_two_agents_at_once_bound_the_same_clocks() -> None:
    """The members of a fanout group, one journal after the other: together they know more."""
    theta = line(0, 5)
    one, other = probes(theta, 60, seed=5), probes(theta, 60, seed=6)
    both = estimate_clock(np.concatenate([one, other]))
    assert () == both.steps
    assert inside(both, theta, 60).all()
    t = one["t1"][200:1000]
    assert both.width(t).mean() < min(estimate_clock(one).width(t).mean(), estimate_clock(other).width(t).mean())


def test_where_the_monitors_time_runs_twice_both_are_covered() -> None:
    """It was set back by 20 s in the middle."""
    rows = probes(step(30, -20 * SECOND), 60)
    estimate = estimate_clock(rows)
    assert 1 == len(estimate.steps)
    [lower], [upper] = estimate.bounds(np.array([ORIGIN + 20 * SECOND]))
    assert lower < -20 * SECOND < 0 < upper


def test_lost_and_repeated_rows_do_no_harm() -> None:
    """Half of them missing, some twice."""
    theta = line(123 * MS, 20)
    rows = probes(theta, 60)
    kept = np.sort(np.random.default_rng(3).integers(0, len(rows), len(rows)))
    estimate = estimate_clock(rows[kept])
    assert () == estimate.steps + estimate.alarms
    assert inside(estimate, theta, 59)[2:].all()


def test_extreme_stamps_are_left_out() -> None:
    """No overflow, no false bound."""
    rows = probes(line(0), 10)
    plain = estimate_clock(rows)
    odd = np.zeros(5, PROBE)
    odd["number"] = 2**64 - 1
    odd["t1"] = [2**63 - 1, -(2**63), 0, 2**62, -1]
    odd["t2"] = [-(2**63) + 1, 2**63 - 1, ABSENT, 2**63 - 1, 5]
    odd["t3"] = [2**63 - 1, 2**62, 2**62 - 1, 0, 2**63 - 1]
    odd["t4"] = [-(2**63) + 1, 5, ABSENT, ABSENT, 2**62]
    estimate = estimate_clock(np.concatenate([rows, odd]))
    assert plain.probes == estimate.probes
    assert np.array_equal(plain.bounds(rows["t1"]), estimate.bounds(rows["t1"]))


def test_a_probe_that_was_under_way_for_long_says_nothing() -> None:
    """More than 10 s: its bounds are far apart in time and value."""
    rows = probes(line(0), 10)
    plain = estimate_clock(rows)
    late = rows[-1:].copy()
    late["t4"] = late["t1"] + 11 * SECOND
    estimate = estimate_clock(np.concatenate([rows, late]))
    assert plain == estimate


stamp = st.sampled_from([ABSENT, -1, 0, 1, 2**62 - 1, 2**62, 2**63 - 1, ORIGIN]) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), stamp, stamp, stamp, stamp), max_size=12))
def test_no_stamps_raise(stamps: list[tuple[int, int, int, int, int]]) -> None:
    """Whatever 64 bits hold."""
    rows = np.array([(0, *row) for row in stamps], PROBE)
    estimate = estimate_clock(rows)
    for bounds in (estimate.bounds(rows["t1"]), estimate.bounds(rows["t4"])):
        assert all(len(rows) == len(bound) for bound in bounds)
    assert estimate.probes + len(estimate.alarms) <= len(rows)
    estimate.summary()


def test_without_probes_nothing_is_known() -> None:
    """Absent, not zero."""
    estimate = estimate_clock(np.zeros(0, PROBE))
    t = np.array([ORIGIN, ABSENT])
    assert [ABSENT, ABSENT] == estimate.bounds(t)[0].tolist() == estimate.bounds(t)[1].tolist()
    summary = estimate.summary()
    assert (None, None, None, 0) == (summary.lower_ns, summary.upper_ns, summary.drift_ppm, summary.probes)


def test_one_clock_is_known_exactly() -> None:
    """θ is 0 whenever."""
    estimate = ClockEstimate.one_clock()
    t = np.array([0, ORIGIN, 2**62])
    assert [[0, 0, 0]] * 2 == [bound.tolist() for bound in estimate.bounds(t)]
    assert [0, 0, 0] == estimate.width(t).tolist()
    assert [[0, 0, 0]] * 2 == [rate.tolist() for rate in estimate.drift(t)]
    summary = estimate.summary()
    assert (0, 0, 0, 0) == (summary.lower_ns, summary.upper_ns, summary.drift_ppm, summary.widest_ns)


def test_garbage_ends() -> None:
    """Probes whose stamps have nothing to do with one another: steps and alarms, in bounded time."""
    random = np.random.default_rng(4)
    rows = probes(line(0), 100)
    for name in ("t1", "t2", "t3", "t4"):
        rows[name] += random.integers(-MS, MS, len(rows))
    estimate = estimate_clock(rows)
    assert len(estimate.alarms) > 100
    assert len(estimate.steps) > 100


def test_only_probes_that_shape_the_interval_cost_python() -> None:
    """Six hours of probes; typically a fifth of a second."""
    rows = probes(line(0, 3), 6 * 3600)
    began = time.process_time()
    estimate = estimate_clock(rows)
    assert time.process_time() - began < 4
    assert 360 <= len(estimate.segments) <= 361
