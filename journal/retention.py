"""What to delete when journals grow old or large. The choice is pure; `Retention.apply` carries it out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from journal.layout import SUFFIX


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment file as retention sees it: its size on disk and when it was last written, ns."""

    path: Path
    size_bytes: int
    written_ns: int


def expired(
    segments: Sequence[Kept], now_ns: int, max_bytes: int | None = None, max_age_ns: int | None = None
) -> list[Path]:
    """Choose what to delete, oldest first: all that is too old, then as much as is too much.

    Args:
        segments: closed segments of all runs, in any order; never one that is being written.
        now_ns: the present time, ns.
        max_bytes: the most that all of them together may take, None for no limit.
        max_age_ns: the age from which one is deleted, None for no limit.

    Returns:
        The files to delete.
    """
    doomed = []
    total = sum(segment.size_bytes for segment in segments)
    for segment in sorted(segments, key=lambda each: (each.written_ns, each.path)):
        too_old = max_age_ns is not None and now_ns - segment.written_ns > max_age_ns
        too_much = max_bytes is not None and total > max_bytes
        if not (too_old or too_much):
            break
        doomed.append(segment.path)
        total -= segment.size_bytes
    return doomed


@dataclass(frozen=True, slots=True)
class Retention:
    """A rule for the folder of runs that a run lies in; None means no limit.

    One writer at a time has such a folder: nothing tells what another one that runs beside it still needs.
    """

    max_bytes: int | None = None
    max_age_ns: int | None = None

    def apply(self, current: Path) -> list[Path]:
        """Delete what the rule no longer keeps, and runs that are empty then.

        Args:
            current: the run being written; the last two segments of each of its logs are in use and stay.

        Returns:
            What was deleted.
        """
        in_use: set[Path] = set()
        by_log: dict[str, list[Path]] = {}
        for path in sorted(current.glob(f"*{SUFFIX}")):
            by_log.setdefault(path.name.rpartition("-")[0], []).append(path)
        for chain in by_log.values():
            in_use.update(chain[-2:])
        segments = [
            Kept(path, status.st_blocks * 512, status.st_mtime_ns)
            for path in current.parent.glob(f"*/*{SUFFIX}")
            if path not in in_use
            for status in [path.stat()]
        ]
        doomed = expired(segments, time.time_ns(), self.max_bytes, self.max_age_ns)
        for path in doomed:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in doomed} - {current}:
            if not any(folder.iterdir()):
                folder.rmdir()
        return doomed
