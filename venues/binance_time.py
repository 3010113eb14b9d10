"""Binance's times: in milliseconds or, where the URL asks for `timeUnit=MICROSECOND`, in microseconds. Pure."""

from typing import Annotated

from msgspec import Meta

_MICROSECONDS_FROM = 2**63 // 1_000_000  # ms would reach this in the year 2262; µs have passed it in April 1970

# what int64 nanoseconds can hold, so that a time which does not fit makes its message malformed and nothing else
Time = Annotated[int, Meta(ge=0, lt=2**63 // 1_000)]


def to_ns(time: int) -> int | None:
    """Return a `Time` in nanoseconds, None for 0, which stands for a field that was not sent."""
    if not time:
        return None
    return time * 1_000 if time >= _MICROSECONDS_FROM else time * 1_000_000
