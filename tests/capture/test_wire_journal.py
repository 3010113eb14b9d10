"""The agent's journal: a run of its own, records that say what was captured, rows as they were given."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture.streams import Opened
from capture.wire_journal import _BOOT_ID, WireJournal
from journal.layout import RecordType
from journal.reader import read_records, read_rows
from journal.retention import Retention
from journal.wire import LOSS, PACKET, WIRE_LOGS

NOW_NS = 1_700_000_000_123_456_789


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WireJournal]:
    """A journal that has just begun, with small segments."""
    monkeypatch.setattr("capture.wire_journal._SEGMENT_BYTES", 1 << 16)
    journal = WireJournal(tmp_path / "captures", NOW_NS, Retention(None))
    yield journal
    journal.close()


def said(journal: WireJournal, kind: RecordType) -> list[Any]:
    """Return the payloads of the records of a kind."""
    return [json.loads(record.payload) for record in read_records(journal.folder) if record.type is kind]


def test_a_run_is_named_by_its_start(journal: WireJournal, tmp_path: Path) -> None:
    """And holds every log of a capture."""
    assert tmp_path / "captures" / "20231114T221320.123Z" == journal.folder
    assert [[]] * len(WIRE_LOGS) == [
        [len(rows) for rows in read_rows(journal.folder, log) if len(rows)] for log in WIRE_LOGS
    ]
    assert None is journal.failure()
    assert [] == journal.news()


@pytest.mark.parametrize("own_clock", [True, False])
def test_the_machine_is_told_only_where_its_clock_stamps(journal: WireJournal, own_clock: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A file's packets were stamped by nobody knows whose: it must not pass for the trader's clock."""
    journal.configuration(NOW_NS, {"source": Path("a.pcap"), "ports": (1, 2)}, own_clock=own_clock)
    (payload,) = said(journal, RecordType.CONFIG)
    assert {"source": "a.pcap", "ports": [1, 2]} == payload["capture"]
    assert (_BOOT_ID.read_text().strip() if own_clock else None) == payload["boot_id"]
    assert {"wirestamp", "python", "kernel"} < payload.keys()


def test_records(journal: WireJournal) -> None:
    """Connections, counts, the clock and the end, each at its time."""
    journal.opened(Opened(7, "10.0.0.1:1", "[::1]:2", 4242, NOW_NS + 1))
    journal.counts(NOW_NS + 2, {"packets": 3, "passed_over": {"ARP": 1}})
    clock_ns = journal.clock()
    journal.end(NOW_NS + 3, "asked to stop")
    records = list(read_records(journal.folder))
    assert [(RecordType.CONNECTION, 7, NOW_NS + 1), (RecordType.COUNTS, 0, NOW_NS + 2)] == [
        (record.type, record.conn, record.time_ns) for record in records[:2]
    ]
    assert {"event": "open", "a": "10.0.0.1:1", "b": "[::1]:2", "tunnel": 4242} == json.loads(records[0].payload)
    assert [{"packets": 3, "passed_over": {"ARP": 1}}] == said(journal, RecordType.COUNTS)
    (clock,) = said(journal, RecordType.CLOCK)
    assert clock_ns == clock["realtime_ns"] == records[2].time_ns
    assert [{"reason": "asked to stop"}] == said(journal, RecordType.END)


def test_rows(journal: WireJournal) -> None:
    """Packets and losses in bulk, probes one by one; seals are the journal's own business."""
    packets, losses = np.zeros(5, PACKET), np.zeros(2, LOSS)
    packets["position"], losses["size"] = np.arange(5), [3, 4]
    journal.packets(packets)
    journal.losses(losses)
    journal.packets(packets[:0])
    journal.probe(9, 1, 2, 3, 4)
    journal.nic(1, 5, 6, 6, 7)
    found = {log: np.concatenate(read_rows(journal.folder, log)) for log in WIRE_LOGS}
    assert [0, 1, 2, 3, 4] == found["packets"]["position"].tolist()
    assert [3, 4] == found["losses"]["size"].tolist()
    assert [(9, 1, 2, 3, 4)] == [row[1:] for row in found["probes"].tolist()]
    assert [(1, 5, 6, 6, 7)] == [row[1:] for row in found["nic"].tolist()]


def test_what_goes_wrong_in_the_background_is_told_once(journal: WireJournal) -> None:
    """Whoever asks again hears of the next."""
    journal._journal.troubles.append("OSError: something")
    assert ["OSError: something"] == journal.news()
    assert [] == journal.news()
