"""Folders mean the latest run in them, and are told apart by what they hold."""

from collections.abc import Callable
from pathlib import Path

import pytest

from journal.errors import NoJournal
from journal.layout import ROW_LOGS
from journal.runs import create_run
from journal.wire import WIRE_LOGS
from journal.writer import Journal
from wirestamp.directories import capture_runs, trader_run

Make = Callable[[str, int], Path]
KINDS = {"trader": ROW_LOGS, "capture": WIRE_LOGS}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a run of a kind that started at this second; return it."""

    def run(kind: str, start_s: int) -> Path:
        folder = create_run(tmp_path / kind, start_s * 10**9)
        Journal(folder, KINDS[kind], record_segment_bytes=8192, row_segment_bytes=8192).close()
        return folder

    return run


def test_the_latest_run_is_meant(make: Make) -> None:
    """Of both kinds, whatever was made last; a run that is named itself is meant itself."""
    late, early = make("trader", 200), make("trader", 100)
    captured = [make("capture", second) for second in (7, 9, 8)]
    assert late == trader_run(late.parent)
    assert early == trader_run(early)
    assert [captured[1]] == capture_runs([captured[0].parent])
    assert [captured[2]] == capture_runs([captured[2]])


def test_a_capture_that_is_given_twice_counts_once(make: Make) -> None:
    """Its packets were seen once."""
    run = make("capture", 1)
    assert [run] == capture_runs([run, run.parent, run])


def test_a_capture_is_no_trader(make: Make) -> None:
    """What it is, and what was expected in its place."""
    run = make("capture", 1)
    with pytest.raises(NoJournal) as caught:
        trader_run(run.parent)
    assert (
        f"{run} is the journal of a capture; expected the trader's folder first, then those of captures: "
        "TRADER_DIR MONITOR_DIR"
    ) == str(caught.value)


def test_a_trader_is_no_capture(make: Make) -> None:
    """The same the other way round."""
    run = make("trader", 1)
    with pytest.raises(NoJournal, match="is the journal of a trader; expected the trader's folder first"):
        capture_runs([run.parent])


def test_a_folder_of_neither(tmp_path: Path) -> None:
    """The words fit the place that it was given in."""
    with pytest.raises(NoJournal, match="holds no journal: expected a run, or a folder of runs"):
        trader_run(tmp_path)
    with pytest.raises(NoJournal, match="holds no journal: expected a capture's run, or the folder of its runs"):
        capture_runs([tmp_path])
    with pytest.raises(NoJournal, match="nowhere is not a folder: expected a capture's run"):
        capture_runs([tmp_path / "nowhere"])
