"""Journals small enough to roll often."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal.writer import Journal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty run."""
    folder = tmp_path / "runs" / "20260101T000000.000Z"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def write(run: Path) -> Iterator[Callable[..., Journal]]:
    """Open the run's journal, its segments two pages each; it is closed at the end where the test has not done so."""
    journals: list[Journal] = []

    def open_journal(**options: object) -> Journal:
        sizes: dict[str, object] = {"record_segment_bytes": 8192, "row_segment_bytes": 8192}
        journals.append(Journal(run, **(sizes | options)))  # type: ignore[arg-type]
        return journals[-1]

    yield open_journal
    for journal in journals:
        if journal._pool._shutdown is False:
            journal.close()
