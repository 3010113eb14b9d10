"""`wirestamp review`: a run's journal, and what a capture saw of it, summed up as a table or as one JSON object."""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from journal.errors import Corrupt, NoJournal
from journal.runs import find_run
from review.records import Unreadable
from review.summary import summarise
from review.terminal import render


def review_run(directory: Path, monitors: Sequence[Path] = (), *, as_json: bool) -> int:
    """Print the review of a run.

    Args:
        directory: a run, or a folder of runs, of which the latest is meant.
        monitors: captures of its packets, likewise.
        as_json: print one JSON object instead of a table.

    Returns:
        The exit status: 0 done, 2 when there is no journal, 4 when what is there is not what was written,
        1 when it cannot be read.
    """
    try:
        run = find_run(directory)
        with Console(stderr=True).status(f"reading {run} ..."):
            review = summarise(run, [find_run(monitor) for monitor in monitors])
    except NoJournal as error:
        return _fail(error, 2)
    except (Corrupt, Unreadable) as error:
        return _fail(error, 4)
    except OSError as error:
        return _fail(error, 1)
    if as_json:
        sys.stdout.write(msgspec.json.encode(review).decode() + "\n")
    else:
        render(review, Console())
    return 0


def _fail(error: Exception, status: int) -> int:
    print(f"wirestamp review: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
    return status
