"""How many requests were made in the running intervals, as Binance's answers tell in `rateLimits`.

Source: binance-spot-api-docs, web-socket-api.md, "Rate limits": intervals begin at whole multiples of their length.
"""

from collections import Counter
from typing import Any

from sandbox.binance_symbols import RATE_LIMITS

_SECONDS = {"SECOND": 1, "MINUTE": 60, "DAY": 86400}


class RateCounter:
    """Counts requests per interval, as the venue's `rateLimits` tell them; refuses none."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()  # by number in RATE_LIMITS
        self._periods: dict[int, int] = {}

    def add(self, kind: str, weight: int, now_us: int) -> list[dict[str, Any]]:
        """Count a request.

        Args:
            kind: `REQUEST_WEIGHT`, or `ORDERS`, which counts the weight as one more.
            weight: the request's weight.
            now_us: Unix µs.

        Returns:
            The limits that the request counts towards, with their use so far.
        """
        told = []
        for number, (limit_kind, interval, times, limit) in enumerate(RATE_LIMITS):
            if limit_kind == "RAW_REQUESTS" or (limit_kind == "ORDERS" and kind != "ORDERS"):
                continue
            period = now_us // (1_000_000 * times * _SECONDS[interval])
            if self._periods.get(number) != period:
                self._periods[number] = period
                self._counts[number] = 0
            self._counts[number] += 1 if limit_kind == "ORDERS" else weight
            told.append(
                {
                    "rateLimitType": limit_kind,
                    "interval": interval,
                    "intervalNum": times,
                    "limit": limit,
                    "count": self._counts[number],
                }
            )
        return told
