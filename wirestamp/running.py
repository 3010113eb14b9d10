"""`wirestamp run`: one trader in this process, its signals and its exit status."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import structlog
import uvloop
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper, add_log_level
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from bot.config import load
from bot.errors import ConfigurationError, PaperOnly, StartError
from bot.service import Trader


def run_trader(config: Path) -> int:
    """Run a trader until it is told to stop.

    Args:
        config: the configuration file.

    Returns:
        The exit status: 0 when it was told to stop, 1 when it had to, 2 or 3 when it did not start.
    """
    log_to_stderr()
    log = structlog.get_logger("trader")
    try:
        loaded = load(config)
        trader = Trader(loaded)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signal(trader))
    except ConfigurationError as error:
        print(f"wirestamp: {error}", file=sys.stderr)  # noqa: T201 - several lines, for a person
        return 2
    except (StartError, PaperOnly) as error:
        log.error("could not start", reason=str(error))  # noqa: TRY400 - the reason says all
        return 3
    if trader.failure is not None:
        log.error("stopped", reason=trader.failure)
        return 1
    log.info("stopped in order")
    return 0


async def _until_signal(trader: Trader) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: os._exit(1) if stop.is_set() else stop.set())
    await trader.run(stop)


def log_to_stderr() -> None:
    """Write log events to stderr: for people on a terminal, one JSON object a line elsewhere.

    Tracebacks show no local variables: those may hold secrets.
    """
    terminal = sys.stderr.isatty()
    if terminal:
        rendering: list[Processor] = [ConsoleRenderer(exception_formatter=plain_traceback)]
    else:
        rendering = [ExceptionRenderer(ExceptionDictTransformer(show_locals=False)), JSONRenderer()]
    structlog.configure(
        processors=[add_log_level, TimeStamper(fmt="iso", utc=True), *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
