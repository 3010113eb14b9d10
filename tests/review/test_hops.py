"""A duration needs both its stamps, and a percentile is a duration that was measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.layout import ABSENT
from review.hops import (
    MESSAGE_HOPS,
    MONITOR_CLOCK,
    ORDER_HOPS,
    distribution,
    duration,
    durations,
    hop_distributions,
    hop_name,
    tick_to_trade,
)
from review.stamps import Stamps

THETA_NS = 1_000_000
DURATIONS = st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=300)


def stamps(**hops: list[int]) -> Stamps:
    """Return stamps with these hops."""
    columns = {name: np.array(hop, np.int64) for name, hop in hops.items()}
    for name in MONITOR_CLOCK & columns.keys():
        columns[f"{name}_here"] = np.where(columns[name] == ABSENT, ABSENT, columns[name] - THETA_NS)
    number = np.arange(len(next(iter(columns.values()))), dtype=np.uint64)
    return Stamps(number, number, columns)


def test_an_absent_stamp_never_enters() -> None:
    """Neither at the beginning of a hop nor at its end."""
    message = stamps(kernel_rx=[100, ABSENT, 300, ABSENT], read=[110, 210, ABSENT, ABSENT])
    assert [10] == durations(message, "kernel_rx", "read").tolist()


def test_one_message_is_as_all_of_them() -> None:
    """Its duration is the same, and none where a stamp is absent."""
    message = stamps(kernel_rx=[100, ABSENT], read=[110, 210])
    assert [10, None] == [duration(message, row, "kernel_rx", "read") for row in (0, 1)]


def test_tick_to_trade_is_told_where_it_was_measured() -> None:
    """On the wire by the monitor's clock alone; not at all where a stamp is absent."""
    order = stamps(
        wire_in=[THETA_NS + 90],
        kernel_rx=[ABSENT],
        read=[110],
        written=[150],
        kernel_tx=[160],
        wire_out=[155 + THETA_NS],
    )
    assert {"process": 40, "wire": 65} == tick_to_trade(order, 0)


def test_a_hop_below_zero_is_kept() -> None:
    """The venue's clock may be ahead: that is shown, not hidden."""
    assert [-90] == durations(stamps(exchange=[200], kernel_rx=[110]), "exchange", "kernel_rx").tolist()


def test_times_of_the_monitor_are_compared_with_one_another_as_they_are() -> None:
    """And with a stamp of the trader's where they are on the trader's clock."""
    order = stamps(wire_in=[THETA_NS + 100], kernel_rx=[103], written=[150], wire_out=[THETA_NS + 160])
    assert [60] == durations(order, "wire_in", "wire_out").tolist()
    assert [3] == durations(order, "wire_in", "kernel_rx").tolist()
    assert [10] == durations(order, "written", "wire_out").tolist()


def test_without_durations_there_is_no_distribution() -> None:
    """A missing part is missing, not 0."""
    assert distribution(np.array([], np.int64)) is None


@pytest.mark.parametrize("size", [1, 2, 10, 999, 1000, 1001])
def test_percentiles_of_counting_numbers(size: int) -> None:
    """Of 1 … n, the q-th percentile is the ⌈qn⌉-th number."""
    found = distribution(np.random.default_rng(1).permutation(np.arange(1, size + 1)))
    assert found is not None
    assert (size, -(-size // 2), -(-size * 9 // 10)) == (found.n, found.p50_ns, found.p90_ns)
    assert (-(-size * 99 // 100), -(-size * 999 // 1000), size) == (found.p99_ns, found.p999_ns, found.max_ns)


@given(DURATIONS)
def test_a_percentile_is_the_smallest_measured_that_enough_do_not_exceed(taken: list[int]) -> None:
    """By counting, for every quantile."""
    found = distribution(np.array(taken, np.int64))
    assert found is not None
    for permille, value in ((500, found.p50_ns), (900, found.p90_ns), (990, found.p99_ns), (999, found.p999_ns)):
        enough = [each for each in taken if sum(other <= each for other in taken) * 1000 >= permille * len(taken)]
        assert min(enough) == value


def test_percentiles_equal_numpys_exact() -> None:
    """Where the size is a prime number, so that rounding a rank cannot matter."""
    taken = np.random.default_rng(2).lognormal(10, 2, 10_007).astype(np.int64)
    found = distribution(taken)
    assert found is not None
    expected = np.percentile(taken, (50, 90, 99, 99.9, 100), method="inverted_cdf")
    assert expected.tolist() == [found.p50_ns, found.p90_ns, found.p99_ns, found.p999_ns, found.max_ns]


def test_every_hop_has_its_name_even_when_no_message_has_it() -> None:
    """A reader of the JSON finds the same keys in each run."""
    message = stamps(exchange=[ABSENT], wire_in=[ABSENT], kernel_rx=[5], read=[7], decoded=[10])
    names = {name for hop in ORDER_HOPS for name in hop}
    order = stamps(**{name: [ABSENT] for name in names})
    found = hop_distributions(message, order)
    assert [hop_name(*hop) for hop in (*MESSAGE_HOPS, *ORDER_HOPS)] == list(found)
    assert {"kernel_rx_to_read": 2, "read_to_decoded": 3} == {
        name: hop.max_ns for name, hop in found.items() if hop is not None
    }
