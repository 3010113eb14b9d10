"""The agent's walk, from batches to a journal that always ends with the reason, whatever happens."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scapy.all import ARP, IP, TCP, Ether

from capture.agent import Agent, Progress, commonest, follow, read_through
from capture.clocks import Clocks
from capture.decode import Decoder
from capture.errors import SourceLost
from capture.files.store import PacketStore
from capture.live.ring import Counters
from capture.packets import Batch
from capture.streams import Streams
from capture.wire_journal import WireJournal
from journal.errors import JournalFull
from journal.layout import RecordType
from journal.reader import RecordReader, read_records, read_rows
from journal.retention import Retention

# What conftest makes, and test folders are not packages to import it from:
CaptureFiles = Any

NOW_NS = 1_700_000_000_000_000_000
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WireJournal]:
    """A journal that has just begun, with small segments."""
    monkeypatch.setattr("capture.wire_journal._SEGMENT_BYTES", 1 << 16)
    journal = WireJournal(tmp_path / "captures", NOW_NS)
    yield journal
    journal.close()


@pytest.fixture
def make(journal: WireJournal) -> Callable[..., Agent]:
    """Make an agent that watches everything but port 9."""

    def agent(store: PacketStore | None = None) -> Agent:
        decoder = Decoder()
        return Agent(journal, decoder, Streams(decoder.address, lambda _a, b, _tunnel: not b.endswith(":9")), store)

    return agent


@pytest.fixture
def batch(capture_files: CaptureFiles) -> Callable[..., Batch]:
    """Make a batch of segments of 100 bytes by their numbers; an ARP packet for each that is None."""

    def lay(*numbers: int | None, port: int = 443) -> Batch:
        frames = []
        for at, number in enumerate(numbers):
            packet = Ether(**MACS) / ARP()
            if number is not None:
                tcp = TCP(sport=40_000, dport=port, seq=1000 + 100 * number, flags="A")
                packet = Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2") / tcp / bytes(100)
            data = bytes(packet)
            frames.append(capture_files.frame(NOW_NS + at, data, len(data)))
        return capture_files.batch_of(frames)

    return lay


class FakeRing:
    """A ring of batches that are ready; then what comes is `last`: nothing, or an error."""

    def __init__(self, batches: list[Batch], nothing: Batch, last: Exception | None = None) -> None:
        self.troubles: list[str] = []
        self._batches, self._nothing, self._last = batches, nothing, last
        self.waits: list[float] = []
        self._ready = os.eventfd(1)

    def fileno(self) -> int:
        """Something that is always readable."""
        return self._ready

    def take(self, timeout_s: float) -> Batch:
        """The next batch."""
        self.waits.append(timeout_s)
        if self._batches:
            return self._batches.pop(0)
        if self._last is not None:
            raise self._last
        return self._nothing

    def drops(self) -> Counters:
        """Always the same."""
        return Counters(packets=10, drops=3)

    def close(self) -> None:
        """Close what is readable."""
        os.close(self._ready)


@pytest.fixture
def ring(batch: Callable[..., Batch]) -> Iterator[Callable[..., FakeRing]]:
    """Make rings."""
    made: list[FakeRing] = []

    def make_ring(*batches: Batch, last: Exception | None = None) -> FakeRing:
        made.append(FakeRing(list(batches), batch(), last))
        return made[-1]

    yield make_ring
    for each in made:
        each.close()


class Told:
    """What `on_beat` was told."""

    def __init__(self) -> None:
        self.news: list[str] = []
        self.progress: Progress | None = None

    def __call__(self, progress: Progress, news: list[str]) -> None:
        """Keep it."""
        self.progress = progress
        self.news += news


def packets_of(journal: WireJournal) -> np.ndarray:
    """Return the packet rows."""
    return np.concatenate(read_rows(journal.folder, "packets"))


def last_record(journal: WireJournal) -> tuple[RecordType, Any]:
    """Return kind and payload of the last record."""
    record = list(read_records(journal.folder))[-1]
    return record.type, json.loads(record.payload)


def counts_of(journal: WireJournal) -> dict[str, Any]:
    """Return what was counted at last."""
    return [json.loads(each.payload) for each in read_records(journal.folder) if each.type is RecordType.COUNTS][-1]


def test_a_batch_becomes_rows(make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch]) -> None:
    """Each segment of a watched connection has a row; the others are counted."""
    agent = make()
    agent.take(batch(0, None, 1))
    agent.take(batch())
    agent.take(batch(0, port=9))
    assert [100, 100] == packets_of(journal)["size"].tolist()
    progress = agent.progress
    assert (4, 3, 2, 1) == (progress.packets, progress.segments, progress.journalled, progress.connections)
    assert (NOW_NS, NOW_NS) == (progress.first_ns, progress.last_ns)
    assert 1 == sum(agent.counts()["passed_over"].values())
    opened = [json.loads(each.payload) for each in read_records(journal.folder) if each.type is RecordType.CONNECTION]
    assert [{"event": "open", "a": "10.0.0.1:40000", "b": "10.0.0.2:443", "tunnel": 0}] == opened


def test_an_open_hole_is_told_at_the_end(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch]
) -> None:
    """With what was counted, and the reason behind all else."""
    agent = make()
    agent.take(batch(0, 2))
    agent.finish("asked to stop")
    assert [100] == np.concatenate(read_rows(journal.folder, "losses"))["size"].tolist()
    assert 2 == counts_of(journal)["packets"]
    assert (RecordType.END, {"reason": "asked to stop"}) == last_record(journal)


def test_packets_are_stored_and_what_the_store_tells_is_told_once(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch]
) -> None:
    """All of them, watched or not."""
    store = PacketStore(journal.folder, 4 << 20)
    agent = make(store)
    agent.take(batch(0, None))
    assert 2 == store.stored
    store.troubles.append("packets are no longer stored")
    assert ["packets are no longer stored"] == agent.news()
    assert [] == agent.news()
    agent.finish("asked to stop")
    assert None is store._file
    assert {"stored": 2, "left_out": 0, "deleted_files": 0, "deleted_bytes": 0} == counts_of(journal)["store"]


def test_a_record_of_counts_is_bounded() -> None:
    """However many reasons there are: the rarest are told together, and none is lost."""
    told = commonest(Counter({f"EtherType {number}": number + 1 for number in range(1000)}))
    assert 65 == len(told)
    assert (1000, 936 * 937 // 2) == (told["EtherType 999"], told["all other reasons"])
    assert {"ARP": 3} == commonest(Counter({"ARP": 3}))


def test_files_are_read_to_their_end(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch]
) -> None:
    """Troubles come before the end; the last progress is the whole."""
    told = Told()
    source = SimpleNamespace(troubles=["a truncated tail"], batches=lambda: iter([batch(0), batch(1)]))
    read_through(make(), source, lambda: False, told)
    assert ["a truncated tail"] == told.news
    assert told.progress is not None
    assert 2 == told.progress.packets
    assert (RecordType.END, {"reason": "read to the end"}) == last_record(journal)


def test_reading_stops_when_asked(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch]
) -> None:
    """After the batch that was under way."""
    source = SimpleNamespace(troubles=[], batches=lambda: iter([batch(0), batch(1)]))
    read_through(make(), source, lambda: True, Told())
    assert 1 == len(packets_of(journal))
    assert (RecordType.END, {"reason": "asked to stop"}) == last_record(journal)


@pytest.mark.parametrize(
    ("error", "reason"), [(SourceLost("a.pcap: gone"), "a.pcap: gone"), (MemoryError(), "MemoryError")]
)
def test_reading_that_fails_says_why(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch], error: Exception, reason: str
) -> None:
    """Also for an error that nobody thought of."""

    def batches() -> Iterator[Batch]:
        yield batch(0)
        raise error

    with pytest.raises(type(error)):
        read_through(make(), SimpleNamespace(troubles=[], batches=batches), lambda: False, Told())
    assert 1 == len(packets_of(journal))
    assert (RecordType.END, {"reason": reason}) == last_record(journal)


def test_what_was_counted_is_known_while_files_are_read(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch]
) -> None:
    """Whoever is killed has said what came so far."""
    seen = []

    def batches() -> Iterator[Batch]:
        yield batch(0)
        seen.append(counts_of(journal)["packets"])

    read_through(make(), SimpleNamespace(troubles=[], batches=batches), lambda: False, Told())
    assert [1] == seen


def test_nobody_to_tell_does_not_keep_the_end_away(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch], ring: Callable[..., FakeRing]
) -> None:
    """A terminal that went away ends the capture, as an error that the journal names."""

    def gone(_progress: Progress, _news: list[str]) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        follow(make(), journal, ring(batch(0)), Clocks(journal, None, None), lambda: False, gone)
    assert (RecordType.END, {"reason": "[Errno 32] Broken pipe"}) == last_record(journal)


def test_a_live_capture_takes_what_the_kernel_still_holds(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch], ring: Callable[..., FakeRing]
) -> None:
    """It waits as long as a block may be held back, also when one is ready, and counts what was dropped."""
    live, told = ring(batch(0), batch(1)), Told()
    live.troubles.append("3 of 10 packets dropped")
    follow(make(), journal, live, Clocks(journal, None, None), lambda: True, told)
    assert 2 == len(packets_of(journal))
    assert 3 == len(live.waits)
    assert all(0.05 < wait_s <= 0.1 for wait_s in live.waits)
    assert {"packets": 10, "drops": 3, "freezes": 0} == counts_of(journal)["source"]
    assert ["3 of 10 packets dropped"] == told.news
    assert (RecordType.END, {"reason": "asked to stop"}) == last_record(journal)


def test_what_retention_may_have_deleted_is_recorded_again(
    make: Callable[..., Agent],
    journal: WireJournal,
    batch: Callable[..., Batch],
    ring: Callable[..., FakeRing],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The configuration, and the connections that had packets since."""
    monkeypatch.setattr("capture.agent._REMIND_EVERY", 1)
    monkeypatch.setattr("capture.agent._BEAT_NS", 0)
    journal.configuration(NOW_NS, {"source": "eth1"}, own_clock=True)
    asked = iter([False, False, False, True])
    follow(make(), journal, ring(batch(0)), Clocks(journal, None, None), lambda: next(asked), Told())
    told = [each for each in read_records(journal.folder) if each.type in (RecordType.CONFIG, RecordType.CONNECTION)]
    assert 1 + 3 == len([each for each in told if each.type is RecordType.CONFIG])
    assert 1 == len({each.payload for each in told if each.type is RecordType.CONFIG})
    assert [(1, told[1].payload)] * 2 == [
        (each.conn, each.payload) for each in told if each.type is RecordType.CONNECTION
    ]


def test_a_capture_of_weeks_knows_whose_its_packets_are(tmp_path: Path, batch: Callable[..., Batch]) -> None:
    """Also when retention has deleted the records of its beginning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("capture.wire_journal._SEGMENT_BYTES", 1 << 16)
        journal = WireJournal(tmp_path, NOW_NS, Retention(max_bytes=0))
    journal.configuration(NOW_NS, {"source": "eth1"}, own_clock=True)
    decoder = Decoder()
    agent = Agent(journal, decoder, Streams(decoder.address), None)
    agent.take(batch(0))
    while len(list(journal.folder.glob("records-*"))) < 4:
        agent.tell(NOW_NS)
    agent.remind(NOW_NS)
    journal.retain()
    journal.close()
    assert 0 < RecordReader(journal.folder).first_sequence
    left = [each.type for each in read_records(journal.folder) if each.type is not RecordType.COUNTS]
    assert [RecordType.CONFIG, RecordType.CONNECTION] == left


def test_packets_without_end_do_not_keep_it_from_stopping(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch], ring: Callable[..., FakeRing]
) -> None:
    """After a few batches probes, the beat and the wish to stop have their turn."""
    live = ring(*(batch(number) for number in range(30)))
    taken_when_asked: list[int] = []

    def stopped() -> bool:
        taken_when_asked.append(len(live.waits))
        return len(taken_when_asked) > 2

    follow(make(), journal, live, Clocks(journal, None, None), stopped, Told())
    assert [0, 4, 8] == taken_when_asked
    assert 30 == len(packets_of(journal))


def test_an_interface_that_goes_away_is_the_reason(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch], ring: Callable[..., FakeRing]
) -> None:
    """What had come is kept."""
    with pytest.raises(SourceLost):
        follow(
            make(),
            journal,
            ring(batch(0), last=SourceLost("eth1 went away")),
            Clocks(journal, None, None),
            lambda: False,
            Told(),
        )
    assert 1 == len(packets_of(journal))
    assert (RecordType.END, {"reason": "eth1 went away"}) == last_record(journal)


def test_a_journal_that_will_soon_be_full_ends_the_capture(
    make: Callable[..., Agent], journal: WireJournal, ring: Callable[..., FakeRing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is room to say so."""
    monkeypatch.setattr(journal, "failure", lambda: "no space left")
    with pytest.raises(JournalFull, match="no space left"):
        follow(make(), journal, ring(), Clocks(journal, None, None), lambda: False, Told())
    assert (RecordType.END, {"reason": "no space left"}) == last_record(journal)


def test_rows_without_room_do_not_keep_the_end_away(
    make: Callable[..., Agent], journal: WireJournal, batch: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is in another log, which may have room."""

    def full(_rows: np.ndarray) -> None:
        raise JournalFull("no space left")

    agent = make()
    agent.take(batch(0, 2))
    monkeypatch.setattr(journal, "losses", full)
    with pytest.raises(JournalFull):
        agent.finish("no space left")
    assert (RecordType.END, {"reason": "no space left"}) == last_record(journal)
