"""The agent: packets walk from a source through `decode` and `streams` into the journal. One thread, one writer.

`Agent` is that walk; `follow` drives it from a live ring, with clock probes and a beat each second; `read_through` from
files, as fast as they can be read. Both end the journal with the reason, whatever happens.
"""

import select
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from capture.clocks import Clocks
from capture.decode import Decoder
from capture.files.store import PacketStore
from capture.live.ring import Ring
from capture.packets import Batch, Source
from capture.roster import Roster
from capture.streams import Found, Streams
from capture.wire_journal import WireJournal
from journal.errors import JournalFull
from journal.wire import ASKED_TO_STOP, READ_TO_THE_END

_BEAT_NS = 1_000_000_000
_MAX_WAIT_NS = 100_000_000  # so that a signal is obeyed soon
_RETAIN_EVERY = 60  # beats
_REMIND_EVERY = 3600
_LAST_WAIT_S = 0.1  # longer than the ring keeps a block that is not full
_REASONS = 64  # told in a record: an EtherType or a protocol number of each packet's own may make as many as it likes
_OTHER_REASONS = "all other reasons"
_TAKES = 4  # then probes and the clock have their turn, however fast packets come: each is at most a quarter of a ring


@dataclass(slots=True)
class Progress:
    """What was done so far.

    Attributes:
        packets, bytes: captured, and their bytes on the wire.
        segments: TCP segments found in them.
        journalled: packet rows of watched connections.
        connections: how many of those were met.
        first_ns, last_ns: times of the first and the last packet, ns; 0 before.
        source: the source's own counters, such as what the kernel dropped.
        probes: sent and answered; None without a responder.
    """

    packets: int = 0
    bytes: int = 0
    segments: int = 0
    journalled: int = 0
    connections: int = 0
    first_ns: int = 0
    last_ns: int = 0
    source: dict[str, int] = field(default_factory=dict)
    probes: dict[str, int] | None = None


class Agent:
    """Takes batches, writes rows.

    Args:
        journal: where the rows go.
        decoder: finds the TCP segments.
        streams: follows their connections.
        store: keeps the packets themselves, None for none.

    Attributes:
        progress: what was done so far.
    """

    def __init__(self, journal: WireJournal, decoder: Decoder, streams: Streams, store: PacketStore | None) -> None:
        self.progress = Progress()
        self._journal = journal
        self._decoder = decoder
        self._streams = streams
        self._store = store
        self._roster = Roster()
        self._told = 0

    def take(self, batch: Batch) -> None:
        """Journal what is in a batch.

        Raises:
            JournalFull: the disk had no room.
        """
        if not len(batch):
            return
        segments = self._decoder.decode(batch)
        self._write(self._streams.take(segments))
        if self._store is not None:
            self._store.append(batch)
        progress = self.progress
        progress.first_ns = progress.first_ns or int(batch.time_ns[0])
        progress.last_ns = int(batch.time_ns[-1])
        progress.packets += len(batch)
        progress.bytes += int(batch.wirelen.sum())
        progress.segments += len(segments)

    def _write(self, found: Found) -> None:
        for connection in found.opened:
            self._journal.opened(connection)
        self._journal.packets(found.packets)
        self._journal.losses(found.losses)
        self._roster.add(found.opened, found.packets)
        self.progress.journalled += len(found.packets)
        self.progress.connections += len(found.opened)

    def counts(self) -> dict[str, Any]:
        """Return what the journal is told of the progress."""
        progress = self.progress
        return {
            "packets": progress.packets,
            "bytes": progress.bytes,
            "segments": progress.segments,
            "journalled": progress.journalled,
            "connections": progress.connections,
            "first_ns": progress.first_ns,
            "last_ns": progress.last_ns,
            "source": progress.source,
            "probes": progress.probes,
            "passed_over": commonest(self._decoder.counts),
            "store": self._store.counts if self._store is not None else None,
        }

    def tell(self, now_ns: int) -> None:
        """Record what was counted so far, at a time of CLOCK_REALTIME."""
        self._journal.counts(now_ns, self.counts())

    def remind(self, now_ns: int) -> None:
        """Record again what retention may have deleted: the configuration, and whose the packets are."""
        self._journal.repeat_configuration(now_ns)
        for connection in self._roster.spoke():
            self._journal.opened(connection)

    def news(self) -> list[str]:
        """Return what went wrong with the journal's upkeep and the packet store since the last call."""
        stored = self._store.troubles if self._store is not None else []
        news, self._told = stored[self._told :], len(stored)
        return news + self._journal.news()

    def finish(self, reason: str) -> None:
        """Give up what is open, and end the journal with the reason, also when its rows have no room left.

        Raises:
            JournalFull: the disk had no room for what was open.
        """
        try:
            self._write(self._streams.finish())
        finally:
            now_ns = time.time_ns()
            self.tell(now_ns)
            self._journal.end(now_ns, reason)
            if self._store is not None:
                self._store.close()


def commonest(reasons: Counter[str]) -> dict[str, int]:
    """Return the most frequent of some reasons with their counts, and how often all others occurred."""
    told = dict(reasons.most_common(_REASONS))
    if others := reasons.total() - sum(told.values()):
        told[_OTHER_REASONS] = others
    return told


def drain(troubles: list[str]) -> list[str]:
    """Return the sentences and empty the list."""
    taken, troubles[:] = list(troubles), []
    return taken


OnBeat = Callable[[Progress, list[str]], None]


def follow(
    agent: Agent,
    journal: WireJournal,
    ring: Ring,
    clocks: Clocks,
    stopped: Callable[[], bool],
    on_beat: OnBeat,
) -> None:
    """Capture from an interface until told to stop.

    Args:
        agent: takes the packets.
        journal: its journal.
        ring: the interface.
        clocks: the clocks to ask meanwhile.
        stopped: asked several times a second whether to end.
        on_beat: called each second, and at the end, with the progress and what went wrong since.

    Raises:
        SourceLost: the interface went away.
        JournalFull: the disk had no room.
    """
    poll = select.poll()
    poll.register(ring.fileno(), select.POLLIN | select.POLLERR)
    clocks.register(poll)
    beat = _Beat(agent, journal, ring, clocks, on_beat)
    reason = ASKED_TO_STOP
    try:
        while not stopped():
            poll.poll(-(-min(_MAX_WAIT_NS, clocks.ask()) // 1_000_000))
            _take_ready(agent, ring)
            clocks.take()
            beat.when_due()
        _take_last(agent, ring)
        clocks.finish()
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        try:
            beat.tell()
        finally:
            agent.finish(reason)


def _take_ready(agent: Agent, ring: Ring) -> None:
    for _ in range(_TAKES):
        batch = ring.take(0)
        if not len(batch):
            return
        agent.take(batch)


def _take_last(agent: Agent, ring: Ring) -> None:
    """Take what the kernel has not handed over yet: it may fill one block while the one before is ready."""
    until = time.monotonic() + _LAST_WAIT_S
    while (left_s := until - time.monotonic()) > 0 and len(batch := ring.take(left_s)):
        agent.take(batch)


def read_through(agent: Agent, source: Source, stopped: Callable[[], bool], on_beat: OnBeat) -> None:
    """Read files to their end, or until told to stop.

    Args:
        agent: takes the packets.
        source: the files.
        stopped: asked after each batch whether to end.
        on_beat: called each second, and at the end, with the progress and what went wrong since.

    Raises:
        NotACapture: a file is no capture.
        JournalFull: the disk had no room.
    """
    reason = READ_TO_THE_END
    due_ns = time.monotonic_ns()
    try:
        for batch in source.batches():
            agent.take(batch)
            if time.monotonic_ns() >= due_ns:
                due_ns = time.monotonic_ns() + _BEAT_NS
                agent.tell(time.time_ns())
                on_beat(agent.progress, drain(source.troubles) + agent.news())
            if stopped():
                reason = ASKED_TO_STOP
                break
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        try:
            on_beat(agent.progress, drain(source.troubles) + agent.news())
        finally:
            agent.finish(reason)


class _Beat:
    """What is done once a second: counts and clock into the journal, its upkeep, news for a person."""

    def __init__(self, agent: Agent, journal: WireJournal, ring: Ring, clocks: Clocks, on_beat: OnBeat) -> None:
        self._agent = agent
        self._journal = journal
        self._ring = ring
        self._clocks = clocks
        self._on_beat = on_beat
        self._due_ns = time.monotonic_ns()
        self._beats = 0

    def when_due(self) -> None:
        """Beat when a second has passed.

        Raises:
            JournalFull: the journal will soon be unable to append.
        """
        now_ns = time.monotonic_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = max(self._due_ns + _BEAT_NS, now_ns)  # what was missed in a long stop is not caught up
        self.tell()
        self._clocks.beat()
        realtime_ns = self._journal.clock()
        self._agent.tell(realtime_ns)
        self._beats += 1
        if self._beats % _REMIND_EVERY == 0:
            self._agent.remind(realtime_ns)
        if self._beats % _RETAIN_EVERY == 0:
            self._journal.retain()
        if (reason := self._journal.failure()) is not None:
            raise JournalFull(reason)

    def tell(self) -> None:
        """Take over the counters of ring and probes, and tell the news."""
        self._agent.progress.source = asdict(self._ring.drops())
        self._agent.progress.probes = self._clocks.counts
        troubles = drain(self._ring.troubles) + drain(self._clocks.troubles)
        self._on_beat(self._agent.progress, troubles + self._agent.news())
