"""`wirestamp replay`: says whether a run's journal leads to the same intents again."""

import sys
from pathlib import Path

from rich.console import Console

from bot.errors import TraderError
from bot.orders.records import Intent
from bot.replay import Difference, replay
from journal.errors import Corrupt, JournalError, NoJournal
from wirestamp.directories import trader_run

_SHOWN = 5


def replay_run(directory: Path) -> int:
    """Replay a run and say what came of it.

    Args:
        directory: a run, or a folder of runs, then its latest.

    Returns:
        The exit status: 0 when the intents are the same, 4 when they are not or the journal is corrupt, 2 when there is
        no journal, 1 else.
    """
    console = Console(highlight=False)
    try:
        run = trader_run(directory)
        outcome = replay(run)
    except Corrupt as error:
        return _fail(error, 4)
    except NoJournal as error:
        return _fail(error, 2)
    except (JournalError, TraderError, OSError) as error:
        return _fail(error, 1)
    console.print(f"{run.name}: {outcome.inputs:,} inputs consumed again")
    for difference in outcome.differences[:_SHOWN]:
        console.print(f"  {_described(difference)}")
    if outcome.differences:
        more = len(outcome.differences) - _SHOWN
        if more > 0:
            console.print(f"  and {more:,} more")
        return _fail(f"{len(outcome.differences):,} intents differ, {outcome.intents:,} are the same", 4)
    console.print(f"all {outcome.intents:,} intents are the same")
    if not outcome.complete:
        unsent = f"; {outcome.unsent} decided but not yet written down, so never sent" if outcome.unsent else ""
        console.print(f"the run did not end in order: replayed up to its last committed record{unsent}")
    return 0


def _described(difference: Difference) -> str:
    recorded, reached = _intent(difference.recorded), _intent(difference.reached)
    return f"at trace {difference.trace:,}: the run sent {recorded}, the replay {reached}"


def _intent(intent: Intent | None) -> str:
    if intent is None:
        return "nothing"
    side = {1: "buy", 2: "sell"}[intent.side]
    price = f" at {intent.price_ticks} ticks" if intent.price_ticks else ""
    return f"{intent.action} #{intent.ordinal} {side} {intent.qty_lots} lots{price} ({intent.strategy})"


def _fail(message: object, status: int) -> int:
    print(f"wirestamp: {message}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
    return status
