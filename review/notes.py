"""What a reader of the figures must know beside them, in words: what is missing, what is doubtful, and why.

A note is (weight, sentence): `bad` for what is wrong with the run or its stamps, `plain` for the rest.
"""

from collections.abc import Iterator
from typing import Literal

from review.model import Review
from review.units import count_text, duration_text

Note = tuple[Literal["bad", "plain"], str]


def notes(review: Review) -> list[Note]:
    """Return the notes to a review, the bad ones first."""
    found = [*_run_notes(review), *_loss_notes(review), *_order_notes(review), *_stamp_notes(review)]
    found += [*_clock_notes(review)]
    if review.wire is None:
        found.append(("plain", "wire: no capture was given, so nothing outside this machine confirms these stamps."))
    return sorted(found, key=lambda note: note[0] != "bad")


def _run_notes(review: Review) -> Iterator[Note]:
    if review.run.ended is None:
        yield "bad", "The run has no end: it was killed, or it still runs. Counted to its last committed record."
    if not review.run.complete:
        yield "bad", "Retention has deleted the beginning of this run; what is left was counted, trades could not be."
    for reason in review.reasons["stopped"]:
        yield "bad", f"Strategy {reason}; it was stopped."


def _loss_notes(review: Review) -> Iterator[Note]:
    lost = (("gaps", review.gaps, "gap"), ("dropped", review.dropped, "message dropped", ))
    refused = (("rejects", review.rejects, "rejected by the venue"), ("refused", review.refused, "refused by risk"))
    for name, total, words in lost + refused:
        if not total:
            continue
        listed = "; ".join(f"{reason or 'no reason given'} ({count_text(n)} ×)" for reason, n in review.reasons[name].items())
        yield "bad", f"{words}: {listed}"


def _order_notes(review: Review) -> Iterator[Note]:
    unsent = review.orders - review.stamps.orders_sent
    if unsent > 0:
        yield "bad", f"{count_text(unsent)} of the orders were journalled and have no send: the connection or the trader ended."
    if review.unanswered:
        yield "bad", f"{count_text(review.unanswered)} orders were sent and no report answers them: their fate is unknown."


def _stamp_notes(review: Review) -> Iterator[Note]:
    stamps = review.stamps
    if stamps.order_violations:
        first = stamps.violations[0]
        where = f"trace {first.trace}" + (f", order {first.order}" if first.order else "")
        how = f"{first.later} lies {duration_text(first.by_ns)} before {first.earlier}"
        yield "bad", f"{count_text(stamps.order_violations)} messages have stamps out of order; the first, {where}: {how}."
    yield "plain", _kernel_rx_note(review)
    missing = stamps.orders_sent - stamps.kernel_tx
    if missing:
        yield "bad", f"{count_text(missing)} of {count_text(stamps.orders_sent)} orders have no kernel_tx stamp."


def _kernel_rx_note(review: Review) -> str:
    stamps = review.stamps
    text = f"kernel_rx: {count_text(stamps.kernel_rx_own)} of {count_text(review.messages)} messages own their stamp"
    if stamps.kernel_rx_shared:
        text += (
            f"; {count_text(stamps.kernel_rx_shared)} were read together with a later one, whose stamp it is, "
            "and wait behind one another in read → decoded"
        )
    if stamps.kernel_rx_absent:
        text += f"; {count_text(stamps.kernel_rx_absent)} came without one"
    return text + "."


def _clock_notes(review: Review) -> Iterator[Note]:
    stamps, exchange = review.stamps, review.hops["exchange_to_kernel_rx"]
    if stamps.clock_steps:
        text = f"This machine's clock was set {stamps.clock_steps} ×; {count_text(stamps.suspended)} messages around it"
        yield "bad", f"{text} were not tested for order, and their durations are doubtful."
    if exchange is not None:
        sign = " Negative: the venue's clock is ahead of this one." if exchange.p50_ns < 0 else ""
        yield "plain", f"exchange → kernel_rx subtracts the clocks of two machines: latency and clock error in one.{sign}"
