"""Durations between hops, and their exact percentiles. Pure arrays.

A message counts for a hop when it has both stamps; an absent stamp never enters. `exchange` is the venue's clock: the
duration from it holds the two clocks' difference as well, and is labelled so wherever it is shown. `wire_in` and
`wire_out` are the monitor's: between two of them the monitor's clock alone counts, and against a stamp of the trader's
they are taken as they are on the trader's clock, which is known to the width of θ's interval.
"""

import numpy as np

from journal.layout import ABSENT
from review.model import Distribution
from review.stamps import Column, Stamps

# In the order in which they happen. Message hops are of market data, order hops of the orders.
MESSAGE_HOPS = (
    ("exchange", "wire_in"),
    ("exchange", "kernel_rx"),
    ("wire_in", "kernel_rx"),
    ("kernel_rx", "read"),
    ("read", "decoded"),
)
ORDER_HOPS = (
    ("decoded", "decided"),
    ("decided", "encoded"),
    ("encoded", "written"),
    ("written", "sent"),
    ("written", "kernel_sched"),
    ("kernel_sched", "kernel_tx"),
    ("written", "wire_out"),
    ("kernel_tx", "kernel_ack"),
    ("wire_out", "reply_wire_in"),
    ("written", "reply_kernel_rx"),
    ("reply_kernel_rx", "reply_read"),
    ("written", "reply_read"),
)
MONITOR_CLOCK = frozenset({"wire_in", "wire_out", "reply_wire_in"})
TICK_TO_TRADE = {"process": ("read", "written"), "kernel": ("kernel_rx", "kernel_tx"), "wire": ("wire_in", "wire_out")}

PERMILLE = (500, 900, 990, 999, 1000)  # of the durations; integers, because 0.999 × 1000 is not 999 in floating point


def hop_name(start: str, end: str) -> str:
    """Return a hop's published name: `kernel_rx_to_read`."""
    return f"{start}_to_{end}"


def durations(stamps: Stamps, start: str, end: str) -> Column:
    """Return `end` − `start` of the messages that have both, ns, shape (those messages,)."""
    first, last = _comparable(stamps, start, end)
    both = (first != ABSENT) & (last != ABSENT)
    taken: Column = last[both] - first[both]
    return taken


def duration(stamps: Stamps, row: int, start: str, end: str) -> int | None:
    """Return `end` − `start` of one message, ns; None where a stamp is absent."""
    first, last = (int(column[row]) for column in _comparable(stamps, start, end))
    return None if ABSENT in (first, last) else last - first


def tick_to_trade(stamps: Stamps, row: int) -> dict[str, int]:
    """Return how long it took from the message that caused an order to the order, ns, by where it was measured.

    Args:
        stamps: the orders (`review.stamps.sent_stamps`).
        row: which of them.
    """
    taken = {place: duration(stamps, row, *hop) for place, hop in TICK_TO_TRADE.items()}
    return {place: taken_ns for place, taken_ns in taken.items() if taken_ns is not None}


def _comparable(stamps: Stamps, start: str, end: str) -> tuple[Column, Column]:
    """Return both hops on one clock: the monitor's where both are its own, else the trader's."""
    here = "" if {start, end} <= MONITOR_CLOCK else "_here"
    first, last = (stamps.hops[hop + here if hop in MONITOR_CLOCK else hop] for hop in (start, end))
    return first, last


def distribution(taken: Column) -> Distribution | None:
    """Return the exact percentiles of some durations, None when there are none.

    A percentile is the smallest measured duration that at least that part of all durations does not exceed
    (Hyndman and Fan 1996, definition 1): nothing is interpolated, so the tail is never prettier than what happened.

    Args:
        taken: durations, ns.
    """
    if not len(taken):
        return None
    ranks = [-(-part * len(taken) // 1000) - 1 for part in PERMILLE]
    return Distribution(len(taken), *np.partition(taken, ranks)[ranks].tolist())


def hop_distributions(messages: Stamps, orders: Stamps) -> dict[str, Distribution | None]:
    """Return every hop by its name.

    Args:
        messages: the market data (`review.stamps.received_stamps`).
        orders: the orders (`review.stamps.sent_stamps`).
    """
    spans = [(messages, *hop) for hop in MESSAGE_HOPS] + [(orders, *hop) for hop in ORDER_HOPS]
    return {hop_name(start, end): distribution(durations(stamps, start, end)) for stamps, start, end in spans}
