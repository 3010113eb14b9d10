"""Which order answers which tick, and what the figures say of it."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from latency import Figures, Sample, as_json, as_table, figures, tick_to_trade, ticks_and_orders
from wire import PACKET

FEED, ROUTE, OTHER = 40001, 40002, 40003
TICK_BYTES, ORDER_BYTES, REPLY_BYTES = 172, 181, 643

Row = tuple[int, int, bool, int]


def run_of(ticks: int, order_after_ns: int = 50_000, route: int = ROUTE) -> list[Row]:
    """Return a clean run: a tick each millisecond, its order, and the reply."""
    rows: list[Row] = []
    for start_ns in range(0, ticks * 1_000_000, 1_000_000):
        rows.append((start_ns, FEED, False, TICK_BYTES))
        rows.append((start_ns + order_after_ns, route, True, ORDER_BYTES))
        rows.append((start_ns + order_after_ns + 10_000, route, False, REPLY_BYTES))
    return rows


def split(rows: list[Row]) -> tuple[list[int], list[int]]:
    ticks, orders = ticks_and_orders(np.array(sorted(rows), dtype=PACKET))
    return ticks.tolist(), orders.tolist()


def paired(ticks: list[int], orders: list[int]) -> tuple[list[int], int]:
    sample = tick_to_trade(np.array(ticks, np.int64), np.array(orders, np.int64))
    return sample.latencies_ns.tolist(), sample.missed


def test_replies_on_the_order_connection_are_not_ticks() -> None:
    ticks, orders = split(run_of(3))
    assert [0, 1_000_000, 2_000_000] == ticks
    assert [50_000, 1_050_000, 2_050_000] == orders


def test_control_frames_count_neither_as_ticks_nor_as_orders() -> None:
    control = [(500_000, FEED, False, 6), (500_001, FEED, True, 10), (500_002, ROUTE, True, 10)]
    assert split(run_of(20)) == split(run_of(20) + control)


def test_a_client_that_now_and_then_asks_on_another_connection_has_not_ordered_there() -> None:
    request = [(700_000, OTHER, True, 200), (710_000, OTHER, False, 150)]
    assert split(run_of(20)) == split(run_of(20) + request)


def test_orders_may_take_turns_on_several_connections() -> None:
    rows = run_of(20)
    pooled = [(time_ns, OTHER if port == ROUTE and time_ns % 2_000_000 < 1_000_000 else port, sent, size)
              for time_ns, port, sent, size in rows]  # fmt: skip
    assert split(rows) == split(pooled)


def test_no_packets_are_no_ticks_and_no_orders() -> None:
    assert ([], []) == split([])


def test_each_tick_is_paired_with_the_first_order_after_it() -> None:
    assert ([30, 25], 0) == paired([100, 200, 300], [130, 140, 225])


def test_a_tick_without_an_order_before_the_next_is_missed() -> None:
    assert ([30, 40], 1) == paired([100, 200, 300, 400], [130, 340])


def test_the_last_tick_is_left_out_because_its_order_may_lie_beyond_the_capture() -> None:
    assert ([30], 0) == paired([100, 200], [130, 230])
    assert ([], 0) == paired([100], [130])


def test_orders_before_the_first_tick_answer_nothing() -> None:
    assert ([], 1) == paired([100, 200], [90, 99])


@given(st.lists(st.tuples(st.integers(2, 10_000), st.booleans()), min_size=1, max_size=200), st.randoms())
def test_answered_ticks_have_their_own_latency_and_the_rest_are_missed(
    gaps: list[tuple[int, bool]], random: object
) -> None:
    """A run is made from what must come out: each gap holds a tick, and an order somewhere in it or not."""
    ticks, orders, latencies, now = [0], [], [], 0
    for gap, answered in gaps:
        if answered:
            latencies.append(random.randrange(1, gap))  # type: ignore[attr-defined] # hypothesis gives a Random
            orders.append(now + latencies[-1])
        now += gap
        ticks.append(now)
    assert (latencies, sum(not answered for _, answered in gaps)) == paired(ticks, orders)


def test_percentiles_are_by_nearest_rank() -> None:
    sample = Sample(np.arange(100_000, 0, -1_000, dtype=np.int64), missed=2)
    assert Figures(n=100, missed=2, p50_us=50.0, p95_us=95.0, p99_us=99.0) == figures(sample)


def test_an_empty_sample_has_no_figures() -> None:
    with pytest.raises(ValueError, match="at least one answered tick"):
        figures(Sample())


def test_rounds_are_pooled() -> None:
    pooled = Sample(np.array([1, 2], np.int64), 1) + Sample(np.array([3], np.int64), 2)
    assert [1, 2, 3] == pooled.latencies_ns.tolist()
    assert 3 == pooled.missed


RESULTS = {
    "c_floor": Figures(1000, 0, 40.04, 80.0, 90.0),
    "c_floor_spin": Figures(1000, 0, 10.01, 20.0, 30.0),
    "picows": Figures(999, 1, 60.06, 90.0, 120.0),
}


def test_json_has_one_object_per_client_with_ratios_to_both_floors() -> None:
    printed = json.loads(json.dumps(as_json(RESULTS)))
    assert ["c_floor", "c_floor_spin", "picows"] == list(printed)
    expected = {
        "n": 999,
        "missed": 1,
        "p50_us": 60.1,
        "p95_us": 90.0,
        "p99_us": 120.0,
        "ratio_c_floor": 1.5,
        "ratio_c_floor_spin": 6.0,
    }
    assert expected == printed["picows"]


def test_a_floor_that_was_not_measured_gives_null_and_a_dash() -> None:
    alone = {"picows": RESULTS["picows"]}
    assert as_json(alone)["picows"]["ratio_c_floor"] is None
    text = io.StringIO()
    Console(file=text, width=120).print(as_table(alone))
    assert "–" in text.getvalue()


def test_the_table_shows_every_client_on_one_line_of_a_narrow_terminal() -> None:
    long_name = {"wirestamp_uvloop_tls": Figures(12_345, 123, 1234.5, 1234.5, 1234.5)} | RESULTS
    text = io.StringIO()
    Console(file=text, width=80).print(as_table(long_name))
    rows = [line.split() for line in text.getvalue().splitlines() if "wirestamp_uvloop_tls" in line]
    assert [["wirestamp_uvloop_tls", "12,345", "123", *["1,234"] * 3, "30.83", "123.33"]] == rows
