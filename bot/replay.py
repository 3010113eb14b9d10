"""Determinism, checked: a run's journal is consumed again and must lead to the same intents.

Everything that the engine consumed lies in the journal in the order of consumption. Here the same decoders, books,
strategies and risk checks take it in again; only the routes differ, which collect intents instead of sending them.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from bot.config import Configuration
from bot.engine import Engine
from bot.errors import TraderError
from bot.loading import StrategyNotFound, load_strategy
from bot.orders.manager import OrderManager, Route
from bot.orders.records import Intent, decode_intent, intent_of
from bot.orders.risk import Risk
from journal.layout import RecordType
from journal.reader import Record, RecordReader
from market.instrument import Instrument
from market.orders import Order
from venues.adapter import Credentials, Feed, OrderEntry, UnknownSymbol
from venues.registry import VENUES


class ReplayError(TraderError):
    """The journal cannot be replayed: its beginning is gone, or a strategy can no longer be loaded."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the replay left the run.

    Attributes:
        trace: the input at which it did.
        recorded: the intent that the run sent, None when it sent none.
        reached: the intent that the replay reached, None when it reached none.
    """

    trace: int
    recorded: Intent | None
    reached: Intent | None


@dataclass(slots=True)
class Outcome:
    """What a replay found.

    Attributes:
        inputs: how many inputs were consumed.
        intents: how many of the run's intents were reached again.
        differences: where run and replay disagree; empty for a deterministic run.
        unsent: intents reached at the very end of a run that was killed before it wrote them down; they never left.
        complete: whether the run ended in order.
    """

    inputs: int = 0
    intents: int = 0
    differences: list[Difference] = field(default_factory=list)
    unsent: int = 0
    complete: bool = False


class _Collector:
    """A route that sends nothing."""

    def __init__(self, reached: deque[Intent]) -> None:
        self._reached = reached

    def place(self, order: Order) -> None:
        self._reached.append(intent_of(order, "place", order.cause))

    def cancel(self, order: Order, cause: int) -> None:
        self._reached.append(intent_of(order, "cancel", cause))


def replay(run: Path) -> Outcome:
    """Consume a run's journal again.

    Args:
        run: the run's folder.

    Returns:
        What was found.

    Raises:
        ReplayError: the journal cannot be replayed.
        NoJournal: there is no journal.
        Corrupt: a committed record is not what was written.
    """
    reader = RecordReader(run)
    if reader.first_sequence:
        raise ReplayError(f"{run}: retention has deleted the beginning of this run")
    replayer = _Replayer()
    for record in reader:
        replayer.take(record)
    return replayer.finish()


class _Replayer:
    """The state of one replay."""

    def __init__(self) -> None:
        self._outcome = Outcome()
        self._reached: deque[Intent] = deque()
        self._config: Configuration
        self._about: dict[str, Any] = {}
        self._instruments: dict[int, list[Instrument]] = {}
        self._feeds: list[Feed] = []
        self._entries: dict[str, OrderEntry] = {}
        self._consumers: dict[int, Callable[[Record], None]] = {}  # by connection number
        self._engine: Engine | None = None
        self._takers: dict[RecordType, Callable[[Record], None]] = {
            RecordType.CONFIG: self._on_config,
            RecordType.REPLY: self._on_reply,
            RecordType.CONNECTION: self._on_connection,
            RecordType.INBOUND: self._on_inbound,
            RecordType.TIMER: lambda record: self._built().tick(record.trace, record.time_ns),
            RecordType.COMMAND: self._on_command,
            RecordType.ORDER: self._on_order,
            RecordType.END: self._on_end,
        }

    def take(self, record: Record) -> None:
        """Consume one record; those that only tell what happened are passed over."""
        taker = self._takers.get(record.type)
        if taker is None:
            return
        if record.trace and record.type is not RecordType.ORDER:
            self._next_input(record)
        taker(record)

    def finish(self) -> Outcome:
        """Return what was found."""
        if self._outcome.complete:
            self._differ_on_rest()
        else:
            self._outcome.unsent = len(self._reached)
        return self._outcome

    def _next_input(self, record: Record) -> None:
        self._differ_on_rest()
        expected = self._built().trace + 1
        if record.trace != expected:
            raise ReplayError(f"the journal lacks inputs: expected trace {expected}, was {record.trace}")
        self._outcome.inputs += 1

    def _differ_on_rest(self) -> None:
        while self._reached:
            intent = self._reached.popleft()
            self._outcome.differences.append(Difference(intent.cause, None, intent))

    # -- building -----------------------------------------------------------------------------------------------------

    def _on_config(self, record: Record) -> None:
        self._about = msgspec.json.decode(record.payload)
        self._config = Configuration.model_validate(self._about["config"])

    def _built(self) -> Engine:
        """Return the engine, built when the first input needs it."""
        if self._engine is None:
            self._engine = self._build()
        return self._engine

    def _build(self) -> Engine:
        config = self._config
        instruments = list(itertools.chain.from_iterable(self._instruments.values()))
        routes: dict[str, Route] = {route.name: _Collector(self._reached) for route in config.route}
        risk = Risk(instruments, config.risk.max_order_notional)
        engine = Engine(instruments, OrderManager(self._about["prefix"], risk, routes))
        for index, feed in enumerate(config.feed):
            self._feeds.append(VENUES[feed.venue].feed(self._instruments[index], feed.channels))
        for route in config.route:
            mine = [instrument for instrument in instruments if instrument.venue == route.venue]
            self._entries[route.name] = VENUES[route.venue].order_entry(mine, Credentials("", ""))
        folder = Path(self._about["path"]).parent
        for table in config.strategy:
            try:
                found = load_strategy(table.use, folder)
                strategy = found(found.Params.model_validate(table.params))
            except (StrategyNotFound, ValidationError) as error:
                raise ReplayError(f"strategy {table.use}: {error}") from error
            engine.seat(table.name or found.__name__, table.route, strategy)
        return engine

    # -- records ------------------------------------------------------------------------------------------------------

    def _on_reply(self, record: Record) -> None:
        head, _, body = record.payload.partition(b"\n")
        purpose = msgspec.json.decode(head)
        if purpose["purpose"] == "instrument":
            venue = VENUES[self._config.feed[purpose["feed"]].venue]
            try:
                instrument = venue.parse_instrument(purpose["name"], purpose["number"], purpose["status"], body)
            except UnknownSymbol as error:
                raise ReplayError(f"the run never started: {error}") from error
            self._instruments.setdefault(purpose["feed"], []).append(instrument)
            return
        engine = self._built()
        (instrument,) = (each for each in engine.markets if each.id == purpose["instrument"])
        engine.consume(self._feeds[purpose["feed"]].receive_snapshot(instrument, body), record.trace, record.time_ns)

    def _on_connection(self, record: Record) -> None:
        about = msgspec.json.decode(record.payload)
        role, event = about["role"], about["event"]
        if role == "rest":  # its replies are the inputs; the first come before there is an engine
            return
        engine = self._built()
        if event == "open":
            self._consumers[record.conn] = (
                self._feed_consumer(about["index"]) if role == "feed" else self._route_consumer(about["name"])
            )
        elif event == "closed":  # by us, at the end: no input
            return
        elif role == "feed":
            engine.consume(self._feeds[about["index"]].disconnected(), record.trace, record.time_ns)
        elif event == "ready":
            engine.route_ready(about["name"], record.trace, record.time_ns)
        else:
            engine.route_lost(about["name"], record.trace, record.time_ns)

    def _feed_consumer(self, index: int) -> Callable[[Record], None]:
        engine, receive = self._built(), self._feeds[index].receive
        return lambda record: engine.consume(receive(record.payload), record.trace, record.time_ns)

    def _route_consumer(self, name: str) -> Callable[[Record], None]:
        engine, receive = self._built(), self._entries[name].receive
        return lambda record: engine.consume_reports(receive(record.payload), record.trace, record.time_ns)

    def _on_inbound(self, record: Record) -> None:
        self._consumers[record.conn](record)

    def _on_command(self, record: Record) -> None:
        about, engine = msgspec.json.decode(record.payload), self._built()
        if about["command"] == "start":
            engine.start(record.trace, record.time_ns)
        elif about["command"] == "stop":
            engine.finish(record.trace, record.time_ns)
        else:
            engine.halt(about["reason"], record.trace, record.time_ns)

    def _on_order(self, record: Record) -> None:
        recorded = decode_intent(record.payload)
        reached = self._reached.popleft() if self._reached else None
        if recorded == reached:
            self._outcome.intents += 1
        else:
            self._outcome.differences.append(Difference(record.trace, recorded, reached))

    def _on_end(self, _record: Record) -> None:
        self._outcome.complete = True
