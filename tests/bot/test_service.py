"""The run's own arithmetic; runs themselves are in tests/system."""

import re

from hypothesis import given
from hypothesis import strategies as st

from bot.service import order_prefix

times = st.integers(10**18, 2 * 10**18)


@given(times)
def test_a_prefix_is_the_start_in_milliseconds(start_ns: int) -> None:
    """In base 36, so that it can be read back."""
    prefix = order_prefix(start_ns)
    assert prefix.startswith("ws")
    assert start_ns // 1_000_000 == int(prefix[2:], 36)


@given(times, times)
def test_no_two_runs_share_a_prefix(one_ns: int, other_ns: int) -> None:
    """Unless they start in the same millisecond."""
    assert (one_ns // 1_000_000 == other_ns // 1_000_000) is (order_prefix(one_ns) == order_prefix(other_ns))


@given(times, st.integers(1, 10**9))
def test_an_order_id_is_one_that_venues_take(start_ns: int, ordinal: int) -> None:
    """Binance: letters, digits, hyphen and underscore, 36 at most."""
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,36}", f"{order_prefix(start_ns)}-{ordinal}")
