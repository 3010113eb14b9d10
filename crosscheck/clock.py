"""What is known of θ(t) = monitor clock − trader clock, t on the monitor's clock: an interval, never a point. Pure.

A probe that left the monitor at T1 and reached the trader at T2 (its clock) says θ ≥ T1 − T2; a reply that left the
trader at T3 and reached the monitor at T4 says θ ≤ T4 − T3. `segments` finds all straight lines that obey the probes,
and θ is one of them as long as both clocks run at constant rates. A step, or a bend by a changed rate, is seen once it
leaves no line; one that is small beside the interval's width cannot be seen, and then θ may lie outside by about as
much.

Only probes enter: stamps of messages are tested against the interval and never tighten it, else one false stamp would
hide itself. Every bound is rounded outward.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crosscheck.feasible import MAX_RATE_PPM, TRUNCATION_NS
from crosscheck.model import Column, Index, Rows
from crosscheck.segments import REACH_NS, Points, Segment, Step, cut
from journal.layout import ABSENT

Floats = npt.NDArray[np.float64]

_STAMP_LIMIT = 2**62  # differences of stamps below it fit int64
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A probe whose own stamps leave no θ at all: a clock was set while it travelled, or a stamp is false.

    Attributes:
        number: the probe's.
        time_ns: when it left, on the monitor's clock.
        by_ns: by how much its lower bound of θ exceeds its upper one.
    """

    number: int
    time_ns: int
    by_ns: int


@dataclass(frozen=True, slots=True)
class ClockSummary:
    """An estimate in a few numbers; None where there is nothing to say.

    Attributes:
        lower_ns, upper_ns: θ at the time of the last probe.
        drift_ppm, drift_error_ppm: middle and half width of the interval of dθ/dt at that time.
        widest_ns: the widest interval at any time between the first probe and the last.
        probes: how many entered.
        steps, alarms: how many there are.
    """

    lower_ns: int | None
    upper_ns: int | None
    drift_ppm: float | None
    drift_error_ppm: float | None
    widest_ns: int | None
    probes: int
    steps: int
    alarms: int


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """The interval for θ over time.

    Attributes:
        segments: in the order of the probes.
        steps: where θ left its line, in order of time.
        alarms: probes that contradict themselves; they entered no segment.
        probes: how many probes entered.
        same_clock: both sides are one clock, θ is 0.
    """

    segments: tuple[Segment, ...]
    steps: tuple[Step, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    probes: int = 0
    same_clock: bool = False

    @classmethod
    def one_clock(cls) -> "ClockEstimate":
        """Return what is known when both journals were written by one clock: θ is 0."""
        return cls(segments=(), same_clock=True)

    def bounds(self, t_ns: Column) -> tuple[Column, Column]:
        """Return the interval of θ at these times.

        Where several segments hold, around a step or after the monitor's clock was set back, it covers them all. Up to
        10 s into a silence it widens with the rates that the last lines allow; beyond, nothing is known.

        Args:
            t_ns: the monitor's clock, ns, shape (n,), best in ascending order.

        Returns:
            (lower, upper): ns, shape (n,), rounded outward; ABSENT where not known, each side by itself.
        """
        if self.same_clock:
            return np.zeros(t_ns.shape, np.int64), np.zeros(t_ns.shape, np.int64)
        lower, upper = np.full(t_ns.shape, _INT64.max), np.full(t_ns.shape, _INT64.min)
        for segment, at in self._holding(t_ns):
            least, most = segment.lines.at(t_ns[at])
            lower[at] = np.minimum(lower[at], least if segment.lines.has_lower else _INT64.min)
            upper[at] = np.maximum(upper[at], most if segment.lines.has_upper else _INT64.max)
        lower[lower == _INT64.max] = ABSENT
        upper[(upper == _INT64.min) | (upper == _INT64.max)] = ABSENT
        return lower, upper

    def width(self, t_ns: Column) -> Column:
        """Return how wide the interval is at these times, ns, shape of `t_ns`; ABSENT where a side is not known."""
        lower, upper = self.bounds(t_ns)
        return np.where((lower == ABSENT) | (upper == ABSENT), ABSENT, upper - lower)

    def drift(self, t_ns: Column) -> tuple[Floats, Floats]:
        """Return the interval of dθ/dt at these times.

        Args:
            t_ns: the monitor's clock, ns, shape (n,).

        Returns:
            (lower, upper): ppm of the monitor's time, shape (n,); NaN where not known.
        """
        if self.same_clock:
            return np.zeros(t_ns.shape), np.zeros(t_ns.shape)
        lower, upper = np.full(t_ns.shape, np.nan), np.full(t_ns.shape, np.nan)
        for segment, at in self._holding(t_ns):
            least, most = segment.lines.drift_ppm()
            lower[at], upper[at] = np.fmin(lower[at], least), np.fmax(upper[at], most)
        return lower, upper

    def summary(self) -> ClockSummary:
        """Return the estimate in a few numbers."""
        if not self.segments and not self.same_clock:
            return ClockSummary(None, None, None, None, None, self.probes, len(self.steps), len(self.alarms))
        edges = [t for segment in self.segments for t in (segment.begin_ns, segment.end_ns)]
        times = np.array(edges or [0], np.int64)
        lower, upper = self.bounds(times)
        slow, fast = self.drift(times[-1:])
        widest = int(self.width(times).max())
        return ClockSummary(
            lower_ns=_known(lower[-1]),
            upper_ns=_known(upper[-1]),
            drift_ppm=float(slow[0] + fast[0]) / 2,
            drift_error_ppm=float(fast[0] - slow[0]) / 2,
            widest_ns=_known(widest),
            probes=self.probes,
            steps=len(self.steps),
            alarms=len(self.alarms),
        )

    def _holding(self, t_ns: Column) -> Iterator[tuple[Segment, Column | slice]]:
        """Yield each segment that holds at any of these times, with the places of those times."""
        ascending = bool(np.all(t_ns[1:] >= t_ns[:-1]))
        order = np.argsort(t_ns, kind="stable") if not ascending else None
        times = t_ns if order is None else t_ns[order]
        for segment in self.segments:
            first, stop = np.searchsorted(
                times, [segment.begin_ns - segment.before_ns, segment.end_ns + segment.after_ns + 1]
            )
            if first < stop:
                yield segment, slice(first, stop) if order is None else order[first:stop]


def estimate_clock(probes: Rows) -> ClockEstimate:
    """Return what some probes say of θ.

    Args:
        probes: rows of `journal.wire.PROBE`, of one agent in the order of their numbers, or of several, one after the
            other. Probes without a stamp from either clock, or under way for longer than 10 s, say nothing.
    """
    points = _points(probes)
    travel_ns = points.end - points.begin
    says = (points.has_lower | points.has_upper) & (travel_ns <= REACH_NS)
    excess_ns = points.lower - points.upper
    slew_ns = np.maximum(travel_ns, 0) * (MAX_RATE_PPM * 1e-6) + 2 * TRUNCATION_NS
    contradict = says & points.has_lower & points.has_upper & (excess_ns > slew_ns)
    alarms = [
        Alarm(int(points.number[row]), int(points.begin[row]), int(excess_ns[row]))
        for row in np.flatnonzero(contradict)
    ]
    points = points.take(_order(points, np.flatnonzero(says & ~contradict)))
    segments, steps = cut(points)
    return ClockEstimate(tuple(segments), tuple(steps), tuple(alarms), len(points))


def _points(probes: Rows) -> Points:
    """Return the probes as bounds; a stamp that is absent or no time is 0, and what needs it is masked."""
    t1, t2, t3, t4 = (probes[name].astype(np.int64) for name in ("t1", "t2", "t3", "t4"))
    known = [(t >= 0) & (t < _STAMP_LIMIT) for t in (t1, t2, t3, t4)]
    for t, there in zip((t1, t2, t3, t4), known, strict=True):
        t[~there] = 0
    return Points(
        number=probes["number"],
        lower_t=t1,
        lower=t1 - t2,
        has_lower=known[0] & known[1],
        upper_t=t4,
        upper=t4 - t3,
        has_upper=known[2] & known[3],
        begin=np.where(known[0], t1, t4),
        end=np.where(known[3], t4, t1),
    )


def _order(points: Points, rows: Index) -> Index:
    """Return rows in the order in which their probes were sent.

    Time and number that go back together are another agent's rows, to be merged by time; time that goes back while
    numbers grow is a clock that was set back, and the rows' own order is the only one.
    """
    begin, number = points.begin[rows], points.number[rows]
    set_back = (begin[1:] < begin[:-1]) & (number[1:] >= number[:-1])
    return rows if np.any(set_back) else rows[np.argsort(begin, kind="stable")]


def _known(value: int) -> int | None:
    return None if value == ABSENT else int(value)
