"""What the folders mean that a command is given: the run of a trader, and the runs of captures of its packets.

A folder of runs stands for the latest of them. Whoever confuses the two kinds is told which is which.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from journal.errors import NoJournal
from journal.layout import ROW_LOGS, SUFFIX
from journal.runs import find_run
from journal.wire import WIRE_LOGS

_ORDER = "expected the trader's folder first, then those of captures: TRADER_DIR MONITOR_DIR"


def trader_run(directory: Path) -> Path:
    """Return the run of a trader that a folder means.

    Raises:
        NoJournal: there is none, or it is a capture's.
    """
    run = find_run(directory)
    if _holds(run, WIRE_LOGS):
        raise NoJournal(f"{run} is the journal of a capture; {_ORDER}")
    return run


def capture_runs(directories: Sequence[Path]) -> list[Path]:
    """Return the runs of captures that some folders mean, each once.

    Raises:
        NoJournal: one of them holds none, or a trader's.
    """
    return list(dict.fromkeys(map(_capture_run, directories)))


def _capture_run(directory: Path) -> Path:
    try:
        run = find_run(directory)
    except NoJournal as error:
        what = "holds no journal" if directory.is_dir() else "is not a folder"
        raise NoJournal(f"{directory} {what}: expected a capture's run, or the folder of its runs") from error
    if _holds(run, ROW_LOGS):
        raise NoJournal(f"{run} is the journal of a trader; {_ORDER}")
    return run


def _holds(run: Path, logs: Iterable[str]) -> bool:
    return any(any(run.glob(f"{log}-*{SUFFIX}")) for log in logs)
