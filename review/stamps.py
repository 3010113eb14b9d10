"""The ways of messages through the trader, as columns: rows of the three row logs joined, hop beside hop.

`Stamps` have a column per hop, `int64` ns, shape (messages,), ABSENT where a message has no such stamp. Kernel receive
stamps that belong to another message of the same read are left out here, so no figure can be made of them.

With a capture there are `wire_in`, `wire_out` and `reply_wire_in`, of the monitor's clock; the columns `…_here` hold
the same moments on the trader's clock, as well as θ is known. Without one they are absent.

Joins: a message that was sent carries the trace id of the one that caused it; a transmit stamp has the connection and
stream offset of the message's last byte; a reply names its order's ordinal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from journal.errors import NoJournal
from journal.layout import ABSENT, ROW_LOGS, MessageKind, StampFlag, TxEvent
from journal.reader import Rows, read_rows

Column = npt.NDArray[np.int64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_TX_HOPS = {"kernel_sched": TxEvent.SCHED, "kernel_tx": TxEvent.DRIVER, "kernel_ack": TxEvent.ACK}


@dataclass(frozen=True, slots=True)
class RowLogs:
    """A run's rows (`journal.layout.RECEIVED`, `SENT`, `TRANSMITTED`), in the order in which they were written.

    `missing` names the logs of which there is no file.
    """

    received: Rows
    sent: Rows
    transmitted: Rows
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WireColumns:
    """When a capture saw the packets of the messages, ns, ABSENT where it did not.

    Attributes:
        wire_in, wire_in_here: beside the received rows, on the monitor's clock and on the trader's.
        wire_out, wire_out_here: beside the sent rows, likewise.
    """

    wire_in: Column
    wire_in_here: Column
    wire_out: Column
    wire_out_here: Column


@dataclass(frozen=True, slots=True)
class Stamps:
    """The hops of some messages.

    Attributes:
        trace: their trace ids, `uint64`.
        order: the ordinals of their orders, `uint64`, 0 where none.
        hops: a column for each hop's name.
    """

    trace: npt.NDArray[np.uint64]
    order: npt.NDArray[np.uint64]
    hops: dict[str, Column]

    def select(self, mask: Mask) -> "Stamps":
        """Return the messages for which the mask holds."""
        return Stamps(self.trace[mask], self.order[mask], {name: hop[mask] for name, hop in self.hops.items()})


def read_row_logs(run: Path) -> RowLogs:
    """Read a run's row logs; one that is not there is empty and named.

    Raises:
        Corrupt: a committed row is not what was written.
    """
    found: dict[str, Rows] = {}
    missing: list[str] = []
    for log in ("received", "sent", "transmitted"):
        found[log] = np.empty(0, ROW_LOGS[log])
        try:
            found[log] = np.concatenate([found[log], *read_rows(run, log)])
        except NoJournal:
            missing.append(log)
    return RowLogs(**found, missing=missing)


def received_stamps(received: Rows, wire: WireColumns | None = None) -> Stamps:
    """Return the way in of every message in these rows: exchange, wire_in, own kernel_rx, read, decoded.

    Args:
        received: rows of the received log.
        wire: what a capture saw of them, None without one.
    """
    shared = (received["flags"] & StampFlag.RX_SHARED) != 0
    hops = {name: received[name].copy() for name in ("exchange", "read", "decoded")}
    hops["kernel_rx"] = np.where(shared, ABSENT, received["kernel_rx"])
    hops["wire_in"] = _absent(received) if wire is None else wire.wire_in
    hops["wire_in_here"] = _absent(received) if wire is None else wire.wire_in_here
    return Stamps(received["trace"].copy(), received["order"].copy(), hops)


def sent_stamps(logs: RowLogs, wire: WireColumns | None = None) -> Stamps:
    """Return the whole way of every message that was sent: that of its cause, its own, and its reply's.

    Orders come with the `reply_…` hops of the first message that is about them; a request that follows for the same
    order (a cancel) has none, because which reply is its own is not told.

    Args:
        logs: all rows.
        wire: what a capture saw of them, None without one.
    """
    sent, received = logs.sent, logs.received
    way_in = received_stamps(received, wire)
    cause = _causes(logs)
    hops = {name: _at(column, cause) for name, column in way_in.hops.items()}
    hops |= {name: sent[name].copy() for name in ("decided", "encoded", "written", "sent")}
    hops |= _transmitted_hops(sent, logs.transmitted)
    hops["wire_out"] = _absent(sent) if wire is None else wire.wire_out
    hops["wire_out_here"] = _absent(sent) if wire is None else wire.wire_out_here
    replies = np.flatnonzero((received["kind"] == MessageKind.ORDER) & (received["order"] != 0))
    reply = first_match(received["order"][replies], np.where(is_order(sent), sent["order"], 0))
    for name in ("kernel_rx", "read", "wire_in", "wire_in_here"):
        hops[f"reply_{name}"] = _at(way_in.hops[name][replies], reply)
    return Stamps(sent["trace"].copy(), sent["order"].copy(), hops)


def is_order(sent: Rows) -> Mask:
    """Tell which rows of the sent log are orders: of the messages about an order, the first."""
    mask: Mask = np.zeros(len(sent), dtype=np.bool_)
    about = np.flatnonzero((sent["kind"] == MessageKind.ORDER) & (sent["order"] != 0))
    _, first = np.unique(sent["order"][about], return_index=True)
    mask[about[first]] = True
    return mask


def caused_by_market(logs: RowLogs) -> Mask:
    """Tell which messages were sent because of a market-data message, not of a timer or a report."""
    mask: Mask = _at(logs.received["kind"], _causes(logs)) == MessageKind.MARKET
    return mask


def _causes(logs: RowLogs) -> Index:
    """Return for each message sent the row of the message received that caused it, -1 where none did.

    A trace id of 0 names no input: log-ons have it, and the replies that the trader reads before its engine runs.
    """
    trace = logs.sent["trace"]
    return np.where(trace != 0, first_match(logs.received["trace"], trace), -1)


def _transmitted_hops(sent: Rows, transmitted: Rows) -> dict[str, Column]:
    wanted, known = _byte_numbers(sent, transmitted)
    hops = {}
    for name, event in _TX_HOPS.items():
        rows = np.flatnonzero(transmitted["event"] == event)
        hops[name] = _at(transmitted["time"][rows], first_match(known[rows], wanted))
    return hops


def _byte_numbers(*tables: Rows) -> Iterable[Index]:
    """Number the bytes (conn, off) of some tables so that equal bytes have equal numbers; exact at any offset."""
    conn = np.concatenate([rows["conn"] for rows in tables])
    off = np.concatenate([rows["off"] for rows in tables])
    by_byte = np.lexsort((off, conn))
    conn, off = conn[by_byte], off[by_byte]
    numbers = np.empty(len(conn), np.intp)
    numbers[by_byte] = np.cumsum(np.r_[False, (conn[1:] != conn[:-1]) | (off[1:] != off[:-1])])[: len(conn)]
    return np.split(numbers, np.cumsum([len(rows) for rows in tables[:-1]]))


def first_match(keys: npt.NDArray[np.integer], wanted: npt.NDArray[np.integer]) -> Index:
    """Return for each wanted value the index of the first key that equals it, -1 where none does.

    Args:
        keys: shape (k,), in any order.
        wanted: shape (w,).

    Returns:
        Shape (w,).
    """
    if not len(keys):
        return np.full(len(wanted), -1, np.intp)
    by_key = np.argsort(keys, kind="stable")
    ordered = keys[by_key]
    place = np.minimum(np.searchsorted(ordered, wanted), len(keys) - 1)
    return np.where(ordered[place] == wanted, by_key[place], -1)


def _absent(rows: Rows) -> Column:
    return np.full(len(rows), ABSENT, np.int64)


def _at(column: npt.NDArray[np.integer], index: Index) -> Column:
    """Return the column's values at these places, ABSENT where the index is -1."""
    values = np.full(len(index), ABSENT, np.int64)
    found = index >= 0
    values[found] = column[index[found]]
    return values
