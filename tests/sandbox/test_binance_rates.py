"""Requests are counted by interval."""

from typing import Any

from sandbox.binance_rates import RateCounter

TEN_SECONDS_US = 10_000_000


def counts(told: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(limit["interval"], limit["intervalNum"], limit["count"]) for limit in told]


def test_an_interval_begins_at_a_multiple_of_its_length() -> None:
    """The ten-second count begins anew while minute and day go on."""
    rates = RateCounter()
    rates.add("ORDERS", 1, 5 * TEN_SECONDS_US)
    assert counts(rates.add("ORDERS", 1, 6 * TEN_SECONDS_US - 1)) == [
        ("MINUTE", 1, 2),
        ("SECOND", 10, 2),
        ("DAY", 1, 2),
    ]
    assert counts(rates.add("ORDERS", 1, 6 * TEN_SECONDS_US)) == [("MINUTE", 1, 1), ("SECOND", 10, 1), ("DAY", 1, 3)]


def test_other_requests_count_their_weight_only() -> None:
    """And do not touch the orders' counts."""
    rates = RateCounter()
    assert counts(rates.add("REQUEST_WEIGHT", 20, 0)) == [("MINUTE", 1, 20)]
    assert counts(rates.add("ORDERS", 1, 0)) == [("MINUTE", 1, 21), ("SECOND", 10, 1), ("DAY", 1, 1)]
