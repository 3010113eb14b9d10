"""Appending: limits, stalls, a full disk, and SIGKILL at any instant."""

import json
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from journal.errors import JournalError, JournalFull
from journal.layout import PAGE_BYTES, RECORD_HEADER_BYTES, ROW_LOGS, TRANSMITTED, RecordType
from journal.reader import read_records, read_rows
from journal.writer import Journal

CHILD = Path(__file__).with_name("writing_child.py")
payloads: Callable[[], Iterator[bytes]] = runpy.run_path(str(CHILD))["payloads"]
LARGEST = 8192 - PAGE_BYTES - RECORD_HEADER_BYTES


@pytest.mark.parametrize("sizes", [[LARGEST], [1, LARGEST], [LARGEST, 1], [LARGEST - 8, 1], [0] * 500])
def test_records_up_to_a_whole_segment_fit(run: Path, write: Callable[..., Journal], sizes: list[int]) -> None:
    """Whatever was there before, and to the last byte."""
    journal = write(rows={})
    for trace, size in enumerate(sizes):
        journal.records.append(RecordType.INBOUND, trace, 1, 1, bytes([1]) * size)
    journal.close()
    assert list(enumerate(sizes)) == [(record.trace, len(record.payload)) for record in read_records(run)]


def test_a_record_that_no_segment_can_hold_is_refused(run: Path, write: Callable[..., Journal]) -> None:
    """And changes nothing: the next one goes where it would have gone."""
    journal = write(rows={})
    with pytest.raises(JournalError, match="a record of 4,057 bytes does not fit a segment of 8,192"):
        journal.records.append(RecordType.INBOUND, 1, 1, 1, bytes(LARGEST + 1))
    journal.records.append(RecordType.INBOUND, 2, 1, 1, b"small")
    assert [2] == [record.trace for record in read_records(run)]
    assert 0 == journal.stalls


@pytest.mark.parametrize("fields", [(2**64, 1, 1), (1, 2**63, 1), (1, 1, 2**32), (-1, 1, 1)])
def test_a_record_whose_fields_do_not_fit_is_refused(
    run: Path, write: Callable[..., Journal], fields: tuple[int, int, int]
) -> None:
    """Nothing of it is seen, and what follows is whole."""
    journal = write(rows={})
    with pytest.raises(Exception, match=r"argument|int too large|format requires|can't convert"):
        journal.records.append(RecordType.INBOUND, *fields, b"refused" * 100)
    journal.records.append(RecordType.INBOUND, 2, 1, 1, b"")
    journal.records.append(RecordType.INBOUND, 3, 1, 1, b"")
    assert [2, 3] == [record.trace for record in read_records(run)]


def test_a_run_is_never_written_twice(run: Path, write: Callable[..., Journal]) -> None:
    """A second writer is refused and the first one's records stay."""
    journal = write()
    journal.records.append(RecordType.INBOUND, 1, 1, 1, b"first")
    with pytest.raises(FileExistsError):
        Journal(run)
    assert [b"first"] == [record.payload for record in read_records(run)]


def test_an_append_that_waits_for_its_segment_is_counted(write: Callable[..., Journal]) -> None:
    """The background thread is held up; the second roll has to wait for it."""
    journal = write(rows={})
    gate = threading.Event()
    journal._pool.submit(int).result()
    journal._pool.submit(gate.wait)
    journal.records.append(RecordType.INBOUND, 1, 1, 1, bytes(LARGEST))
    journal.records.append(RecordType.INBOUND, 2, 1, 1, bytes(LARGEST))
    assert 0 == journal.stalls
    waiting = threading.Thread(target=journal.records.append, args=(RecordType.INBOUND, 3, 1, 1, bytes(LARGEST)))
    waiting.start()
    deadline = time.monotonic() + 10
    while not journal.stalls and time.monotonic() < deadline:
        os.sched_yield()
    gate.set()
    waiting.join()
    assert 1 == journal.stalls


def test_closing_leaves_only_what_was_used(run: Path, write: Callable[..., Journal]) -> None:
    """The prepared segments go, and the disk gets the unused pages back."""
    journal = write(record_segment_bytes=1 << 20)
    journal.records.append(RecordType.INBOUND, 1, 1, 1, b"x")
    journal.close()
    assert sorted([f"{log}-000000.wsj" for log in ("records", *ROW_LOGS)]) == sorted(
        each.name for each in run.iterdir()
    )
    assert 2 * PAGE_BYTES == (run / "records-000000.wsj").stat().st_blocks * 512


def start(run: Path, what: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, CHILD, what, run], stdout=subprocess.PIPE)


@pytest.mark.parametrize("seed", range(20))
def test_sigkill_loses_no_record_that_was_appended(run: Path, seed: int) -> None:
    """Killed at a random instant: every reported record and row reads back, nothing is corrupt, nothing is invented."""
    reports = random.Random(seed).randrange(1, 3000)
    child = start(run, "forever")
    assert child.stdout is not None
    try:
        child.stdout.read(8 * reports)
    finally:
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
    reported = reports + len(rest) // 8
    records = list(read_records(run))
    rows = [row for segment in read_rows(run, "transmitted") for row in segment["off"].tolist()]
    assert reported <= len(records) <= reported + 1
    assert reported <= len(rows) <= len(records)
    assert list(range(len(rows))) == rows
    assert list(islice(payloads(), len(records))) == [record.payload for record in records]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 640 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_an_error_that_is_known_in_advance(small_disk: Path) -> None:
    """Two segments of 256 KiB fit. The warning comes when the second is begun; no store dies of SIGBUS."""
    run = small_disk / "run"
    run.mkdir()
    child = start(run, "full")
    out, _ = child.communicate(timeout=60)
    assert 0 == child.returncode
    seen = json.loads(out)
    assert re.fullmatch(
        rf"cannot allocate 262,144 bytes for {run}/records-000002\.wsj: No space left on device", seen["error"]
    )
    assert seen["error"] == seen["warning"]
    assert seen["appended"] == seen["full_at"]
    assert seen["full_at"] - seen["warned_at"] > 100
    assert seen["refused_again"]
    records = list(read_records(run))
    assert list(islice(payloads(), seen["appended"])) == [record.payload for record in records]
    assert ["records-000000.wsj", "records-000001.wsj"] == sorted(path.name for path in run.iterdir())


def test_a_disk_without_room_for_the_first_segments_is_refused_at_the_start(small_disk: Path) -> None:
    """Before anything is traded."""
    run = small_disk / "run"
    run.mkdir()
    with pytest.raises(JournalFull, match="No space left on device"):
        Journal(run)


def test_rows_appended_together_are_those_appended_one_by_one(run: Path, write: Callable[..., Journal]) -> None:
    """Over several segments, with single ones in between."""
    journal = write()
    fields = [(number, number * 3, number % 5, number % 3, number - 7) for number in range(1000)]
    rows = np.array([(0, off, conn, event, time_ns) for _, off, conn, event, time_ns in fields], TRANSMITTED)
    log = journal.rows["transmitted"]
    log.extend(rows[:0])
    log.extend(rows[:10])
    log.append(*(int(rows[10][name]) for name in ("off", "conn", "event", "time")))
    log.extend(rows[11:])
    journal.close()
    read = np.concatenate(read_rows(run, "transmitted"))
    for name in ("off", "conn", "event", "time"):
        assert rows[name].tolist() == read[name].tolist()
