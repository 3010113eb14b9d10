"""`wirestamp review` finds the run, prints it, and says what is wrong with a status that is true."""

import json
from pathlib import Path

import pytest

from journal.layout import PAGE_BYTES, RecordType
from journal.runs import create_run
from journal.wire import WIRE_LOGS
from journal.writer import Journal
from wirestamp.reviewing import review_run

CONFIG = b'{"config":{"trader":{"name":"t","loop":"spin"}}}'


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A trader's folder with two runs of one record each."""
    for start_s in (100, 200):
        journal = Journal(
            create_run(tmp_path / "t", start_s * 10**9), record_segment_bytes=8192, row_segment_bytes=8192
        )
        journal.records.append(RecordType.CONFIG, 0, start_s * 10**9, 0, CONFIG)
        journal.close()
    return tmp_path / "t"


def test_json_is_one_object_on_standard_output(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The latest run of the folder, and nothing beside it."""
    assert 0 == review_run(runs, as_json=True)
    out, error = capsys.readouterr()
    assert str(runs / "19700101T000320.000Z") == json.loads(out)["run"]["folder"]
    assert (1, "") == (out.count("\n"), error)


def test_a_run_may_be_named_itself(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then it need not be the latest."""
    assert 0 == review_run(runs / "19700101T000140.000Z", as_json=False)
    assert "1970-01-01 00:01:40.000 UTC" in capsys.readouterr().out


def test_a_folder_without_a_journal_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names it; nothing is printed that looks like a review."""
    assert 2 == review_run(tmp_path / "missing", as_json=True)
    out, error = capsys.readouterr()
    assert "" == out
    assert f"{tmp_path / 'missing'} is not a folder" in error


def test_corruption_is_a_failed_check(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the file and the byte."""
    path = runs / "19700101T000320.000Z" / "records-000000.wsj"
    content = bytearray(path.read_bytes())
    content[PAGE_BYTES + 45] ^= 1
    path.write_bytes(content)
    assert 4 == review_run(runs, as_json=True)
    out, error = capsys.readouterr()
    assert "" == out
    assert f"{path} is corrupt at byte {PAGE_BYTES}" in error


def test_a_capture_is_reviewed_with_its_trader_only(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given alone, in the wrong place, or with another machine's: status 2 and what was expected."""
    captures = [capture(runs.parent / name, name) for name in ("one", "two")]
    assert 2 == review_run(captures[0], as_json=True)
    assert 2 == review_run(captures[0], [runs], as_json=True)
    assert 2 == review_run(runs, [runs], as_json=True)
    assert 2 == review_run(runs, captures, as_json=True)
    out, error = capsys.readouterr()
    alone, swapped, twice, different = error.splitlines()
    assert "" == out
    order = "expected the trader's folder first, then those of captures: TRADER_DIR MONITOR_DIR"
    assert (
        alone == swapped == f"wirestamp review: {captures[0]}/19700101T000500.000Z is the journal of a capture; {order}"
    )
    assert f"wirestamp review: {runs}/19700101T000320.000Z is the journal of a trader; {order}" == twice
    assert "made by different clocks, so review them one by one" in different
    assert 0 == review_run(runs, captures[:1], as_json=True)


def capture(folder: Path, boot_id: str) -> Path:
    """Write a capture without a packet; return the folder of its runs."""
    journal = Journal(create_run(folder, 300 * 10**9), WIRE_LOGS, record_segment_bytes=8192, row_segment_bytes=8192)
    payload = json.dumps({"capture": {"source": "lo"}, "boot_id": boot_id}).encode()
    journal.records.append(RecordType.CONFIG, 0, 300 * 10**9, 0, payload)
    journal.close()
    return folder
