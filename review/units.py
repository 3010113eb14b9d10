"""Numbers as a person reads them: durations and amounts with three digits and their unit, counts with separators."""

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def duration_text(duration_ns: int) -> str:
    """Return a duration with three significant digits or more and a unit of two places, such as `9.53 µs`.

    Args:
        duration_ns: ns, of either sign.
    """
    size = abs(duration_ns)
    scale, unit = next((scale, unit) for scale, unit in _UNITS if size >= 0.9995 * scale or scale == 1)
    amount = size / scale
    decimals = 0 if scale == 1 or amount >= 99.95 else 1 if amount >= 9.995 else 2
    return f"{duration_ns / scale:,.{decimals}f} {unit:<2}"


def count_text(count: int) -> str:
    """Return a count with separators, from a million on with a decimal prefix: `41,248`, `1.25 M`."""
    for size, prefix in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if count >= size:
            return f"{count / size:,.2f} {prefix}"
    return f"{count:,}"


def ratio_text(ratio: float) -> str:
    """Return a ratio as per cent, rounded down so that only what is whole reads `100 %`."""
    return "100 %" if ratio == 1 else f"{int(ratio * 100_000) / 1000:.3f} %"


def bytes_text(count: int) -> str:
    """Return a number of bytes with a decimal unit: `845 B`, `12.3 MB`."""
    return _decimal_text(float(count), "B")


def bits_text(per_second: float) -> str:
    """Return a bandwidth with a decimal unit: `8.21 Mbit/s`."""
    return _decimal_text(per_second, "bit/s")


def _decimal_text(amount: float, unit: str) -> str:
    for prefix in ("", "k", "M", "G"):
        if amount < 999.5:
            return f"{amount:.3g} {prefix}{unit}"
        amount /= 1000
    return f"{amount:,.0f} T{unit}" if amount >= 999.5 else f"{amount:.3g} T{unit}"


def bar_text(start: float, share: float, width: int) -> str:
    """Return a bar that begins at `start` and is `share` long, both parts of the whole, drawn in eighths of a cell.

    Args:
        start: 0 to 1.
        share: 0 to 1 − `start`; whatever is above 0 shows at least a hairline.
        width: cells of the whole.
    """
    first = min(int(start * width), width - 1)
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    full, rest = divmod(min(eighths, (width - first) * 8), 8)
    return " " * first + "█" * full + _EIGHTHS[rest]
