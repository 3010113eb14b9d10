"""REST requests of a whole run: each is a stamped message on a connection whose begin and end are told."""

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from journal.layout import ABSENT, MessageKind, RecordType, TxEvent
from journal.reader import read_records, read_rows


class DemoRun(Protocol):
    """A finished demo (conftest.py)."""

    folder: Path
    review: dict[str, Any]


def rest_rows(run: Path, log: str) -> np.ndarray:
    """Return the rows of REST messages of a log."""
    rows = np.concatenate(read_rows(run, log))
    return rows[rows["kind"] == MessageKind.REST]


def test_requests_and_replies_are_stamped(spot_run: DemoRun) -> None:
    """One for the instrument, one for the book's snapshot; on the wire before the reply, and nothing out of order."""
    sent, received = (rest_rows(spot_run.folder, log) for log in ("sent", "received"))
    assert 2 == len(sent)
    assert sent["conn"].tolist() == received["conn"].tolist()
    transmitted = np.concatenate(read_rows(spot_run.folder, "transmitted"))
    drivers = transmitted[transmitted["event"] == TxEvent.DRIVER]
    for request, reply in zip(sent, received, strict=True):
        (driver,) = drivers[(drivers["conn"] == request["conn"]) & (drivers["off"] == request["off"])]
        assert reply["kernel_rx"] != ABSENT
        chain = [request["written"], driver["time"], reply["kernel_rx"], reply["read"], reply["decoded"]]
        assert chain == sorted(chain)
    assert 0 == spot_run.review["stamps"]["order_violations"]


def test_the_snapshots_trace_leads_to_its_cause_and_its_reply(spot_run: DemoRun) -> None:
    """What made the feed ask is an input before it; the reply is an input as well, the instrument's is none."""
    records = [record for record in read_records(spot_run.folder) if record.type is RecordType.REPLY]
    assert [record.trace for record in records] == rest_rows(spot_run.folder, "received")["trace"].tolist()
    assert 0 == records[0].trace
    first, snapshot = rest_rows(spot_run.folder, "sent")["trace"].tolist()
    assert 0 == first
    assert 0 < snapshot < records[1].trace


def test_requests_and_connections_are_recorded(spot_run: DemoRun) -> None:
    """The request's line and no more; both connections with addresses and TLS, and their ends."""
    records = list(read_records(spot_run.folder))
    replies = {record.conn for record in records if record.type is RecordType.REPLY}
    lines = [record.payload for record in records if record.type is RecordType.OUTBOUND and record.conn in replies]
    assert [b"GET /api/v3/exchangeInfo", b"GET /api/v3/depth"] == [line.partition(b"?")[0] for line in lines]
    told: dict[int, list[Any]] = {conn: [] for conn in replies}
    for record in records:
        if record.type is RecordType.CONNECTION and record.conn in replies:
            told[record.conn].append(json.loads(record.payload))
    for begin, end in told.values():
        assert ("open", "rest", "TLSv1.3") == (begin["event"], begin["role"], begin["tls"])
        assert {"local", "remote", "cipher", "url"} <= begin.keys()
        assert ("closed", "rest") == (end["event"], end["role"])
