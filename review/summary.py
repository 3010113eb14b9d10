"""From a run's folder to its review: the only place here that knows which figure comes from where."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from journal.layout import ABSENT, MessageKind, StampFlag
from journal.reader import Rows
from review.agreement import check_against, clock_report, wire_report
from review.hops import TICK_TO_TRADE, distribution, durations, hop_distributions
from review.model import Review, RunHeader, StampReport, TickToTrade
from review.monitor import read_monitor
from review.order_checks import NAMED, check_received, check_sent, clock_steps
from review.records import RunRecords, read_run_records
from review.stamps import RowLogs, Stamps, caused_by_market, is_order, read_row_logs, received_stamps, sent_stamps

_REASONS_KEPT = 5


def summarise(run: Path, monitors: Sequence[Path] = ()) -> Review:
    """Read a run, finished, killed or still running, and sum it up.

    Args:
        run: the run's folder (`journal.runs.find_run`).
        monitors: the captures of its packets, likewise.

    Raises:
        NoJournal: a folder holds no journal of its kind.
        Corrupt: a committed entry is not what was written.
        Unreadable: a record is intact and makes no sense.
        DifferentClocks: the captures were not all made on one machine.
    """
    logs, records = read_row_logs(run), read_run_records(run)  # a row's connection is recorded before the row
    captures = [read_monitor(monitor) for monitor in monitors]
    agreement = check_against(records, logs, captures) if captures else None
    wire = agreement.columns if agreement is not None else None
    is_market = logs.received["kind"] == MessageKind.MARKET
    market = logs.received[is_market]
    way_out = sent_stamps(logs, wire)
    placed = is_order(logs.sent)
    orders = way_out.select(placed)
    ticks = way_out.select(placed & caused_by_market(logs))
    stamps = _stamp_report(records, logs, market, way_out, orders)
    return Review(
        messages=len(market),
        trades=records.trades,
        orders=len(records.placed),
        fills=records.fills,
        rejects=records.rejects,
        gaps=records.gaps,
        dropped=records.dropped,
        hops=hop_distributions(received_stamps(logs.received, wire).select(is_market), orders),
        tick_to_trade=TickToTrade(
            **{place: distribution(durations(ticks, *hop)) for place, hop in TICK_TO_TRADE.items()}
        ),
        wire=wire_report(agreement, logs.received, captures, stamps.order_violations) if agreement else None,
        clock=clock_report(agreement.check.clock) if agreement else None,
        cancels=records.cancels,
        refused=records.refused,
        outages=records.outages,
        outage_seconds=records.outage_ns / 1e9,
        unanswered=len(records.placed - records.answered),
        reasons={name: dict(count.most_common(_REASONS_KEPT)) for name, count in records.reasons.items()},
        stamps=stamps,
        run=_header(run, records),
    )


def _stamp_report(records: RunRecords, logs: RowLogs, market: Rows, way_out: Stamps, orders: Stamps) -> StampReport:
    steps = clock_steps(records.clock)
    checks = (check_received(logs.received, steps), check_sent(way_out, steps))
    stamped = market["kernel_rx"] != ABSENT
    shared = stamped & ((market["flags"] & StampFlag.RX_SHARED) != 0)
    return StampReport(
        missing=logs.missing,
        kernel_rx_own=int(np.count_nonzero(stamped & ~shared)),
        kernel_rx_shared=int(np.count_nonzero(shared)),
        kernel_rx_absent=int(np.count_nonzero(~stamped)),
        orders_sent=len(orders.order),
        kernel_tx=int(np.count_nonzero(orders.hops["kernel_tx"] != ABSENT)),
        order_violations=sum(check.violations for check in checks),
        violations=[violation for check in checks for violation in check.named][:NAMED],
        clock_steps=len(steps),
        suspended=sum(check.suspended for check in checks),
    )


def _header(run: Path, records: RunRecords) -> RunHeader:
    first_ns, last_ns = records.first_ns, records.last_ns
    started = (
        None if first_ns is None else datetime.fromtimestamp(first_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    )
    return RunHeader(
        folder=str(run),
        name=records.name,
        started=started,
        seconds=0.0 if first_ns is None or last_ns is None else (last_ns - first_ns) / 1e9,
        ended=records.ended,
        loop=records.loop,
        venues=list(dict.fromkeys(feed.venue for feed in records.feeds)),
        symbols=list(dict.fromkeys(symbol for feed in records.feeds for symbol in feed.symbols)),
        strategies=records.strategies,
        complete=records.complete,
    )
