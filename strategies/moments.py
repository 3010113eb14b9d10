"""Mean, variance and z-score of the last n integers, exact, in O(1) per value.

Prices are ticks, whole numbers, so the window's sums S₁ = Σx and S₂ = Σx² are kept exactly in Python's integers:

    mean = S₁ / n        σ² = D / n²,  D = n·S₂ − S₁²        z = (x − mean) / σ = (n·x − S₁) / √D

D is an exact difference of exact numbers: nothing cancels, and adding and removing values a billion times leaves no
drift. Only the last step rounds (two conversions, a root, a division, each correctly by IEEE 754), so equal windows
give equal z everywhere, which replaying a run relies on. In floats S₂ − S₁²/n loses every digit at large prices (Chan,
Golub, LeVeque 1983, "Algorithms for Computing the Sample Variance", The American Statistician 37(3), 242-247). The cure
there is Welford's update (Welford 1962, "Note on a Method for Calculating Corrected Sums of Squares and Products",
Technometrics 4(3), 419-420), but run backwards to forget a value it accumulates error, its σ² can fall below 0, and it
needs a division for every value.
"""

from collections import deque
from collections.abc import Iterable
from math import sqrt


class RollingMoments:
    """Statistics of the last `size` values.

    Args:
        size: length of the window, at least 2.
        values: what the window holds at first, oldest first; all but the last `size` are forgotten.

    Attributes:
        values: the window, oldest first.
    """

    __slots__ = ("_size", "_squares", "_sum", "values")

    def __init__(self, size: int, values: Iterable[int] = ()) -> None:
        if size < 2:
            raise ValueError(f"expected a window of at least 2 values, was {size}")
        self._size = size
        self._sum = 0
        self._squares = 0
        self.values: deque[int] = deque(maxlen=size)
        for value in values:
            self.push(value)

    def push(self, value: int) -> None:
        """Add a value and forget the oldest when the window is full."""
        values = self.values
        if len(values) == self._size:
            oldest = values[0]
            self._sum += value - oldest
            self._squares += (value - oldest) * (value + oldest)
        else:
            self._sum += value
            self._squares += value * value
        values.append(value)

    @property
    def is_full(self) -> bool:
        """Whether `size` values have been seen."""
        return len(self.values) == self._size

    @property
    def mean(self) -> float:
        """The arithmetic mean, correctly rounded; the window must hold a value."""
        return self._sum / len(self.values)

    @property
    def scaled_variance(self) -> int:
        """D = n²·σ², exact: n² times the population variance."""
        return len(self.values) * self._squares - self._sum * self._sum

    def zscore(self, value: int) -> float:
        """Return how many population standard deviations a value lies above the mean, 0 where all values are equal.

        The last value pushed never lies more than √(n − 1) away (Samuelson 1968, "How Deviant Can You Be?", Journal of
        the American Statistical Association 63(324)).
        """
        scaled_variance = self.scaled_variance
        if not scaled_variance:
            return 0.0
        return (len(self.values) * value - self._sum) / sqrt(scaled_variance)
