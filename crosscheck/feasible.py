"""All straight lines that probes allow: θ(t) = a + b·t above every lower point and below every upper one. Pure.

Each point allows a half-plane of (a, b), so the feasible lines are a convex polygon; its edges are dual to the hulls of
Moon, Skelly and Towsley ("Estimation and removal of clock skew from network delay measurements", INFOCOM 1999), which
keep one line where this keeps them all. The polygon is found by cutting: from a box that holds every feasible line, the
most violated point of all cuts, until none is violated. So Python touches only the few points that shape the polygon.

Nothing is lost to rounding. Differences are taken in int64; floats are relative to the points' own origin; a clock's
reading is truncated to a whole ns, so every point gives way by 1 ns, and by twice the tolerance up to which a point
counts as obeyed, which is a thousand times the arithmetic's error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from crosscheck.model import Column

MAX_RATE_PPM = 500.0  # how fast the kernel's clock discipline may slew a clock against another
TRUNCATION_NS = 1.0  # a reading of a clock is less than that below the clock

_MAX_RATE = MAX_RATE_PPM * 1000  # ns/s
_TOLERANCE = 2.0**-40  # of the largest number in play
_FAR_NS = 1e9  # where a side without points is closed, beyond all lines that touch a point

Floats = npt.NDArray[np.float64]
Vertex = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Lines:
    """A convex set of lines θ(t) = `base_ns` + a + b·(t − `origin_ns`)/s, kept as its extreme ones.

    Attributes:
        origin_ns: on the monitor's clock.
        base_ns: ns.
        vertices: (a, b) of each extreme line, ns and ns/s.
        has_lower, has_upper: whether there were lower and upper points; a side without any is unbounded.
    """

    origin_ns: int
    base_ns: int
    vertices: tuple[Vertex, ...]
    has_lower: bool
    has_upper: bool

    def at(self, t_ns: Column) -> tuple[Column, Column]:
        """Return the least and the greatest θ of any line at these times.

        Args:
            t_ns: the monitor's clock, ns, any shape.

        Returns:
            (lower, upper): ns, int64, rounded outward; a side without points means nothing.
        """
        x = (t_ns - self.origin_ns) * 1e-9
        lower, upper = np.full(x.shape, np.inf), np.full(x.shape, -np.inf)
        for a, b in self.vertices:
            theta = a + b * x
            np.minimum(lower, theta, out=lower)
            np.maximum(upper, theta, out=upper)
        return (
            np.floor(lower).astype(np.int64) + self.base_ns,
            np.ceil(upper).astype(np.int64) + self.base_ns,
        )

    def drift_ppm(self) -> tuple[float, float]:
        """Return the least and the greatest dθ/dt of any line, ppm of the monitor's time."""
        rates = [b for _, b in self.vertices]
        return min(rates) / 1000, max(rates) / 1000


def feasible_lines(lower_t: Column, lower: Column, upper_t: Column, upper: Column) -> Lines | None:
    """Return all lines with θ(lower_t) ≥ lower, θ(upper_t) ≤ upper and a rate of at most `MAX_RATE_PPM`.

    Args:
        lower_t: when the lower points were taken, ns of the monitor's clock, shape (n,).
        lower: what θ is not below then, ns, shape (n,).
        upper_t: when the upper points were taken, shape (m,); n + m > 0.
        upper: what θ is not above then, ns, shape (m,).

    Returns:
        The lines, None when there are none.
    """
    times, values = np.concatenate([lower_t, upper_t]), np.concatenate([lower, upper])
    origin_ns, base_ns = int(times.min()), int(values[0])
    x, y = (times - origin_ns) * 1e-9, (values - base_ns).astype(np.float64)
    sign = np.repeat([1.0, -1.0], [len(lower), len(upper)])  # a point is obeyed where sign·(a + b·x − y) ≥ 0
    reach = float(x.max()) * _MAX_RATE
    tolerance = _TOLERANCE * (float(np.abs(y).max()) + 2 * reach + _FAR_NS)
    half_planes = np.stack([sign, sign * x, TRUNCATION_NS + 2 * tolerance - sign * y])
    polygon = _box(half_planes, reach)
    while polygon:
        corners = np.array([(a, b, 1.0) for a, b in polygon])
        room = (corners @ half_planes).min(axis=0)
        worst = int(room.argmin())
        if room[worst] >= -tolerance:
            return Lines(origin_ns, base_ns, tuple(polygon), has_lower=bool(len(lower)), has_upper=bool(len(upper)))
        polygon = list(_cut(polygon, *half_planes[:, worst].tolist()))
    return None


def _box(half_planes: Floats, reach: float) -> list[Vertex]:
    """Return the corners of a box that holds every feasible line; none when there is no room even for a box.

    Args:
        half_planes: (p, q, r) of p·a + q·b + r ≥ 0, shape (3, points).
        reach: how far the steepest line moves over all points, ns.
    """
    p, q, r = half_planes
    floors, ceilings = -(r + np.abs(q) * _MAX_RATE)[p > 0], (r + np.abs(q) * _MAX_RATE)[p < 0]
    floor = float(floors.max()) if len(floors) else float(ceilings.min()) - 4 * reach - _FAR_NS
    ceiling = float(ceilings.min()) if len(ceilings) else float(floors.max()) + 4 * reach + _FAR_NS
    if floor > ceiling:
        return []
    return [(floor, -_MAX_RATE), (ceiling, -_MAX_RATE), (ceiling, _MAX_RATE), (floor, _MAX_RATE)]


def _cut(polygon: list[Vertex], p: float, q: float, r: float) -> Iterator[Vertex]:
    """Yield the corners of what a half-plane p·a + q·b + r ≥ 0 leaves of a convex polygon."""
    corners = [(a, b, p * a + q * b + r) for a, b in polygon]
    for (a, b, room), (next_a, next_b, next_room) in pairwise([*corners, corners[0]]):
        if room >= 0:
            yield a, b
        if (room < 0) != (next_room < 0):
            share = room / (room - next_room)
            yield a + share * (next_a - a), b + share * (next_b - b)
