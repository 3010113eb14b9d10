"""Decimal strings to whole steps and back: exact, or refused."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.scale import MAX_COUNT, Scale, ScaleError

steps = st.builds(lambda units, decimals: Decimal(units).scaleb(-decimals), st.integers(1, 5_000), st.integers(0, 12))
counts = st.integers(0, 10**15)


@given(step=steps, count=counts, zeros=st.integers(0, 6))
def test_text_parses_back(step: Decimal, count: int, zeros: int) -> None:
    """What a scale writes it reads back, also with zeros behind as venues pad them, and as a decimal."""
    scale = Scale(step)
    text = scale.text(count)
    padded = text + ("0" * zeros if scale.decimals else "")
    assert count == scale.parse(text) == scale.parse(padded) == scale.count(scale.value(count))
    assert scale.decimals == len(text.partition(".")[2])


@given(step=steps, whole=st.integers(0, 10**12), fraction=st.text("0123456789", max_size=12))
def test_parse_is_exact_or_refuses(step: Decimal, whole: int, fraction: str) -> None:
    """A text is read as exactly its number of steps, or refused when that is no whole number."""
    scale = Scale(step)
    text = f"{whole}.{fraction}"
    exact = Fraction(int(f"{whole}{fraction}"), 10 ** len(fraction)) / Fraction(step)
    if exact.denominator == 1 and exact <= MAX_COUNT:
        assert exact == scale.parse(text)
    else:
        with pytest.raises(ScaleError):
            scale.parse(text)


@given(text=st.text(max_size=30))
def test_any_text_is_a_number_or_a_scale_error(text: str) -> None:
    """Garbage never raises anything else, and nothing but unsigned ASCII digits with a point is read."""
    try:
        count = Scale(Decimal(1)).parse(text)
    except ScaleError:
        return
    assert set(text) <= set("0123456789.")
    assert count == Fraction(text.rstrip(".") or "x")


@pytest.mark.parametrize(
    "text", ["", ".", "-1", "+1", "1e3", " 1", "1 ", "1_0", "٣", "²", "0x1", "1.2.3", "0." + "0" * 19, "9" * 5000]
)
def test_not_a_number(text: str) -> None:
    """Everything that is not unsigned decimal digits of a sane length is refused."""
    with pytest.raises(ScaleError, match="expected an unsigned decimal number"):
        Scale(Decimal("0.01")).parse(text)


@pytest.mark.parametrize(
    ("step", "text", "count"),
    [
        ("0.01", "61837.63000000", 6_183_763),
        ("0.01", "61837.6", 6_183_760),
        ("0.00001", "0.00527000", 527),
        ("0.05", "1.15", 23),
        ("25", "100.00", 4),
        ("0.01", "0", 0),
        ("0.01", ".5", 50),
        ("1", str(MAX_COUNT), MAX_COUNT),
    ],
)
def test_parse(step: str, text: str, count: int) -> None:
    """Steps that are powers of ten and others, padded and short texts."""
    assert count == Scale(Decimal(step)).parse(text)


@pytest.mark.parametrize(("step", "text"), [("0.01", "0.001"), ("0.05", "1.16"), ("25", "110")])
def test_between_two_steps(step: str, text: str) -> None:
    """A number between two steps is refused and named, never rounded."""
    with pytest.raises(ScaleError, match=f"multiple of {step}, was {text}"):
        Scale(Decimal(step)).parse(text)


def test_more_than_64_bits() -> None:
    """One step more than a signed 64-bit integer holds is refused."""
    with pytest.raises(ScaleError, match="at most"):
        Scale(Decimal(1)).parse(str(MAX_COUNT + 1))


def test_negative_counts_have_text_and_value() -> None:
    """A position or a difference may be negative; it is written with its sign."""
    scale = Scale(Decimal("0.01"))
    assert "-0.05" == scale.text(-5)
    assert Decimal("-0.05") == scale.value(-5)


@pytest.mark.parametrize("step", ["0", "-0.01", "NaN", "Infinity", "1E-19"])
def test_impossible_step(step: str) -> None:
    """A step must be positive, finite and within 18 decimals."""
    with pytest.raises(ScaleError, match=f"was {step}"):
        Scale(Decimal(step))


@pytest.mark.parametrize("value", ["0.015", "-0.01", "NaN", "-Infinity"])
def test_count_refuses(value: str) -> None:
    """A decimal that is not a whole unsigned number of steps is refused each time it is asked for."""
    scale = Scale(Decimal("0.01"))
    for _ in range(2):
        with pytest.raises(ScaleError):
            scale.count(Decimal(value))


def test_count_takes_any_notation() -> None:
    """1E+2 and 100.00 are the same number of steps, and stay so beyond what is remembered."""
    scale = Scale(Decimal("0.5"))
    assert 200 == scale.count(Decimal("1E+2")) == scale.count(Decimal("100.00"))
    assert list(range(2000)) == [scale.count(Decimal(number) / 2) for number in range(2000)]
