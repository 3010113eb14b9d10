"""Each way in which stamps can be out of order is seen once, and a clock that was set accuses nobody."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.layout import ABSENT, StampFlag
from journal.reader import Rows
from review.order_checks import NAMED, ClockStep, check_received, check_sent, clock_steps
from review.stamps import Stamps

SECOND_NS = 1_000_000_000
IN_ORDER = ("decoded", "decided", "encoded", "written", "kernel_sched", "kernel_tx", "kernel_ack")
MakeRows = Callable[..., Rows]


def order(**changes: int) -> Stamps:
    """Return one order whose hops are 10 ns apart but for these changes."""
    hops = {name: 100 + 10 * place for place, name in enumerate(IN_ORDER)} | {"sent": 1000} | changes
    columns = {name: np.array([at_ns], np.int64) for name, at_ns in hops.items()}
    return Stamps(np.array([7], np.uint64), np.array([3], np.uint64), columns)


def test_stamps_in_order_are_no_violation(rows: MakeRows) -> None:
    """Equal stamps are in order as well: the clock is not that fine."""
    received = rows("received", trace=[1, 2], kernel_rx=[10, 20], read=[20, 20], decoded=[30, 20])
    assert 0 == check_received(received, []).violations
    assert 0 == check_sent(order(), []).violations
    assert 0 == check_sent(order(sent=ABSENT, kernel_sched=ABSENT), []).violations


@pytest.mark.parametrize("place", range(1, len(IN_ORDER)))
def test_each_pair_of_neighbours_is_tested(place: int) -> None:
    """A hop that lies before the one in front of it is named, with the distance."""
    earlier, later = IN_ORDER[place - 1 : place + 1]
    wrong = order(**{later: 100 + 10 * (place - 1) - 5})
    found = check_sent(wrong, [])
    assert 1 == found.violations
    named = found.named[0]
    assert (7, 3, earlier, later, 5) == (named.trace, named.order, named.earlier, named.later, named.by_ns)


@pytest.mark.parametrize("place", range(len(IN_ORDER) - 2))
def test_an_absent_stamp_hides_nothing(place: int) -> None:
    """What stands before an absent stamp is held against what comes after it."""
    first, missing, last = IN_ORDER[place : place + 3]
    found = check_sent(order(**{missing: ABSENT, last: 100 + 10 * place - 1}), [])
    assert [(first, last, 1)] == [(each.earlier, each.later, each.by_ns) for each in found.named]


@pytest.mark.parametrize("hop", ["decided", "encoded", "written"])
@pytest.mark.parametrize("shift_ns", [-1_000_000, 1_000_000])
def test_one_wrong_stamp_is_one_violation(hop: str, shift_ns: int) -> None:
    """Also where it is wrong against several others: `written` lies before `kernel_sched` and before `sent`."""
    place = IN_ORDER.index(hop)
    assert 1 == check_sent(order(**{hop: 100 + 10 * place + shift_ns}), []).violations


def test_sent_is_after_written_and_nothing_else() -> None:
    """On loopback the packet is gone, and acknowledged, before `send()` returns."""
    assert 0 == check_sent(order(sent=131), []).violations
    found = check_sent(order(sent=129), [])
    assert [("written", "sent", 1)] == [(each.earlier, each.later, each.by_ns) for each in found.named]


@pytest.mark.parametrize(
    ("stamps", "named"),
    [
        ((21, 20, 30), ("kernel_rx", "read", 1)),
        ((10, 31, 30), ("read", "decoded", 1)),
        ((31, ABSENT, 30), ("kernel_rx", "decoded", 1)),
        ((10, 5, 6), ("kernel_rx", "read", 5)),
    ],
)
def test_a_received_message_is_tested(
    rows: MakeRows, stamps: tuple[int, int, int], named: tuple[str, str, int]
) -> None:
    """The way in, also of replies; a stamp that belongs to a later message of the read lies before the read too."""
    kernel_rx, read, decoded = stamps
    received = rows(
        "received", trace=[4], flags=[StampFlag.RX_SHARED], kernel_rx=[kernel_rx], read=[read], decoded=[decoded]
    )
    found = check_received(received, [])
    assert [named] == [(each.earlier, each.later, each.by_ns) for each in found.named]


def test_all_are_counted_and_the_first_are_named(rows: MakeRows) -> None:
    """In the order in which they happened."""
    trace = np.arange(1, 101)
    found = check_received(rows("received", trace=trace, read=trace * 10, decoded=trace * 10 - 1), [])
    assert 100 == found.violations
    assert list(range(1, NAMED + 1)) == [each.trace for each in found.named]


def pairs(*steps_ns: int) -> list[tuple[int, int]]:
    """Return clock pairs a second apart; before each the clock is set by so much."""
    at, set_by, found = 0, 0, [(10**18, 0)]
    for step_ns in steps_ns:
        at, set_by = at + SECOND_NS, set_by + step_ns
        found.append((10**18 + at + set_by, at))
    return found


def test_a_steady_clock_has_no_step() -> None:
    """Pairs that are read under load differ a little."""
    assert [] == clock_steps(pairs(0, 3_000, -5_000, 0))
    assert [] == clock_steps([])


@pytest.mark.parametrize("step_ns", [200_000, -200_000, 3_600 * SECOND_NS, -3_600 * SECOND_NS])
def test_a_step_is_seen(step_ns: int) -> None:
    """Whatever the clock may have shown between the two pairs lies in the step's time."""
    (step,) = clock_steps(pairs(0, step_ns, 0))
    before = 10**18 + SECOND_NS
    assert min(before, before + step_ns) == step.first_ns
    assert max(before, before + step_ns) + SECOND_NS == step.last_ns


@given(
    set_at=st.integers(0, SECOND_NS),
    step_ns=st.integers(-5 * SECOND_NS, -100_001),
    taken=st.lists(st.integers(-SECOND_NS, 2 * SECOND_NS), min_size=2, max_size=2).map(sorted),
)
def test_a_clock_set_back_never_makes_a_violation(rows: MakeRows, set_at: int, step_ns: int, taken: list[int]) -> None:
    """Stamps taken in order around a step, at any times, of any size: not tested, or in order."""
    read, decoded = (10**18 + SECOND_NS + at + (step_ns if at >= set_at else 0) for at in taken)
    received = rows("received", trace=[1], read=[read], decoded=[decoded])
    assert 0 == check_received(received, clock_steps(pairs(0, step_ns, 0))).violations


def test_only_what_lies_around_the_step_is_suspended(rows: MakeRows) -> None:
    """One message at the step, one long after: both look out of order, the second is."""
    received = rows("received", trace=[1, 2], read=[500, 5_000], decoded=[400, 4_900])
    found = check_received(received, [ClockStep(300, 450)])
    assert (1, 1, [2]) == (found.violations, found.suspended, [each.trace for each in found.named])
