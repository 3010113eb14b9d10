"""What a run's records say, in one pass: its configuration, its counts, its clock.

Everything is counted from the records themselves. The run's last record, END, tells only why it ended: a run that was
killed has none, and all the rest is the same for it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
from msgspec import Struct

from crosscheck.model import TraderConnection
from journal.layout import RecordType
from journal.reader import Record, RecordReader
from market.events import FeedState
from market.orders import ExecType
from review.trades import FeedEntry, TradeCounter
from venues.adapter import UnknownSymbol


class Unreadable(Exception):
    """A record is intact but is not what this version's trader writes."""


class _TraderEntry(Struct):
    name: str
    loop: str


class _StrategyEntry(Struct):
    use: str
    name: str | None = None


class _Settings(Struct):
    trader: _TraderEntry
    feed: list[FeedEntry] = []
    strategy: list[_StrategyEntry] = []


class _Configuration(Struct):
    config: _Settings
    boot_id: str | None = None


class _Connection(Struct):
    event: str
    role: str
    index: int = -1
    name: str = ""
    reason: str = ""
    local: str = ""
    remote: str = ""


class _Intent(Struct):
    action: str
    ordinal: int


class _Execution(Struct):
    ordinal: int
    exec_type: int
    reason: str = ""


class _FeedStatus(Struct):
    state: str
    reason: str


class _ClockPair(Struct):
    realtime_ns: int
    monotonic_ns: int


class _StrategyNews(Struct):
    event: str
    strategy: str
    reason: str = ""
    error: str = ""


class _Reason(Struct):
    reason: str


_decode_configuration = msgspec.json.Decoder(_Configuration).decode
_decode_connection = msgspec.json.Decoder(_Connection).decode
_decode_intent = msgspec.json.Decoder(_Intent).decode
_decode_execution = msgspec.json.Decoder(_Execution).decode
_decode_feed_status = msgspec.json.Decoder(_FeedStatus).decode
_decode_clock_pair = msgspec.json.Decoder(_ClockPair).decode
_decode_strategy_news = msgspec.json.Decoder(_StrategyNews).decode
_decode_reason = msgspec.json.Decoder(_Reason).decode


class RunRecords:
    """What the records of a run add up to; made by `read_run_records`.

    Attributes:
        complete: whether the journal reaches back to the run's beginning.
        first_ns, last_ns: times of the earliest and the latest record; None without any.
        name, loop: of the trader; None when the configuration is no longer there.
        feeds: the configuration's feeds.
        strategies: their names.
        placed, answered: ordinals of the orders journalled, and of those that a report is about.
        cancels, fills, rejects, gaps, dropped, refused: counts.
        outages: how often a connection of a feed or a route was lost, and for how long in all, ns.
        reasons: why, by count, under the names `gaps`, `dropped`, `rejects`, `refused`, `stopped` (strategies), `lost`
            (connections).
        connections: every connection, by its number.
        boot_id: what names this boot of the trader's machine, None when not told.
        clock: pairs of CLOCK_REALTIME and CLOCK_MONOTONIC, ns, in order.
        ended: the reason in the run's last record, None when there is no such record.
    """

    def __init__(self, *, complete: bool) -> None:
        self.complete = complete
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.name: str | None = None
        self.loop: str | None = None
        self.feeds: list[FeedEntry] = []
        self.strategies: list[str] = []
        self.placed: set[int] = set()
        self.answered: set[int] = set()
        self.cancels = self.fills = self.rejects = self.gaps = self.dropped = self.refused = 0
        self.reasons: dict[str, Counter[str]] = {
            name: Counter() for name in ("gaps", "dropped", "rejects", "refused", "stopped", "lost")
        }
        self.outages = 0
        self._down_since: dict[str, int] = {}
        self._down_ns = 0
        self.connections: dict[int, TraderConnection] = {}
        self.boot_id: str | None = None
        self.clock: list[tuple[int, int]] = []
        self.ended: str | None = None
        self._trades: TradeCounter | None = None
        self._handlers: dict[RecordType, Callable[[Record], None]] = {
            RecordType.CONFIG: self._on_config,
            RecordType.CONNECTION: self._on_connection,
            RecordType.INBOUND: self._on_inbound,
            RecordType.REPLY: self._on_reply,
            RecordType.ORDER: self._on_order,
            RecordType.EXECUTION: self._on_execution,
            RecordType.FEED_STATUS: self._on_feed_status,
            RecordType.CLOCK: self._on_clock,
            RecordType.STRATEGY: self._on_strategy,
            RecordType.DROPPED: self._on_dropped,
            RecordType.END: self._on_end,
        }

    @property
    def outage_ns(self) -> int:
        """How long connections were lost in all, up to the last record where they did not come back."""
        last_ns = self.last_ns or 0
        return self._down_ns + sum(max(last_ns - since_ns, 0) for since_ns in self._down_since.values())

    @property
    def trades(self) -> int | None:
        """How many trades were received; None when the journal no longer tells what the instruments are."""
        return self._trades.trades if self._trades is not None else None

    def take(self, record: Record) -> None:
        """Take one record into account.

        Raises:
            Unreadable: its payload is not what the trader writes.
        """
        time_ns = record.time_ns
        if self.first_ns is None or self.last_ns is None:
            self.first_ns = self.last_ns = time_ns
        elif time_ns > self.last_ns:
            self.last_ns = time_ns
        handler = self._handlers.get(record.type)
        if handler is None:
            return
        try:
            handler(record)
        except (msgspec.MsgspecError, UnknownSymbol, LookupError) as error:
            raise Unreadable(
                f"the {record.type.name} record of trace {record.trace} is not understood: {error}"
            ) from error

    def _on_config(self, record: Record) -> None:
        configuration = _decode_configuration(record.payload)
        config, self.boot_id = configuration.config, configuration.boot_id
        self.name, self.loop, self.feeds = config.trader.name, config.trader.loop, config.feed
        self.strategies = [entry.name or entry.use.rpartition(":")[2] for entry in config.strategy]
        self._trades = TradeCounter(config.feed)

    def _on_connection(self, record: Record) -> None:
        news = _decode_connection(record.payload)
        self._note_connection(record, news)
        if news.role == "rest":  # made for a few requests, and closed by either side
            return
        if self._trades is not None and news.event == "open" and news.role == "feed":
            self._trades.connected(record.conn, news.index)
        who = f"route {news.name}" if news.role == "route" else f"feed {news.index + 1}"
        if news.event == "lost":
            self.outages += 1
            self.reasons["lost"][f"{who}: {news.reason}"] += 1
            self._down_since[who] = record.time_ns
        elif news.event == ("ready" if news.role == "route" else "open"):
            self._down_ns += record.time_ns - self._down_since.pop(who, record.time_ns)

    def _note_connection(self, record: Record, news: _Connection) -> None:
        if news.event == "open":
            self.connections[record.conn] = TraderConnection(
                record.conn, news.local, news.remote, record.time_ns, closed_ns=None
            )
        elif news.event in ("lost", "closed") and (known := self.connections.get(record.conn)) is not None:
            self.connections[record.conn] = replace(known, closed_ns=record.time_ns)

    def _on_inbound(self, record: Record) -> None:
        if self._trades is not None:
            self._trades.inbound(record.conn, record.payload)

    def _on_reply(self, record: Record) -> None:
        if self._trades is not None:
            self._trades.reply(record.payload)

    def _on_order(self, record: Record) -> None:
        intent = _decode_intent(record.payload)
        if intent.action == "place":
            self.placed.add(intent.ordinal)
        else:
            self.cancels += 1

    def _on_execution(self, record: Record) -> None:
        execution = _decode_execution(record.payload)
        self.answered.add(execution.ordinal)
        if execution.exec_type == ExecType.TRADE:
            self.fills += 1
        elif execution.exec_type == ExecType.REJECTED:
            self.rejects += 1
            self.reasons["rejects"][execution.reason] += 1

    def _on_feed_status(self, record: Record) -> None:
        status = _decode_feed_status(record.payload)
        if status.state == FeedState.SUSPECT.name:
            self.gaps += 1
            self.reasons["gaps"][status.reason] += 1

    def _on_clock(self, record: Record) -> None:
        pair = _decode_clock_pair(record.payload)
        self.clock.append((pair.realtime_ns, pair.monotonic_ns))

    def _on_strategy(self, record: Record) -> None:
        news = _decode_strategy_news(record.payload)
        if news.event == "refused":
            self.refused += 1
            self.reasons["refused"][news.reason] += 1
        elif news.event == "raised":
            self.reasons["stopped"][f"{news.strategy} raised {news.error}"] += 1

    def _on_dropped(self, record: Record) -> None:
        self.dropped += 1
        self.reasons["dropped"][_decode_reason(record.payload).reason] += 1

    def _on_end(self, record: Record) -> None:
        self.ended = _decode_reason(record.payload).reason


def read_run_records(run: Path) -> RunRecords:
    """Read all records of a run, also of one that is being written.

    Args:
        run: the run's folder.

    Raises:
        NoJournal: the folder holds no record log.
        Corrupt: a committed record is not what was written.
        Unreadable: a record is intact and makes no sense.
    """
    reader = RecordReader(run)
    records = RunRecords(complete=reader.first_sequence == 0)
    for record in reader:
        records.take(record)
    return records
