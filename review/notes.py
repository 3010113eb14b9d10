"""What a reader of the figures must know beside them, in words.

Warnings say what is wrong with the run or with its stamps; remarks say what a figure holds and what is missing.
"""

from collections.abc import Iterator

from journal.wire import ASKED_TO_STOP, READ_TO_THE_END
from review.model import ClockReport, Review, WireReport
from review.units import count_text, duration_text

_TOLD = 3  # of each kind
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
    if review.wire is not None and review.clock is not None:
        yield from _of_the_capture(review.wire, review.clock)


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


def _of_the_capture(wire: WireReport, clock: ClockReport) -> Iterator[str]:
    for direction, words in (("rx", "received"), ("tx", "sent")):
        if reasons := wire.unmatched[direction]:
            told = "; ".join(f"{reason} ({count_text(n)})" for reason, n in reasons.items())
            yield f"messages {words} whose packet was not found: {told}"
    for each in wire.refuted[:_TOLD]:
        where = f"trace {each.trace}" + (f", order {each.order}" if each.order else "")
        yield f"{each.hop} of {where} cannot be true: its packet had passed {duration_text(each.by_ns).strip()} before"
    yield from clock.steps[:_TOLD]
    yield from clock.alarms[:_TOLD]
    for capture in wire.captures:
        if capture.ended is None:
            yield f"the capture {capture.folder} has no end: it was killed, or it still runs"
        elif capture.ended not in (ASKED_TO_STOP, READ_TO_THE_END):
            yield f"the capture {capture.folder} ended early: {capture.ended}"
        if not capture.complete:
            yield f"retention has deleted the beginning of {capture.folder}, and whose the connections were that it met"
        if not capture.packets:
            yield f"the capture {capture.folder} holds no packet of {capture.source}"
        if dropped := capture.counters.get("drops", 0):
            yield f"the kernel dropped {count_text(dropped)} packets before {capture.source} could be read"


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
    arrival = "wire_in" if hops["exchange_to_wire_in"] is not None else "kernel_rx"
    exchange = hops[f"exchange_to_{arrival}"]
    if exchange is not None:
        ahead = "; below zero: the venue's clock is ahead of this one" if exchange.p50_ns < 0 else ""
        yield f"exchange → {arrival} subtracts two clocks, the venue's and ours: latency and clock error in one{ahead}"
    if hops["written_to_reply_read"] is not None and hops["written_to_reply_kernel_rx"] is None:
        yield "no first answer to an order owns its kernel stamp: the venue sends several messages at once"
    yield from _of_the_wire(review)


def _of_the_wire(review: Review) -> Iterator[str]:
    wire, clock = review.wire, review.clock
    if wire is None or clock is None:
        yield "wire: no capture was given, so nothing outside this machine confirms these stamps"
        return
    yield "wire: a stamp is refuted or it is not, none is proved; inbound stamps cannot be refuted at all"
    if clock.basis == "none":
        yield (
            "without clock probes the wire's times stand for themselves: figures between two packets hold, "
            "those between a packet and a stamp do not exist"
        )
    elif clock.basis == "probes" and clock.lower_ns is not None and clock.upper_ns is not None:
        half = (clock.upper_ns - clock.lower_ns + 1) // 2
        yield f"figures between a packet and a stamp are known to ± {duration_text(half).strip()}"
    arrival = review.hops["wire_in_to_kernel_rx"]
    if arrival is not None and arrival.p50_ns < 0:
        yield "wire_in → kernel_rx is below zero where the mirror's copy came after the kernel had stamped the original"
    if wire.jitter_ns is not None:
        yield f"jitter of exchange → wire_in, from message to message: mean {duration_text(wire.jitter_ns).strip()}"
    for capture in wire.captures:
        if capture.passed_over:
            commonest = sorted(capture.passed_over.items(), key=lambda item: -item[1])[:_TOLD]
            told = "; ".join(f"{reason} ({count_text(n)})" for reason, n in commonest)
            yield f"packets that the capture passed over: {told}"
