"""`wirestamp review`: a run's journal, and what a capture saw of it, summed up as a table or as one JSON object."""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from journal.errors import Corrupt, NoJournal
from review.monitor import DifferentClocks
from review.records import Unreadable
from review.summary import summarise
from review.terminal import render
from wirestamp.directories import capture_runs, trader_run
from wirestamp.failing import fail


def review_run(directory: Path, monitors: Sequence[Path] = (), *, as_json: bool) -> int:
    """Print the review of a run.

    Args:
        directory: a run, or a folder of runs, of which the latest is meant.
        monitors: captures of its packets, likewise.
        as_json: print one JSON object instead of a table.

    Returns:
        The exit status: 0 done, 2 when there is no journal of its kind, 4 when what is there is not what was written,
        1 when it cannot be read.
    """
    try:
        run, captures = trader_run(directory), capture_runs(monitors)
        with Console(stderr=True).status("reading ..."):
            review = summarise(run, captures)
    except (NoJournal, DifferentClocks) as error:
        return fail("review", error, 2)
    except (Corrupt, Unreadable) as error:
        return fail("review", error, 4)
    except OSError as error:
        return fail("review", error, 1)
    if as_json:
        sys.stdout.write(msgspec.json.encode(review).decode() + "\n")
    else:
        render(review, Console())
    return 0
