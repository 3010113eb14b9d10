"""Numbers are short, true and aligned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.units import bar_text, bits_text, bytes_text, count_text, duration_text, ratio_text


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0 ns", 0),
        ("999 ns", 999),
        ("1.00 µs", 1_000),
        ("9.53 µs", 9_531),
        ("12.4 µs", 12_400),
        ("120 µs", 120_400),
        ("999 µs", 999_499),
        ("1.00 ms", 999_500),
        ("10.0 µs", 9_996),
        ("1.20 ms", 1_200_000),
        ("-1.27 s ", -1_272_000_000),
        ("86,400 s ", 86_400_000_000_000),
    ],
)
def test_durations_have_three_digits_and_a_unit(text: str, duration_ns: int) -> None:
    """Units are two places wide, so that numbers stand under one another."""
    assert text == duration_text(duration_ns)


@given(st.integers(-(10**11), 10**11))
def test_a_duration_reads_back_within_half_of_its_last_digit(duration_ns: int) -> None:
    """The unit fits the number."""
    number, unit = duration_text(duration_ns).replace(",", "").split()
    scale = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9}[unit]
    assert abs(float(number) * scale - duration_ns) <= abs(duration_ns) * 0.005 + 1e-6
    assert abs(float(number)) < 1000


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("41,248", 41_248),
        ("999,999", 999_999),
        ("1.25 M", 1_250_000),
        ("12.00 G", 12 * 10**9),
        ("1,500.00 T", 15 * 10**14),
    ],
)
def test_counts_have_separators(text: str, count: int) -> None:
    """Or a prefix, so that a row of figures keeps its width."""
    assert text == count_text(count)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("100 %", 1.0), ("99.999 %", 0.9999999), ("99.989 %", 0.999895), ("0.000 %", 0.0), ("50.000 %", 0.5)],
)
def test_only_what_is_whole_is_100_per_cent(text: str, ratio: float) -> None:
    """One message in ten million that is not matched shows."""
    assert text == ratio_text(ratio)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0 B", 0),
        ("845 B", 845),
        ("999 B", 999),
        ("1 kB", 1_000),
        ("12.3 MB", 12_345_678),
        ("1,230 TB", 1_230 * 10**12),
    ],
)
def test_bytes_have_a_decimal_unit(text: str, count: int) -> None:
    """Three digits are enough."""
    assert text == bytes_text(count)


@pytest.mark.parametrize(
    ("text", "per_second"), [("0 bit/s", 0.0), ("1 Mbit/s", 999_600.0), ("8.21 Mbit/s", 8_214_000.0)]
)
def test_a_bandwidth_never_shows_a_thousand_of_a_unit(text: str, per_second: float) -> None:
    """What would be rounded to 1000 takes the next one."""
    assert text == bits_text(per_second)


@pytest.mark.parametrize(
    ("bar", "start", "share", "width"),
    [
        ("████", 0, 1, 4),
        ("██", 0, 0.5, 4),
        ("  ██", 0.5, 0.5, 4),
        ("▌", 0, 0.125, 4),
        ("   ▏", 1, 0.0001, 4),
        ("", 0, 0, 4),
    ],
)
def test_bars_begin_and_end_where_they_should(bar: str, start: float, share: float, width: int) -> None:
    """Whatever takes time shows at least a hairline."""
    assert bar == bar_text(start, share, width)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60))
def test_a_bar_never_leaves_its_cells(start: float, share: float, width: int) -> None:
    """Rounding must not break the table."""
    assert len(bar_text(start, share, width)) <= width
