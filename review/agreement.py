"""The trader's story against the wire's: a crosscheck of two journals, as the review reports it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from crosscheck.causality import by_trader
from crosscheck.check import CrossCheck, crosscheck
from crosscheck.clock import ClockEstimate
from crosscheck.model import Column, DirectionFigures, Matches, TraderSide, Unmatched
from crosscheck.segments import Step
from journal.layout import ABSENT, MessageKind
from journal.reader import Rows
from journal.wire import PacketFlag
from review.model import CaptureReport, ClockReport, Refuted, Traffic, WireReport
from review.monitor import MonitorRun, wire_side
from review.records import RunRecords
from review.stamps import RowLogs, WireColumns
from review.units import duration_text

_NAMED = 10
_REASONS = {
    Unmatched.NO_CONNECTION: "the capture saw no packet of the connection",
    Unmatched.CONNECTION_AMBIGUOUS: "several captured connections could be its own",
    Unmatched.BEFORE_CAPTURE: "before the capture began",
    Unmatched.AFTER_CAPTURE: "after the capture ended, or not captured yet",
    Unmatched.ISN_AMBIGUOUS: "ISN ambiguous: the connection began before the capture, and where is not certain",
    Unmatched.MIRROR_LOST: "lost by the mirror",
    Unmatched.NETWORK_LOST: "lost by the network; a retransmission was seen",
    Unmatched.RESENT: "sent again before it was acknowledged; which copy arrived is not known",
    Unmatched.UNKNOWN_LOSS: "lost, by whom is not known",
    Unmatched.TOO_LATE: "captured long after its stamp: sent again, held back by the mirror, or the stamp is false",
    Unmatched.NO_OFFSET: "the stamp has no stream offset",
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a capture adds to a review.

    Attributes:
        check: the crosscheck.
        columns: when the packets of the messages were captured.
    """

    check: CrossCheck
    columns: WireColumns


def check_against(records: RunRecords, logs: RowLogs, monitors: Sequence[MonitorRun]) -> Agreement:
    """Crosscheck a run with its captures.

    Args:
        records: the records of the trader's journal.
        logs: its rows.
        monitors: at least one capture.

    Raises:
        DifferentClocks: they were not all made by one clock.
    """
    connections = [each for each in records.connections.values() if each.local and each.remote]  # old runs tell no ends
    trader = TraderSide(logs.received, logs.sent, logs.transmitted, connections)
    wire = wire_side(monitors, records.boot_id)
    check = crosscheck(trader, wire)
    ours = [by_trader(check.clock, _by_monitor(matches, wire.packets)) for matches in (check.inbound, check.outbound)]
    return Agreement(check, WireColumns(check.inbound.time, ours[0], check.outbound.time, ours[1]))


def _by_monitor(matches: Matches, packets: Rows) -> Column:
    """Return when packets were captured, ABSENT where none was and where a NIC stamped it: its clock is a third one."""
    time, found = matches.time.copy(), matches.packet >= 0
    by_nic = (packets["flags"][matches.packet[found]] & PacketFlag.HARDWARE) != 0
    time[np.flatnonzero(found)[by_nic]] = ABSENT
    return time


def wire_report(
    agreement: Agreement, received: Rows, monitors: Sequence[MonitorRun], order_violations: int
) -> WireReport:
    """Return what the review says of the wire.

    Args:
        agreement: the crosscheck.
        received: rows of the received log.
        monitors: the captures.
        order_violations: messages whose own stamps are out of order.
    """
    check = agreement.check
    inbound, outbound = check.inbound, check.outbound
    matched, messages = inbound.matched + outbound.matched, len(inbound.time) + len(outbound.time)
    network = check.network
    return WireReport(
        matched_rx=inbound.matched,
        unmatched_rx=len(inbound.time) - inbound.matched,
        matched_tx=outbound.matched,
        unmatched_tx=len(outbound.time) - outbound.matched,
        match_ratio=matched / messages if messages else None,
        causality_violations=check.causality.refuted,
        order_violations=order_violations,
        retransmitted=network.inbound.retransmitted + network.outbound.retransmitted,
        network_lost=network.inbound.network_lost + network.outbound.network_lost,
        mirror_lost=network.inbound.mirror_lost + network.outbound.mirror_lost,
        unrefuted=check.causality.unrefuted,
        not_refutable=check.causality.not_refutable,
        unmatched={"rx": _unmatched(inbound), "tx": _unmatched(outbound)},
        refuted=[Refuted(each.trace, each.order, each.hop, each.by_ns) for each in check.causality.violations[:_NAMED]],
        inbound=_traffic(network.inbound),
        outbound=_traffic(network.outbound),
        jitter_ns=_jitter(received, agreement.columns.wire_in),
        captures=[_capture(monitor) for monitor in monitors],
    )


def clock_report(clock: ClockEstimate) -> ClockReport:
    """Return what the review says of θ."""
    summary = clock.summary()
    return ClockReport(
        lower_ns=summary.lower_ns,
        upper_ns=summary.upper_ns,
        drift_ppm=summary.drift_ppm,
        drift_error_ppm=summary.drift_error_ppm,
        widest_ns=summary.widest_ns,
        basis="one clock" if clock.same_clock else "probes" if clock.segments else "none",
        probes=summary.probes,
        steps=[_step(step) for step in clock.steps[:_NAMED]],
        alarms=[
            f"the stamps of probe {alarm.number} contradict one another by {duration_text(alarm.by_ns).strip()}"
            for alarm in clock.alarms[:_NAMED]
        ],
    )


def _unmatched(matches: Matches) -> dict[str, int]:
    return {_REASONS[reason]: count for reason, count in matches.unmatched().items()}


def _traffic(figures: DirectionFigures) -> Traffic:
    return Traffic(**{name: getattr(figures, name) for name in Traffic.__struct_fields__})


def _jitter(received: Rows, wire_in: Column) -> int | None:
    """Return the mean of |D(i−1, i)| over the market data, with D as in RFC 3550, section 6.4.1.

    Both clocks cancel out but for their drift.
    """
    known = (received["kind"] == MessageKind.MARKET) & (received["exchange"] != ABSENT) & (wire_in != ABSENT)
    transit = wire_in[known] - received["exchange"][known]
    return int(np.abs(np.diff(transit)).mean()) if len(transit) > 1 else None


def _capture(monitor: MonitorRun) -> CaptureReport:
    counts = monitor.counts
    return CaptureReport(
        folder=str(monitor.folder),
        source=monitor.source,
        ended=monitor.ended,
        packets=counts.packets,
        counters=counts.source,
        passed_over=counts.passed_over,
        complete=monitor.complete,
    )


def _step(step: Step) -> str:
    when = datetime.fromtimestamp(step.earliest_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    bounds = [
        f"{sign} {duration_text(bound).strip()}"
        for sign, bound in (("≥", step.least_ns), ("≤", step.most_ns))
        if bound is not None
    ]
    return f"{when}: a clock was set or changed its rate; θ jumped by {' and '.join(bounds) or 'an unknown time'}"
