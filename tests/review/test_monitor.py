"""A capture's journal becomes one side of a crosscheck, alone or joined with others; what is odd is said."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import review.monitor as monitor_module
from journal.errors import NoJournal
from journal.layout import RecordType
from journal.reader import Rows, read_rows
from journal.wire import LossCause, PacketFlag
from review.monitor import DifferentClocks, read_monitor, wire_side
from review.records import Unreadable

# What conftest makes, and test folders are not packages to import it from:
MonitorAt = Callable[..., Any]
RunWriter = Any


def test_everything_that_was_written(monitor_at: MonitorAt) -> None:
    """Rows, connections, counts, source, machine and end."""
    written = monitor_at(boot_id="here", source="eth1").feed(3)
    written.probe(0)
    monitor = read_monitor(written.end("asked to stop", passed_over={"ARP": 2}, probes={"sent": 1, "answered": 1}))
    assert (5, 0, 1) == (len(monitor.packets), len(monitor.losses), len(monitor.probes))
    assert [(1, "10.0.0.1:4003", "10.0.0.2:443", 0)] == [
        (met.number, met.a, met.b, met.tunnel) for met in monitor.connections.values()
    ]
    assert monitor.complete
    assert ("here", "eth1", "asked to stop") == (monitor.boot_id, monitor.source, monitor.ended)
    assert ([4789], []) == (monitor.vxlan_ports, monitor.geneve_ports)
    assert (5, {"ARP": 2}, {"sent": 1, "answered": 1}) == (
        monitor.counts.packets, monitor.counts.passed_over, monitor.counts.probes,
    )  # fmt: skip


def test_one_that_has_not_ended(monitor_at: MonitorAt) -> None:
    """It has rows and no end."""
    monitor = read_monitor(monitor_at().feed(2).end(reason=None))
    assert (4, None) == (len(monitor.packets), monitor.ended)


def test_one_that_is_being_written(monitor_at: MonitorAt) -> None:
    """Every reading sees what is committed by then."""
    writing = monitor_at()
    assert 0 == len(read_monitor(writing.run).packets)
    writing.feed(10)
    assert 12 == len(read_monitor(writing.run).packets)
    writing.end()


def test_a_hole_is_never_known_before_the_packet_that_filled_it(
    monitor_at: MonitorAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer appends a packet and then its hole, and does so between the readings of two logs."""
    writing = monitor_at().feed(1)
    offs = count(1000)

    def read_and_grow(run: Path, log: str) -> list[Rows]:
        found = read_rows(run, log)
        off = next(offs)
        writing.journal.rows["packets"].append(0, off, 3, 100, 154, 0, PacketFlag.FIRST | PacketFlag.LATE)
        writing.journal.rows["losses"].append(0, 0, off, 3, 100, LossCause.REORDERED, 0)
        return found

    monkeypatch.setattr(monitor_module, "read_rows", read_and_grow)
    for _ in range(2):
        monitor = read_monitor(writing.run)
        assert set(monitor.losses["position"].tolist()) <= set(monitor.packets["position"].tolist())
    assert len(monitor.losses)
    writing.end()


def test_a_connection_that_is_recorded_again_is_one(monitor_at: MonitorAt) -> None:
    """What is told twice is told once."""
    writing = monitor_at().feed(1).connection(1, "10.0.0.1:4003")
    side = wire_side([read_monitor(writing.end())], None)
    assert [1] == [met.number for met in side.connections]


def test_one_whose_beginning_was_deleted(monitor_at: MonitorAt) -> None:
    """It is known to be incomplete, and what is left is read."""
    writing = monitor_at()
    for _ in range(1000):
        writing.record(RecordType.COUNTS, {"packets": 5, "passed_over": {"ARP": 1_000_000}})
    run = writing.feed(2).end()
    (run / "records-000000.wsj").unlink()
    monitor = read_monitor(run)
    assert (False, 4, 1) == (monitor.complete, len(monitor.packets), len(monitor.connections))


def test_a_traders_journal_is_none(writer: RunWriter) -> None:
    """The log that it lacks is named."""
    with pytest.raises(NoJournal, match=r"is no capture's journal: it holds no 'losses' log"):
        read_monitor(writer.begin().end())


def test_a_record_that_makes_no_sense(monitor_at: MonitorAt) -> None:
    """It is intact, so its kind is named."""
    writing = monitor_at()
    writing.record(RecordType.CONNECTION, {"a": 7})
    with pytest.raises(Unreadable, match="the CONNECTION record of the capture is not understood"):
        read_monitor(writing.end())


def test_joined_captures_keep_their_connections_apart(monitor_at: MonitorAt) -> None:
    """Streams are numbered through; rows still belong to the connection that was recorded with them."""
    first, second, third = (read_monitor(monitor_at(name).feed(2).end()) for name in ("one", "two", "three"))
    side = wire_side([first, second, third], None)
    assert [1, 2, 3] == [met.number for met in side.connections]
    assert [2, 3, 3, 3, 4, 5, 5, 5, 6, 7, 7, 7] == side.packets["stream"].tolist()


def test_one_clock_needs_one_boot_and_no_probes(monitor_at: MonitorAt) -> None:
    """Probes are believed rather than that; an unknown machine may be any."""
    here, there, unknown = (read_monitor(monitor_at(str(boot), boot_id=boot).end()) for boot in ("a", "b", None))
    probed = monitor_at("probed", boot_id="a")
    probed.probe(0)
    assert wire_side([here], "a").one_clock
    assert not wire_side([here], None).one_clock
    assert not wire_side([there], "a").one_clock
    assert not wire_side([unknown], "a").one_clock
    assert not wire_side([unknown], None).one_clock
    assert not wire_side([here, unknown], "a").one_clock
    assert not wire_side([read_monitor(probed.end())], "a").one_clock


def test_captures_of_two_machines_are_not_joined(monitor_at: MonitorAt) -> None:
    """θ is one of each: both folders are named."""
    captures = [read_monitor(monitor_at(name, boot_id=name).end()) for name in ("one", "two")]
    with pytest.raises(DifferentClocks, match=r"made by different clocks.*one, .*two"):
        wire_side(captures, "one")
