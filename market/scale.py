"""Exact conversion between a venue's decimal strings and whole numbers of ticks or lots.

A `Scale` belongs to an instrument and owns one step (tick size or lot size). No binary float is involved: a number that
is not a whole number of steps is refused, never rounded.
"""

from decimal import Decimal

MAX_DECIMALS = 18
MAX_COUNT = 2**63 - 1  # the journal and numpy hold signed 64-bit integers


class ScaleError(ValueError):
    """A number that the scale cannot hold exactly: not decimal digits, between two steps, or too large."""


class Scale:
    """One decimal step and the conversions to and from whole counts of it.

    Args:
        step: the tick or lot size, positive, at most 18 decimals, for example `Decimal("0.01")`.

    Attributes:
        step: the step.
        decimals: how many decimals it has.
        units: the step in its last decimal: 25 for 0.25.

    Raises:
        ScaleError: the step is not positive or has too many decimals.
    """

    __slots__ = ("_counted", "_ratios", "_written", "decimals", "step", "units")

    def __init__(self, step: Decimal) -> None:
        if not step.is_finite() or step <= 0:
            raise ScaleError(f"a step must be positive, was {step}")
        step = step.normalize()
        exponent = step.as_tuple().exponent
        assert isinstance(exponent, int)
        decimals = max(-exponent, 0)
        if decimals > MAX_DECIMALS:
            raise ScaleError(f"a step has at most {MAX_DECIMALS} decimals, was {step}")
        self.step = step
        self.decimals = decimals
        self.units = int(step.scaleb(decimals))
        # count = digits * multiplier / divisor, where the text had as many decimals as the index
        self._ratios: tuple[tuple[int, int], ...] = tuple(
            (10 ** max(decimals - given, 0), self.units * 10 ** max(given - decimals, 0))
            for given in range(MAX_DECIMALS + 1)
        )
        self._counted: tuple[Decimal | None, int] = (None, 0)  # the last answers, which orders ask for again
        self._written: tuple[int | None, str] = (None, "")

    def parse(self, text: str) -> int:
        """Count the steps in a venue's decimal string.

        Args:
            text: unsigned decimal digits with at most one point, as venues send them: `"61837.63000000"`.

        Returns:
            The number of steps, 0 or more.

        Raises:
            ScaleError: the text is not such a number, lies between two steps, or exceeds 64 bits.
        """
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        if not (digits.isdigit() and digits.isascii()):
            raise ScaleError(f"expected an unsigned decimal number, was {text[:64]!r}")
        try:
            multiplier, divisor = self._ratios[len(fraction)]
            count, rest = divmod(int(digits) * multiplier, divisor)
        except (IndexError, ValueError):  # more decimals than any venue sends, or more digits than Python converts
            raise ScaleError(
                f"expected an unsigned decimal number of at most {MAX_DECIMALS} decimals, was {text[:64]!r}"
            ) from None
        if rest:
            raise ScaleError(f"expected a multiple of {self.step}, was {text}")
        if count > MAX_COUNT:
            raise ScaleError(f"expected at most {MAX_COUNT} steps of {self.step}, was {text[:64]}")
        return count

    def count(self, value: Decimal) -> int:
        """Count the steps in a decimal; asking for the same object again, as a strategy does, costs nothing.

        Raises:
            ScaleError: the value is negative, not finite, or not a whole number of steps.
        """
        if value is self._counted[0]:
            return self._counted[1]
        if not isinstance(value, Decimal) or not value.is_finite():
            raise ScaleError(f"expected a finite Decimal, was {value!r}")
        count = self.parse(format(value, "f"))
        self._counted = (value, count)
        return count

    def text(self, count: int) -> str:
        """Write a count of steps as the decimal string with exactly the step's decimals: 6183763 → `"61837.63"`."""
        if count == self._written[0]:
            return self._written[1]
        units = count * self.units
        text = str(abs(units)).rjust(self.decimals + 1, "0")
        if self.decimals:
            text = f"{text[: -self.decimals]}.{text[-self.decimals :]}"
        if units < 0:
            text = "-" + text
        self._written = (count, text)
        return text

    def value(self, count: int) -> Decimal:
        """Return a count of steps as an exact decimal."""
        return Decimal(count * self.units).scaleb(-self.decimals)

    def __repr__(self) -> str:
        return f"Scale({self.step})"
