"""A capture's journal as the crosscheck wants it, and what the capture says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from crosscheck.model import Column, Rows, WireConnection, WireSide
from crosscheck.nic import by_monitor
from journal.errors import NoJournal
from journal.layout import RecordType
from journal.reader import Record, RecordReader, read_rows
from journal.wire import WIRE_LOGS
from review.records import Unreadable


class DifferentClocks(Exception):
    """Captures of several machines were given together, but the difference to the trader's clock is one of each."""


class Counts(Struct, frozen=True):
    """What a capture had counted when it last said so, as far as the review shows it; see `capture.agent.Progress`."""

    packets: int = 0
    source: dict[str, int] = {}
    probes: dict[str, int] | None = None
    passed_over: dict[str, int] = {}


class _Settings(Struct):
    source: str = ""
    vxlan_ports: list[int] = []
    geneve_ports: list[int] = []


class _Configuration(Struct):
    capture: _Settings
    boot_id: str | None = None


class _Connection(Struct):
    a: str
    b: str
    tunnel: int


class _Reason(Struct):
    reason: str


_decode_configuration = msgspec.json.Decoder(_Configuration).decode
_decode_connection = msgspec.json.Decoder(_Connection).decode
_decode_counts = msgspec.json.Decoder(Counts).decode
_decode_reason = msgspec.json.Decoder(_Reason).decode


@dataclass(slots=True)
class MonitorRun:
    """One capture.

    Attributes:
        folder: the run's folder.
        packets, losses, probes: its rows (`journal.wire`), packets on the monitor's clock as far as it is known.
        stamped_ns: when the packets were captured by the clock that stamped them, shape (packets,).
        slack_ns: how far the packets' true times may be from those in `packets`; None is nowhere.
        complete: whether the journal reaches back to the capture's beginning; retention may have deleted that.
        connections: whose packets they are, by number.
        counts: what it counted.
        boot_id: the machine's, None when not told.
        source: the interface or the files.
        vxlan_ports, geneve_ports: UDP ports of the tunnels that it looked into.
        ended: the reason in its last record, None when it was killed or still runs.
    """

    folder: Path
    packets: Rows
    losses: Rows
    probes: Rows
    stamped_ns: Column
    slack_ns: Column | None = None
    complete: bool = True
    connections: dict[int, WireConnection] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    boot_id: str | None = None
    source: str = ""
    vxlan_ports: list[int] = field(default_factory=list)
    geneve_ports: list[int] = field(default_factory=list)
    ended: str | None = None

    def take(self, record: Record) -> None:
        """Take one record into account."""
        if record.type is RecordType.CONFIG:
            configuration = _decode_configuration(record.payload)
            settings, self.boot_id = configuration.capture, configuration.boot_id
            self.source = settings.source
            self.vxlan_ports, self.geneve_ports = settings.vxlan_ports, settings.geneve_ports
        elif record.type is RecordType.CONNECTION:
            met = _decode_connection(record.payload)
            self.connections[record.conn] = WireConnection(record.conn, met.a, met.b, met.tunnel)
        elif record.type is RecordType.COUNTS:
            self.counts = _decode_counts(record.payload)
        elif record.type is RecordType.END:
            self.ended = _decode_reason(record.payload).reason


def read_monitor(run: Path) -> MonitorRun:
    """Read a capture's journal, also one that is being written.

    Args:
        run: the run's folder.

    Raises:
        NoJournal: the folder holds no capture's journal.
        Corrupt: a committed entry is not what was written.
        Unreadable: a record is intact and makes no sense.
    """
    losses = _rows(run, "losses")  # in the reverse of the writer's order: what a row refers to is there when it is
    stamped = _rows(run, "packets")
    packets, slack_ns = by_monitor(stamped, _rows(run, "nic"))
    reader = RecordReader(run)
    complete = reader.first_sequence == 0
    monitor = MonitorRun(run, packets, losses, _rows(run, "probes"), stamped["time"], slack_ns, complete)
    last_counts: Record | None = None  # a capture of weeks has millions of them
    for record in reader:
        if record.type is RecordType.COUNTS:
            last_counts = record
        else:
            _take(monitor, record)
    if last_counts is not None:
        _take(monitor, last_counts)
    return monitor


def _rows(run: Path, log: str) -> Rows:
    try:
        return np.concatenate([np.empty(0, WIRE_LOGS[log]), *read_rows(run, log)])
    except NoJournal as error:
        raise NoJournal(f"{run} is no capture's journal: it holds no {log!r} log") from error


def _take(monitor: MonitorRun, record: Record) -> None:
    try:
        monitor.take(record)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"the {record.type.name} record of the capture is not understood: {error}") from error


def wire_side(monitors: Sequence[MonitorRun], trader_boot_id: str | None) -> WireSide:
    """Join captures, such as the members of a fanout group, into one side of a crosscheck.

    Args:
        monitors: at least one.
        trader_boot_id: of the trader's machine, None when not known. Where it is the monitors' too and there are no
            probes, both sides have one clock; probes are believed rather than that.

    Returns:
        All rows, with connections numbered through.

    Raises:
        DifferentClocks: they were not all made on one machine, in one boot of it.
    """
    boots = {monitor.boot_id for monitor in monitors} - {None}
    if len(boots) > 1:
        where = ", ".join(str(monitor.folder) for monitor in monitors)
        raise DifferentClocks(f"these captures were made by different clocks, so review them one by one: {where}")
    packets: list[Rows] = []
    losses: list[Rows] = []
    connections: list[WireConnection] = []
    first = 0
    for monitor in monitors:
        for rows, into in ((monitor.packets, packets), (monitor.losses, losses)):
            if first:
                rows = rows.copy()  # noqa: PLW2901 - the journal's own rows are read-only
                rows["stream"] += 2 * first
            into.append(rows)
        connections += [replace(met, number=met.number + first) for met in monitor.connections.values()]
        first += max(monitor.connections, default=0)
    probes = np.concatenate([monitor.probes for monitor in monitors])
    same_boot = trader_boot_id is not None and all(monitor.boot_id == trader_boot_id for monitor in monitors)
    return WireSide(
        packets=packets[0] if len(packets) == 1 else np.concatenate(packets),
        losses=np.concatenate(losses),
        probes=probes,
        connections=connections,
        one_clock=same_boot and not len(probes),
        slack_ns=_slack(monitors),
    )


def _slack(monitors: Sequence[MonitorRun]) -> Column | None:
    if all(monitor.slack_ns is None for monitor in monitors):
        return None
    none = (np.zeros(len(monitor.packets), np.int64) for monitor in monitors)
    return np.concatenate(
        [zeros if monitor.slack_ns is None else monitor.slack_ns for monitor, zeros in zip(monitors, none, strict=True)]
    )
