"""`wirestamp export` into what takes no more: it says so or is silent, and the interpreter adds nothing of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from journal.layout import RecordType
from journal.runs import create_run
from journal.writer import Journal

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trader's run in which nothing happened."""
    folder = create_run(tmp_path, NOW_NS)
    journal = Journal(folder, record_segment_bytes=8192, row_segment_bytes=8192)
    config = {"config": {"trader": {"name": "t", "loop": "uvloop"}}}
    journal.records.append(RecordType.CONFIG, 0, NOW_NS, 0, json.dumps(config).encode())
    journal.close()
    return folder


@pytest.mark.parametrize(
    ("disk_is_full", "error"), [(False, ""), (True, "wirestamp export: standard output: No space left on device\n")]
)
def test_standard_output_that_takes_no_more(run: Path, error: str, *, disk_is_full: bool) -> None:
    """A reader that has left, as `| head` does, is no fault; a full disk is."""
    reading, writing = os.pipe()
    os.close(reading)
    if disk_is_full:
        os.close(writing)
        writing = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-m", "wirestamp", "export", str(run), "--to", "perfetto"]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (1, error) == (done.returncode, done.stderr)
