"""A run is counted from its records, also when it has no end."""

from pathlib import Path
from typing import Any

import pytest

from journal.errors import Corrupt, NoJournal
from journal.layout import PAGE_BYTES, RecordType
from review.records import Unreadable, read_run_records
from review.summary import summarise

# What conftest makes, and test folders are not packages to import it from:
RunWriter = Any


def test_every_kind_of_record_is_counted(ended_run: Path) -> None:
    """By what it says, not by what END says."""
    found = read_run_records(ended_run)
    assert (3, {1, 2}, {1, 2}) == (found.trades, found.placed, found.answered)
    assert (2, 1, 1, 1, 1, 0) == (
        found.fills, found.rejects, found.gaps, found.dropped, found.refused, found.cancels,
    )  # fmt: skip
    assert {
        "gaps": {"gap: expected update 5, was 7": 1},
        "dropped": {"JSON is malformed": 1},
        "rejects": {"Filter failure: LOT_SIZE (-1013)": 1},
        "refused": {"halted": 1},
        "stopped": {"s raised KeyError: 1": 1},
        "lost": {},
    } == found.reasons


def test_the_header_comes_from_the_configuration(ended_run: Path) -> None:
    """A strategy without a name has its class's."""
    found = read_run_records(ended_run)
    assert ("t", "uvloop", ["VolumeModulo"]) == (found.name, found.loop, found.strategies)
    assert ("asked to stop", True) == (found.ended, found.complete)
    assert 2_000_000_000 == (found.last_ns or 0) - (found.first_ns or 0)


def test_a_killed_run_is_counted_to_its_last_record(writer: RunWriter) -> None:
    """Nothing is missing but the end."""
    writer.begin()
    for cause in (writer.message(), writer.message()):
        writer.order(cause)
    found = read_run_records(writer.kill())
    assert (2, {1, 2}, set(), None) == (found.trades, found.placed, found.answered, found.ended)


def test_cancels_are_no_orders(writer: RunWriter) -> None:
    """They are counted by themselves."""
    writer.begin()
    writer.order(writer.message())
    writer.record(RecordType.ORDER, {"action": "cancel", "ordinal": 1})
    found = read_run_records(writer.end())
    assert ({1}, 1) == (found.placed, found.cancels)


def test_without_its_beginning_a_run_has_no_count_of_trades(writer: RunWriter, trade: bytes) -> None:
    """Retention deletes the oldest segments, and with them what the messages mean."""
    writer.begin()
    while not (writer.run / "records-000002.wsj").exists():
        writer.message(trade)
    run = writer.end()
    (run / "records-000000.wsj").unlink()
    found = read_run_records(run)
    assert (False, None, None) == (found.complete, found.trades, found.name)
    assert "asked to stop" == found.ended


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (RecordType.CONFIG, {}),
        (RecordType.CONNECTION, {"event": "open", "role": "feed", "index": 9}),
        (RecordType.REPLY, b"no JSON"),
        (RecordType.ORDER, {"action": "place"}),
        (RecordType.EXECUTION, {"ordinal": "1", "exec_type": 0}),
        (RecordType.CLOCK, []),
    ],
)
def test_a_sound_record_that_makes_no_sense_is_named(writer: RunWriter, kind: RecordType, payload: object) -> None:
    """Written by another version, or by another program."""
    writer.begin()
    writer.record(kind, payload, trace=17)
    with pytest.raises(Unreadable, match=f"{kind.name} record of trace 17"):
        read_run_records(writer.end())


def test_a_flipped_bit_is_corruption(ended_run: Path) -> None:
    """No count is made of records that are not what was written."""
    path = ended_run / "records-000000.wsj"
    content = bytearray(path.read_bytes())
    content[PAGE_BYTES + 50] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        read_run_records(ended_run)


def test_a_folder_without_a_journal_is_said(tmp_path: Path) -> None:
    """It is not a run of nothing."""
    with pytest.raises(NoJournal):
        read_run_records(tmp_path)


def test_outages_are_counted_and_timed(writer: RunWriter) -> None:
    """A route that came back after 0.5 s, a feed that did not, 1.5 s before the end."""
    writer.begin()
    second = 1_000_000_000
    for event, role, at_ns in (
        ("lost", "route", second // 4),
        ("open", "route", second // 2),
        ("lost", "feed", second // 2),
        ("ready", "route", 3 * second // 4),
    ):
        about = {"event": event, "role": role, "name": "main", "index": 0, "reason": "gone"}
        writer.record(RecordType.CONNECTION, about, at_ns=at_ns)
    found = read_run_records(writer.end())
    assert (2, 2 * second) == (found.outages, found.outage_ns)
    assert {"route main: gone": 1, "feed 1: gone": 1} == found.reasons["lost"]


def test_a_missing_log_is_named(writer: RunWriter) -> None:
    """It is not the same as a log without rows."""
    writer.begin().message()
    run = writer.end()
    for file in run.glob("sent-*"):
        file.unlink()
    assert ["sent"] == summarise(run).stamps.missing


def test_a_rest_connection_that_ends_is_no_outage(writer: RunWriter) -> None:
    """Nor does one that begins end the outage of its feed."""
    writer.begin()
    second = 1_000_000_000
    for event, role, at_ns in (
        ("open", "rest", 0),
        ("lost", "feed", second),
        ("closed", "rest", second),
        ("open", "rest", second + second // 4),
    ):
        about = {"event": event, "role": role, "index": 0, "reason": "gone"}
        writer.record(RecordType.CONNECTION, about, conn=9, at_ns=at_ns)
    found = read_run_records(writer.end())
    assert (1, second) == (found.outages, found.outage_ns)
    assert {"feed 1: gone": 1} == found.reasons["lost"]
