"""Cuts a run of clock probes into segments in which one straight θ(t) can be true, and names what lies between. Pure.

A segment ends after `SEGMENT_NS`, at a silence, or where the next probe leaves no line: there a clock stepped or
changed its rate (Zhang, Liu and Xia, "Clock synchronization algorithms for network measurements", INFOCOM 2002). The
step may have come before the probe that showed it, hidden by the delays of the probes between. As far back as probes
also fit the new segment they may belong to either: they bound neither, the old segment is found again without them,
and meanwhile both segments hold.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from crosscheck.feasible import MAX_RATE_PPM, Lines, feasible_lines
from crosscheck.model import Column, Index, Mask

SEGMENT_NS = 60_000_000_000
REACH_NS = 10_000_000_000  # how long a segment still says something where probes are silent

_MAX_SLEW = MAX_RATE_PPM * 1e-6


@dataclass(frozen=True, slots=True)
class Points:
    """Probes as bounds of θ, in the order in which they were sent; each array has shape (probes,).

    Attributes:
        number: the probe's.
        lower_t, lower: θ(lower_t) ≥ lower where `has_lower`.
        upper_t, upper: θ(upper_t) ≤ upper where `has_upper`.
        begin, end: when the probe left and its reply came, on the monitor's clock, or twice the one that is known.
    """

    number: npt.NDArray[np.uint64]
    lower_t: Column
    lower: Column
    has_lower: Mask
    upper_t: Column
    upper: Column
    has_upper: Mask
    begin: Column
    end: Column

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: Index | Mask) -> "Points":
        """Return some of the rows."""
        return Points(*(getattr(self, name)[rows] for name in self.__slots__))

    def lines(self, first: int, stop: int) -> Lines | None:
        """Return the lines that rows `first` to `stop` allow, None for none."""
        rows = slice(first, stop)
        low, up = self.has_lower[rows], self.has_upper[rows]
        return feasible_lines(
            self.lower_t[rows][low], self.lower[rows][low], self.upper_t[rows][up], self.upper[rows][up]
        )


@dataclass(slots=True)
class Segment:
    """A time in which θ is one of these lines.

    Attributes:
        first, stop: the rows that the lines were found by.
        lines: what they allow.
        begin_ns, end_ns: when the segment holds, on the monitor's clock; neighbours overlap around a step.
        before_ns, after_ns: how much longer it reaches into silence, on the lines' rates alone.
    """

    first: int
    stop: int
    lines: Lines
    begin_ns: int
    end_ns: int
    before_ns: int = 0
    after_ns: int = 0
    broken: bool = field(default=False, repr=False)  # the next probe leaves no line


@dataclass(frozen=True, slots=True)
class Step:
    """A moment at which θ left its line.

    Attributes:
        earliest_ns, latest_ns: between which moments of the monitor's clock; in reverse when that clock was set back.
        least_ns, most_ns: by how much θ jumped then, None where not bounded. An interval that holds 0 says that a
            change of rate explains the probes as well.
    """

    earliest_ns: int
    latest_ns: int
    least_ns: int | None
    most_ns: int | None


def cut(points: Points) -> tuple[list[Segment], list[Step]]:
    """Return the segments of some probes, and the steps between them, both in order.

    Args:
        points: probes of which none contradicts itself.
    """
    segments: list[Segment] = []
    steps: list[Step] = []
    silences = np.diff(points.begin)
    starts = np.flatnonzero((silences < 0) | (silences > REACH_NS)) + 1
    edges = [0, *starts.tolist(), len(points)] if len(points) else [0]
    for first, stop in pairwise(edges):
        stretch = list(_straight(points, first, stop))
        steps += _join_segments(points, stretch)
        if segments and (step := _join_stretches(segments[-1], stretch[0])):
            steps.append(step)
        segments += stretch
    if segments:
        segments[0].before_ns = segments[-1].after_ns = REACH_NS
    return segments, sorted(steps, key=lambda step: step.earliest_ns)


def _straight(points: Points, first: int, stop: int) -> Iterator[Segment]:
    """Yield segments of rows without a silence, each as long as probes and `SEGMENT_NS` allow, of equal length."""
    while first < stop:
        left_ns = int(points.begin[stop - 1] - points.begin[first])
        count = left_ns // SEGMENT_NS + 1
        until_ns = int(points.begin[first]) + left_ns // count
        end = first + int(np.searchsorted(points.begin[first:stop], until_ns, side="right")) if count > 1 else stop
        lines, broken = points.lines(first, end), False
        if lines is None:
            end = _longest(points, first, end)
            lines, broken = points.lines(first, end), True
        assert lines is not None, "one probe that does not contradict itself allows a line"
        yield Segment(first, end, lines, int(points.begin[first]), int(points.end[end - 1]), broken=broken)
        first = end


def _longest(points: Points, first: int, stop: int) -> int:
    """Return the end of the longest run of rows from `first`, short of `stop`, that allows a line."""
    return first + _most(lambda rows: points.lines(first, first + rows) is not None, stop - first - 1)


def _hidden(points: Points, old: Segment, new: Segment) -> int:
    """Return how many rows before a segment, but for the first of the one before, fit it as well."""
    return _most(lambda rows: points.lines(new.first - rows, new.stop) is not None, new.first - old.first - 1)


def _most(fits: Callable[[int], bool], limit: int) -> int:
    """Return the greatest number from 0 to `limit` that fits, when whatever is less than a fitting number fits."""
    fitting, step = 0, 1
    while fitting + step <= limit and fits(fitting + step):
        fitting, step = fitting + step, step * 2
    failing = min(fitting + step, limit + 1)
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        fitting, failing = (middle, failing) if fits(middle) else (fitting, middle)
    return fitting


def _join_segments(points: Points, segments: list[Segment]) -> Iterator[Step]:
    """Let neighbouring segments meet or, around a step, overlap; yield the steps, the last one first.

    From the end, so that a segment is rid of rows that may belong to the next before it claims rows itself.
    """
    for old, new in zip(segments[-2::-1], segments[:0:-1], strict=True):
        meets_ns = int(points.begin[new.first])
        if not old.broken:
            if _may_be_none(*_jump(old.lines, meets_ns, new.lines, meets_ns)):
                old.end_ns = meets_ns
                continue
            _set_rows(points, new, _longest(points, old.first, new.stop), new.stop)
        _set_rows(points, old, old.first, min(old.stop, new.first - _hidden(points, old, new)))
        new.begin_ns, old.end_ns = int(points.begin[old.stop - 1]), int(points.end[new.first])
        jumps = [_jump(old.lines, t_ns, new.lines, t_ns) for t_ns in (new.begin_ns, old.end_ns)]
        least = [jump for jump, _ in jumps if jump is not None]
        most = [jump for _, jump in jumps if jump is not None]
        yield Step(new.begin_ns, old.end_ns, min(least, default=None), max(most, default=None))


def _set_rows(points: Points, segment: Segment, first: int, stop: int) -> None:
    if (first, stop) != (segment.first, segment.stop):
        lines = points.lines(first, stop)
        assert lines is not None, "fewer probes allow more lines"
        segment.first, segment.stop, segment.lines = first, stop, lines


def _join_stretches(old: Segment, new: Segment) -> Step | None:
    """Let two segments reach into the silence between them; return the step that must be in it, if any."""
    silence_ns = new.begin_ns - old.end_ns
    old.after_ns = new.before_ns = min(max(silence_ns, 0), REACH_NS)
    least, most = _jump(old.lines, old.end_ns, new.lines, new.begin_ns)
    slew_ns = round(abs(silence_ns) * _MAX_SLEW) + 1
    least = None if least is None else least - slew_ns
    most = None if most is None else most + slew_ns
    return None if _may_be_none(least, most) else Step(old.end_ns, new.begin_ns, least, most)


def _jump(old: Lines, old_ns: int, new: Lines, new_ns: int) -> tuple[int | None, int | None]:
    """Return the least and the greatest difference of θ between a moment in one segment and a moment in another."""
    (old_lower, old_upper), (new_lower, new_upper) = old.at(np.array(old_ns)), new.at(np.array(new_ns))
    return (
        int(new_lower) - int(old_upper) if new.has_lower and old.has_upper else None,
        int(new_upper) - int(old_lower) if new.has_upper and old.has_lower else None,
    )


def _may_be_none(least: int | None, most: int | None) -> bool:
    return (least is None or least <= 0) and (most is None or most >= 0)
