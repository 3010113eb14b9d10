"""What a reader of the figures must know beside them, in words.

Warnings say what is wrong with the run or with its stamps; remarks say what a figure holds and what is missing.
"""

from collections.abc import Iterator

from review.model import Review
from review.units import count_text, duration_text

_LOSSES = {
    "gaps": "updates of a feed were lost",
    "dropped": "messages could not be used",
    "rejects": "orders were rejected by the venue",
    "refused": "intents were refused by the trader itself",
    "stopped": "a strategy was stopped",
    "lost": "connections were lost",
}


def warnings(review: Review) -> Iterator[str]:
    """Yield what is wrong."""
    yield from _of_the_run(review)
    yield from _of_the_stamps(review)


def _of_the_run(review: Review) -> Iterator[str]:
    if review.run.ended is None:
        yield "the run has no end: it was killed, or it still runs; counted to its last committed record"
    if not review.run.complete:
        yield "retention has deleted the beginning of this run: what is left was counted, its trades could not be"
    for name, words in _LOSSES.items():
        if reasons := review.reasons[name]:
            yield f"{words}: " + "; ".join(f"{reason or 'no reason'} ({n:,} ×)" for reason, n in reasons.items())
    if review.outages:
        yield f"feeds and routes were down for {review.outage_seconds:,.1f} s in all; what came meanwhile was not seen"
    if review.unanswered:
        yield f"orders without an answer: {count_text(review.unanswered)}; what became of them is unknown"


def _of_the_stamps(review: Review) -> Iterator[str]:
    stamps = review.stamps
    if stamps.missing:
        yield f"files are missing: the logs {', '.join(stamps.missing)}; their stamps could not be counted"
    elif (unsent := review.orders - stamps.orders_sent) > 0:
        yield f"orders journalled and not seen to be sent: {count_text(unsent)}; the connection or the trader ended"
    if missing := stamps.orders_sent - stamps.kernel_tx:
        yield f"orders sent without a kernel_tx stamp: {count_text(missing)} of {count_text(stamps.orders_sent)}"
    if stamps.violations:
        first = stamps.violations[0]
        where = f"trace {first.trace}" + (f", order {first.order}" if first.order else "")
        how = f"{first.later} lies {duration_text(first.by_ns).strip()} before {first.earlier}"
        yield f"messages with stamps out of order: {count_text(stamps.order_violations)}, first {where}: {how}"
    if stamps.clock_steps:
        untested = f"the order of stamps was not tested in {count_text(stamps.suspended)} messages around it"
        yield f"this machine's clock was set during the run ({stamps.clock_steps} ×): {untested}"


def remarks(review: Review) -> Iterator[str]:
    """Yield what a figure holds, and what is missing."""
    stamps, hops = review.stamps, review.hops
    text = f"kernel_rx: {count_text(stamps.kernel_rx_own)} of {count_text(review.messages)} messages own their stamp"
    if stamps.kernel_rx_shared:
        text += (
            f"; {count_text(stamps.kernel_rx_shared)} were read together with a later one, whose stamp it is, and wait"
            " for one another in read → decoded"
        )
    if stamps.kernel_rx_absent:
        text += f"; {count_text(stamps.kernel_rx_absent)} have none"
    yield text
    if review.orders:
        yield "the way in is of all messages, the way out of those that became orders: the medians need not add up"
    exchange = hops["exchange_to_kernel_rx"]
    if exchange is not None:
        ahead = "; below zero: the venue's clock is ahead of this one" if exchange.p50_ns < 0 else ""
        yield f"exchange → kernel_rx subtracts two clocks, the venue's and ours: latency and clock error in one{ahead}"
    if hops["written_to_reply_read"] is not None and hops["written_to_reply_kernel_rx"] is None:
        yield "no first answer to an order owns its kernel stamp: the venue sends several messages at once"
    if review.wire is None:
        yield "wire: no capture was given, so nothing outside this machine confirms these stamps"
