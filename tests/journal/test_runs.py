"""Where runs lie and which one a DIR means."""

from collections.abc import Callable
from pathlib import Path

import pytest

from journal.errors import NoJournal
from journal.runs import create_run, find_run, list_runs
from journal.writer import Journal

START_NS = 1_723_075_200_987_654_321  # 2024-08-08 00:00:00.987654321 UTC


def with_journal(folder: Path) -> Path:
    Journal(folder, {}, record_segment_bytes=8192).close()
    return folder


def test_a_run_is_named_by_its_start_in_utc(tmp_path: Path) -> None:
    """To the millisecond, rounded down, so that names sort by time."""
    assert tmp_path / "btc" / "20240808T000000.987Z" == create_run(tmp_path / "btc", START_NS)


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    """A second start in the same millisecond is refused."""
    create_run(tmp_path, START_NS)
    with pytest.raises(FileExistsError):
        create_run(tmp_path, START_NS + 1)


def test_runs_are_listed_oldest_first_and_only_with_a_journal(tmp_path: Path) -> None:
    """A folder that was made but never written to is no run yet; files are none either."""
    later, earlier = (with_journal(create_run(tmp_path, START_NS + ns)) for ns in (86_400 * 10**9, 0))
    create_run(tmp_path, START_NS + 1_000_000)
    (tmp_path / "notes.txt").write_text("x")
    assert [earlier, later] == list_runs(tmp_path)
    assert [] == list_runs(tmp_path / "nowhere")


def test_a_dir_means_itself_or_its_latest_run(tmp_path: Path) -> None:
    """So a command takes either."""
    first = with_journal(create_run(tmp_path, START_NS))
    last = with_journal(create_run(tmp_path, START_NS + 10**9))
    assert (first, last) == (find_run(first), find_run(tmp_path))


def test_a_run_whose_beginning_was_deleted_is_still_a_run(run: Path, write: Callable[..., Journal]) -> None:
    """Retention deletes the oldest segments first."""
    journal = write(rows={})
    for _ in range(3):
        journal.records.append(3, 1, 1, 1, bytes(3000))
    journal.close()
    (run / "records-000000.wsj").unlink()
    assert run == find_run(run) == find_run(run.parent)


@pytest.mark.parametrize(("name", "reason"), [("", "holds no journal"), ("nowhere", "is not a folder")])
def test_a_dir_without_a_journal_is_an_error_that_says_so(tmp_path: Path, name: str, reason: str) -> None:
    """The message says what was expected."""
    with pytest.raises(NoJournal, match=f"{reason}: expected a run, or a folder of runs"):
        find_run(tmp_path / name)


def test_folders_of_runs_inside_are_named(tmp_path: Path) -> None:
    """A demo's folder holds a trader's runs and a capture's: which of them is for the person to say."""
    for name in ("demo", "monitor"):
        with_journal(create_run(tmp_path / name, START_NS))
    (tmp_path / "sandbox").mkdir()
    with pytest.raises(NoJournal, match=r"; there are runs in its demo and monitor$"):
        find_run(tmp_path)
