"""Whether stamps of one clock are in the order in which they were taken. Pure arrays.

    kernel_rx ≤ read ≤ decoded                                                          each message received
    decoded (of the cause) ≤ decided ≤ encoded ≤ written ≤ kernel_sched ≤ kernel_tx ≤ kernel_ack      each one sent
    written ≤ sent                                                                                    each one sent

An absent stamp is passed over: what stands before it must not lie behind what comes after it. A message is one
violation, however many of its stamps are wrong. CLOCK_REALTIME may be set while the trader runs; then the messages
around that moment are not tested. Such steps show in pairs of it with CLOCK_MONOTONIC, which is never set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from journal.layout import ABSENT
from journal.reader import Rows
from review.model import Violation
from review.stamps import Column, Index, Mask, Stamps

RECEIVED_ORDER = ("kernel_rx", "read", "decoded")
SENT_ORDERS = (
    ("decoded", "decided", "encoded", "written", "kernel_sched", "kernel_tx", "kernel_ack"),
    ("written", "sent"),
)
STEP_NS = 100_000  # pairs read on a busy machine differ by some µs; a clock that is slewed moves both clocks alike
NAMED = 10  # how many violations are named; all are counted


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A time around which CLOCK_REALTIME was set: it may have shown anything from `first_ns` to `last_ns`."""

    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class OrderCheck:
    """What a check found.

    Attributes:
        violations: how many messages have stamps out of order.
        named: the first of them.
        suspended: how many were not tested, because of a clock step.
    """

    violations: int
    named: list[Violation]
    suspended: int


def clock_steps(pairs: Sequence[tuple[int, int]]) -> list[ClockStep]:
    """Return when CLOCK_REALTIME was set.

    Args:
        pairs: CLOCK_REALTIME and CLOCK_MONOTONIC read together, ns, in order.
    """
    steps = []
    for (realtime, monotonic), (next_realtime, next_monotonic) in pairwise(pairs):
        elapsed = next_monotonic - monotonic
        step = next_realtime - realtime - elapsed
        if abs(step) > STEP_NS:
            steps.append(ClockStep(realtime + min(step, 0), realtime + elapsed + max(step, 0)))
    return steps


def check_received(received: Rows, steps: Sequence[ClockStep]) -> OrderCheck:
    """Check every message received, replies included; a shared kernel stamp must lie before the read as well.

    Args:
        received: rows of the received log.
        steps: when the clock was set.
    """
    stamps = Stamps(received["trace"], received["order"], {name: received[name] for name in RECEIVED_ORDER})
    return _check(stamps, (RECEIVED_ORDER,), steps)


def check_sent(stamps: Stamps, steps: Sequence[ClockStep]) -> OrderCheck:
    """Check every message sent.

    Args:
        stamps: of all of them (`review.stamps.sent_stamps`).
        steps: when the clock was set.
    """
    return _check(stamps, SENT_ORDERS, steps)


def _check(stamps: Stamps, orders: Sequence[Sequence[str]], steps: Sequence[ClockStep]) -> OrderCheck:
    tested: Mask = np.ones(len(stamps.trace), dtype=np.bool_)
    for step in steps:
        for hop in {name for order in orders for name in order}:
            tested &= (stamps.hops[hop] < step.first_ns) | (stamps.hops[hop] > step.last_ns)
    wrong: Mask = np.zeros(len(stamps.trace), dtype=np.bool_)
    named: dict[int, Violation] = {}
    for order in orders:
        times = np.stack([stamps.hops[hop] for hop in order])
        late = _first_late(times)
        found = tested & (late > 0) & ~wrong
        wrong |= found
        named |= _named(stamps, order, times, late, np.flatnonzero(found)[:NAMED])
    first = [named[row] for row in sorted(named)[:NAMED]]
    return OrderCheck(int(wrong.sum()), first, int((~tested).sum()))


def _first_late(times: Column) -> Index:
    """Return for each message the first hop, as an index, that lies before an earlier one; 0 where none does.

    Args:
        times: shape (hops, messages). ABSENT is below every time, so a running maximum passes over it.
    """
    latest = np.maximum.accumulate(times, axis=0)
    late = (times[1:] < latest[:-1]) & (times[1:] != ABSENT)
    return np.where(late.any(axis=0), late.argmax(axis=0) + 1, 0)


def _named(
    stamps: Stamps, order: Sequence[str], times: Column, late: Index, rows: Index
) -> Iterator[tuple[int, Violation]]:
    for row in rows:
        later = int(late[row])
        earlier = int(times[:later, row].argmax())
        by_ns = int(times[earlier, row] - times[later, row])
        yield int(row), Violation(int(stamps.trace[row]), int(stamps.order[row]), order[earlier], order[later], by_ns)
