"""What is deleted when journals grow old or large, and what never is."""

import os
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from journal.layout import RecordType
from journal.reader import read_records
from journal.retention import Kept, Retention, expired
from journal.writer import Journal

limits = st.none() | st.integers(0, 500)


@given(
    segments=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=20),
    max_bytes=limits,
    max_age_ns=limits,
)
def test_deletes_the_oldest_and_no_more_than_needed(
    segments: list[tuple[int, int]], max_bytes: int | None, max_age_ns: int | None
) -> None:
    """What stays satisfies both limits; had the youngest of the doomed stayed, one would be broken."""
    kept = [Kept(Path(f"{i:02}"), size, written) for i, (size, written) in enumerate(segments)]
    doomed = expired(kept, 120, max_bytes, max_age_ns)
    by_age = sorted(kept, key=lambda each: (each.written_ns, each.path))
    rest = by_age[len(doomed) :]
    assert [each.path for each in by_age[: len(doomed)]] == doomed
    assert max_bytes is None or sum(each.size_bytes for each in rest) <= max_bytes
    assert max_age_ns is None or all(120 - each.written_ns <= max_age_ns for each in rest)
    if doomed:
        last = by_age[len(doomed) - 1]
        too_much = max_bytes is not None and last.size_bytes + sum(each.size_bytes for each in rest) > max_bytes
        assert too_much or (max_age_ns is not None and 120 - last.written_ns > max_age_ns)


def fill(journal: Journal, segments: int) -> None:
    """Append records until the journal writes to its segment of this number, from 0."""
    for _ in range(segments + 1):
        journal.records.append(RecordType.INBOUND, 1, 1, 1, bytes(4000))
    journal._pool.submit(int).result()  # what was handed to the background is done


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_two_last_segments_of_the_current_run_always_stay(run: Path, write: Callable[..., Journal]) -> None:
    """One is being written, the other is the next."""
    journal = write(rows={}, retention=Retention(max_bytes=0))
    fill(journal, 4)
    assert 6 == len(names(run))
    journal.retain()
    journal._pool.submit(int).result()
    assert ["records-000004.wsj", "records-000005.wsj"] == names(run)


def test_what_stays_reads_on_without_a_hole(run: Path, write: Callable[..., Journal]) -> None:
    """Segments of 8 KiB each: a limit of 16 KiB for the closed ones keeps two of four."""
    journal = write(rows={}, retention=Retention(max_bytes=2 * 8192))
    fill(journal, 4)
    journal.retain()
    journal._pool.submit(int).result()
    assert [f"records-00000{i}.wsj" for i in (2, 3, 4, 5)] == names(run)
    assert 3 == len(list(read_records(run)))


def test_older_runs_go_first_and_their_folders_with_them(run: Path, write: Callable[..., Journal]) -> None:
    """Also what a killed writer had not finished making; a folder with anything else in it stays."""
    old, other = run.parent / "20250101T000000.000Z", run.parent / "20250102T000000.000Z"
    for folder in (old, other):
        folder.mkdir()
        journal = Journal(folder, {}, record_segment_bytes=8192)
        fill(journal, 1)
        journal.close()
        for path in folder.iterdir():
            os.utime(path, (1, 1))
    (old / "new-records-000002.wsj").write_bytes(bytes(8192))
    os.utime(old / "new-records-000002.wsj", (1, 1))
    (other / "note.txt").write_text("mine")
    journal = write(rows={}, retention=Retention(max_age_ns=3600 * 10**9))
    fill(journal, 1)
    deleted = Retention(max_age_ns=3600 * 10**9).apply(run)
    assert 5 == len(deleted)
    assert not old.exists()
    assert ["note.txt"] == names(other)
    assert [f"records-00000{i}.wsj" for i in (0, 1, 2)] == names(run)


def test_age_counts_from_the_last_append_not_from_the_allocation(run: Path, write: Callable[..., Journal]) -> None:
    """A segment that took long to fill is as old as its last record."""
    journal = write(rows={})
    for path in run.iterdir():
        os.utime(path, (1, 1))
    fill(journal, 3)
    assert [] == Retention(max_age_ns=3600 * 10**9).apply(run)


def test_without_a_rule_nothing_is_deleted(run: Path, write: Callable[..., Journal]) -> None:
    """The default."""
    journal = write(rows={})
    fill(journal, 3)
    journal.retain()
    assert [] == Retention().apply(run)
    journal.close()
    assert 4 == len(names(run))
