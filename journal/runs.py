"""Where journals lie: each start of a trader or a capture makes a run, a folder named by its start, UTC."""

from datetime import UTC, datetime
from pathlib import Path

from journal.errors import NoJournal
from journal.layout import RECORDS, segment_name


def create_run(parent: Path, start_ns: int) -> Path:
    """Make the folder of a new run.

    Args:
        parent: the folder of runs, a trader's `DATA_DIR/NAME`; made when missing.
        start_ns: CLOCK_REALTIME at the start, ns; the folder is named by it, to the millisecond, in UTC.

    Returns:
        The new folder.

    Raises:
        FileExistsError: a run with this start is there already.
    """
    start = datetime.fromtimestamp(start_ns // 1_000_000_000, UTC)
    folder = parent / f"{start:%Y%m%dT%H%M%S}.{start_ns // 1_000_000 % 1000:03d}Z"
    folder.mkdir(parents=True)
    return folder


def list_runs(parent: Path) -> list[Path]:
    """Return the runs in a folder of runs, oldest first."""
    if not parent.is_dir():
        return []
    return sorted(child for child in parent.iterdir() if child.is_dir() and any(child.glob(f"{RECORDS}-*")))


def find_run(folder: Path) -> Path:
    """Return the run that a command's DIR means: the folder itself, or the latest run in it.

    Raises:
        NoJournal: neither the folder nor a folder in it holds a journal.
    """
    if any(folder.glob(segment_name(RECORDS, 0).replace("000000", "*"))):
        return folder
    runs = list_runs(folder)
    if not runs:
        what = "holds no journal" if folder.is_dir() else "is not a folder"
        inside = [child.name for child in sorted(folder.glob("*")) if list_runs(child)]
        hint = f"; there are runs in its {' and '.join(inside)}" if inside else ""
        raise NoJournal(f"{folder} {what}: expected a run, or a folder of runs{hint}")
    return runs[-1]
