"""The review as data: what `wirestamp review --json` prints, field by field. A missing part is None, never 0.

All times are ns. The keys are a published format: add to them, do not rename them.
"""

from msgspec import Struct


class Distribution(Struct, frozen=True):
    """How long something took: exact percentiles, each a duration that was measured (see `review.hops.distribution`).

    Attributes:
        n: how many durations there are, at least 1.
    """

    n: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int


class TickToTrade(Struct, frozen=True):
    """From the message that made a strategy decide to the order that it sent, measured in three places.

    Attributes:
        process: read → written.
        kernel: kernel_rx → kernel_tx, where the message owns its stamp.
        wire: wire_in → wire_out, of a capture.
    """

    process: Distribution | None
    kernel: Distribution | None
    wire: Distribution | None = None


class Violation(Struct, frozen=True):
    """One message whose stamps are not in the order in which they were taken.

    Attributes:
        trace: the message's trace id; of an outbound message, that of its cause.
        order: the ordinal of its order, 0 when it has none.
        earlier, later: the hops, in the order in which they should be.
        by_ns: how far `later` lies before `earlier`.
    """

    trace: int
    order: int
    earlier: str
    later: str
    by_ns: int


class StampReport(Struct, frozen=True):
    """How complete and how sound the trader's own stamps are.

    Attributes:
        missing: the row logs that are not there at all.
        kernel_rx_own: market messages that own their kernel stamp.
        kernel_rx_shared: those whose stamp belongs to a later message of the same read.
        kernel_rx_absent: those without one.
        orders_sent: orders whose bytes were handed to the kernel.
        kernel_tx: how many of them have a transmit stamp.
        order_violations: messages with stamps out of order.
        violations: the first of them.
        clock_steps: how often CLOCK_REALTIME was set during the run.
        suspended: messages that were not tested because they lie around a step.
    """

    missing: list[str]
    kernel_rx_own: int
    kernel_rx_shared: int
    kernel_rx_absent: int
    orders_sent: int
    kernel_tx: int
    order_violations: int
    violations: list[Violation]
    clock_steps: int
    suspended: int


class Refuted(Struct, frozen=True):
    """A stamp that cannot be true: the packet had passed the wire before the moment that it names.

    Attributes:
        trace, order: the message; of an outbound one, the trace of its cause.
        hop: which stamp.
        by_ns: how far it is from anything that θ's interval could explain.
    """

    trace: int
    order: int
    hop: str
    by_ns: int


class Traffic(Struct, frozen=True):
    """One direction of the trader's connections on the wire.

    Attributes:
        packets, payload_bytes, frame_bytes: packets, their TCP payload, the whole frames as captured.
        bits_per_s: mean of the frames.
        retransmitted, reordered, copies: packets sent again, late originals, copies that the mirror made.
        network_lost, mirror_lost, unknown_lost: holes in the stream, by cause; `…_bytes` what was missing in them.
        resets, zero_windows: packets with RST; packets that forbid to send.
    """

    packets: int
    payload_bytes: int
    frame_bytes: int
    bits_per_s: float
    retransmitted: int
    reordered: int
    copies: int
    network_lost: int
    network_lost_bytes: int
    mirror_lost: int
    mirror_lost_bytes: int
    unknown_lost: int
    unknown_lost_bytes: int
    resets: int
    zero_windows: int


class CaptureReport(Struct, frozen=True):
    """What a capture says of itself.

    Attributes:
        folder, source: its run; the interface or the files.
        ended: why it ended; None when it was killed or still runs.
        packets: taken from the source.
        counters: the source's own, such as what the kernel dropped.
        passed_over: packets that are no TCP segment, or could not be decoded, by reason.
        complete: whether its journal reaches back to its beginning; retention may have deleted that.
    """

    folder: str
    source: str
    ended: str | None
    packets: int
    counters: dict[str, int]
    passed_over: dict[str, int]
    complete: bool


class WireReport(Struct, frozen=True):
    """How far the trader's own story agrees with the wire.

    Attributes:
        matched_rx, unmatched_rx: messages received, with and without the packet that carried their last byte.
        matched_tx, unmatched_tx: the same of messages sent.
        match_ratio: matched of all; None without messages.
        causality_violations: stamps that cannot be true for any θ in its interval.
        order_violations: messages whose own stamps are out of order.
        retransmitted: packets sent again, both directions.
        network_lost, mirror_lost: holes in the streams, both directions, by cause.
        unrefuted: stamps that were tested and cannot be refuted; nothing more is claimed of them.
        not_refutable: stamps that nothing could refute.
        unmatched: why, by direction (`rx`, `tx`) and reason, with counts.
        refuted: the first causality violations.
        inbound, outbound: the traffic.
        jitter_ns: mean change of exchange → wire_in from one message to the next; None where there is no such time.
        captures: where all this comes from.
    """

    matched_rx: int
    unmatched_rx: int
    matched_tx: int
    unmatched_tx: int
    match_ratio: float | None
    causality_violations: int
    order_violations: int
    retransmitted: int
    network_lost: int
    mirror_lost: int
    unrefuted: int
    not_refutable: int
    unmatched: dict[str, dict[str, int]]
    refuted: list[Refuted]
    inbound: Traffic
    outbound: Traffic
    jitter_ns: int | None
    captures: list[CaptureReport]


class ClockReport(Struct, frozen=True):
    """What is known of θ, the monitor's clock − the trader's.

    Attributes:
        lower_ns, upper_ns: θ's interval at the last clock probe; None where nothing bounds it.
        drift_ppm: the middle of the drift's interval there, parts per million; None where nothing bounds it.
        drift_error_ppm: half the width of that interval.
        widest_ns: the widest interval of θ at any probe.
        basis: `probes`, `one clock` (both journals were written on one machine, and there were no probes) or `none`.
        probes: how many were answered in full.
        steps: times at which a clock was set, or changed its rate, ISO 8601, UTC, with the size of it in words.
        alarms: contradictions between probes, which no pair of clocks explains.
    """

    lower_ns: int | None
    upper_ns: int | None
    drift_ppm: float | None
    drift_error_ppm: float | None
    widest_ns: int | None
    basis: str
    probes: int
    steps: list[str]
    alarms: list[str]


class RunHeader(Struct, frozen=True):
    """Which run this is.

    Attributes:
        folder: the run's folder.
        name: the trader's name in its configuration.
        started: the first record that is left, ISO 8601, UTC.
        seconds: from there to the last committed record.
        ended: why the run ended; None when it was killed or still runs.
        loop: the trader's event loop.
        venues, symbols, strategies: what it was configured with.
        complete: whether the journal reaches back to the run's beginning; retention may have deleted that.
    """

    folder: str
    name: str | None
    started: str | None
    seconds: float
    ended: str | None
    loop: str | None
    venues: list[str]
    symbols: list[str]
    strategies: list[str]
    complete: bool


class Review(Struct, frozen=True):
    """One run, summed up.

    Attributes:
        messages: market-data messages.
        trades: how many of them were trades; None when the journal no longer says what the instruments are.
        orders: orders journalled; each is before its bytes leave.
        fills, rejects: execution reports of these kinds that changed an order.
        gaps: how often a feed showed that updates were lost.
        dropped: messages that could not be used.
        hops: by name, `<from>_to_<to>`; None for one that no message has.
        tick_to_trade: the sum of it.
        wire, clock: what a capture adds; None without one.
        cancels: cancel requests journalled.
        refused: intents that the trader itself refused.
        outages: how often the connection of a feed or a route was lost.
        outage_seconds: how long in all.
        unanswered: orders journalled that no report is about, whether or not their send is known to have happened.
        reasons: why things were dropped, rejected or refused, and what the gaps were: the commonest, with counts.
        stamps: how complete and sound the stamps are.
        run: which run this is.
    """

    messages: int
    trades: int | None
    orders: int
    fills: int
    rejects: int
    gaps: int
    dropped: int
    hops: dict[str, Distribution | None]
    tick_to_trade: TickToTrade
    wire: WireReport | None
    clock: ClockReport | None
    cancels: int
    refused: int
    outages: int
    outage_seconds: float
    unanswered: int
    reasons: dict[str, dict[str, int]]
    stamps: StampReport
    run: RunHeader
