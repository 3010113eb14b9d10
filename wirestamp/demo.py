"""`wirestamp demo`: a local exchange and a trader as two processes, then the review of what the trader journalled.

Nothing here is special to the demo: it starts the same commands that a person would, and reads the same journal.
"""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from journal.reader import read_rows
from journal.runs import find_run
from wirestamp.reviewing import review_run

SYNTHETIC_SECONDS = 20.0
_NAME = "demo"
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.2

_CONFIGURATION = """\
# Written by `wirestamp demo`. The exchange behind [local] is `wirestamp sandbox`.
[trader]
name = "{name}"
data_dir = "."

[local]
url = "{url}"
{ca}
[[feed]]
venue = "binance"
environment = "local"
symbols = ["BTC-USDT"]
channels = ["trade", "book", "quote"]

[[route]]
name = "main"
kind = "venue"
venue = "binance"
environment = "local"

[[strategy]]
use = "strategies.volume_modulo:VolumeModulo"
route = "main"

[risk]
max_order_notional = "1000"
"""


class DemoError(Exception):
    """A part of the demo did not do what it should; the message ends with the part's own words.

    Attributes:
        status: the exit status, 3 when the part did not start, 1 when it failed on the way.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person may choose.

    Attributes:
        data: the demo's folder.
        replay: recordings to play, in order; empty for the synthetic market.
        speed: a factor, or `max`.
        seconds: when to stop; None plays recordings to their end, and the synthetic market for 20 s.
        plain: no TLS.
        as_json: print the review's object alone.
    """

    data: Path
    replay: list[Path]
    speed: str
    seconds: float | None
    plain: bool
    as_json: bool


def run_demo(options: DemoOptions) -> int:
    """Run the demo.

    Returns:
        The exit status: 0 done, 3 when a part could not start, 1 when one failed on the way.
    """
    console = Console(stderr=True, highlight=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the processes that were started end with us
        signal.signal(number, _interrupts.take)
    try:
        options.data.mkdir(parents=True, exist_ok=True)
        with _sandbox(options) as exchange:
            before = exchange.status()
            _introduce(console, options, exchange)
            with _trader(options, exchange) as trader:
                _watch(console, options, exchange, trader, before)
                _let_it_read(options.data / _NAME, exchange)
            status = exchange.status()
    except DemoError as error:
        print(f"wirestamp demo: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
        if error.status == 1:
            console.print(f"What the trader saw until then is kept: wirestamp review {options.data / _NAME}")
        return error.status
    except OSError as error:
        print(f"wirestamp demo: {error}", file=sys.stderr)  # noqa: T201
        return 3
    except KeyboardInterrupt:
        console.print(f"stopped; what the trader saw until then is kept: wirestamp review {options.data / _NAME}")
        return 1
    sent, orders, fills = (status[name] - before[name] for name in ("sent", "orders", "fills"))
    console.print(
        f"The exchange sent {sent:,} messages, took {orders:,} orders and filled them {fills:,} times. "
        "This is what the trader's journal says:\n"
    )
    return review_run(options.data / _NAME, as_json=options.as_json)


class _Interrupts:
    """Turns signals into KeyboardInterrupt, but not while a process is being started or ended."""

    def __init__(self) -> None:
        self._held = self._pending = False

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if not self._held:
            raise KeyboardInterrupt
        self._pending = True

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Let signals wait until the block is done."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt


_interrupts = _Interrupts()


def _introduce(console: Console, options: DemoOptions, exchange: "_Exchange") -> None:
    what = ", ".join(path.name for path in options.replay) or "a synthetic market calibrated from recordings"
    factor = {"max": "as fast as it can be read", "1": "at its own speed"}.get(
        options.speed, f"at {options.speed} times its speed"
    )
    console.print(f"A local exchange at {exchange.url} plays {what}, {factor};")
    console.print(
        "a trader in a process of its own follows it, decides by trade volume, and sends paper orders back.\n"
    )


class _Exchange:
    """The running sandbox, as its clients see it."""

    def __init__(self, url: str, ca: str | None, log: Path) -> None:
        self.url = url
        self.ca = ca
        self._log = log
        self._context = ssl.create_default_context(cafile=ca) if ca else None

    def status(self) -> dict[str, Any]:
        """Return the sandbox's own counts."""
        address = f"{self.url}/sandbox/status"
        try:
            with urllib.request.urlopen(address, timeout=5, context=self._context) as reply:  # noqa: S310 - our own URL
                found: dict[str, Any] = json.load(reply)
        except (OSError, ValueError) as error:
            raise DemoError(f"the exchange does not answer: {_last_words(self._log) or error}", 1) from error
        return found


@contextlib.contextmanager
def _sandbox(options: DemoOptions) -> Iterator[_Exchange]:
    arguments = ["sandbox", "--port", "0", "--data", str(options.data / "sandbox"), "--speed", options.speed]
    for path in options.replay:
        arguments += ["--replay", str(path)]
    if options.plain:
        arguments.append("--plain")
    log = options.data / "exchange.log"
    with _process("exchange", arguments, options.data) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait(_STOP_TIMEOUT_S)
            raise DemoError(f"the exchange did not start: {_last_words(log)}", 3)
        said = json.loads(line)
        yield _Exchange(said["url"], said["ca"], log)


@contextlib.contextmanager
def _trader(options: DemoOptions, exchange: _Exchange) -> Iterator["subprocess.Popen[str]"]:
    config = options.data / "demo.toml"
    ca = f'ca = "{Path(exchange.ca).absolute()}"\n' if exchange.ca else ""
    config.write_text(_CONFIGURATION.format(name=_NAME, url=exchange.url, ca=ca), encoding="utf-8")
    with _process("trader", ["run", "-c", str(config)], options.data) as process:
        yield process


@contextlib.contextmanager
def _process(name: str, arguments: list[str], data: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run `wirestamp ARGUMENTS` with its log beside the data; end it in order, or else by force."""
    environment = {
        "WIRESTAMP_BINANCE_LOCAL_KEY": "sandbox",
        "WIRESTAMP_BINANCE_LOCAL_SECRET": "sandbox",
        **{key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"},
    }
    process: subprocess.Popen[str] | None = None
    try:
        with (data / f"{name}.log").open("w", encoding="utf-8") as log, _interrupts.hold():
            process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "wirestamp", *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end it in order
            )  # fmt: skip
        yield process
    finally:
        if process is not None:
            with _interrupts.hold():
                _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _watch(
    console: Console,
    options: DemoOptions,
    exchange: _Exchange,
    trader: "subprocess.Popen[str]",
    before: dict[str, Any],
) -> None:
    """Show what happens until it is over."""
    seconds = options.seconds if options.seconds is not None or options.replay else SYNTHETIC_SECONDS
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=seconds)
        began: float | None = None
        waited = time.monotonic()
        while True:
            if trader.poll() is not None:
                raise DemoError(
                    f"the trader ended early: {_last_words(options.data / 'trader.log')}", 3 if began is None else 1
                )
            status = exchange.status()
            now = time.monotonic()
            if began is None and status["sent"]:
                began = now
            if began is None and now - waited > _START_TIMEOUT_S:
                raise DemoError(
                    f"the trader does not subscribe: {_last_words(options.data / 'trader.log')}",
                    3 if began is None else 1,
                )
            sent, orders, fills = (status[name] - before[name] for name in ("sent", "orders", "fills"))
            text = f"{sent:>9,} messages  {orders:>6,} orders  {fills:>6,} fills"
            progress.update(bar, description=text, completed=now - (began or now))
            if began is not None and (status["finished"] or (seconds is not None and now - began >= seconds)):
                return
            time.sleep(_POLL_S)


def _let_it_read(runs: Path, exchange: _Exchange) -> None:
    """Wait until the trader has read what the exchange has sent; what a played-out feed sent may still be under way."""
    run = find_run(runs)
    read = -1
    while exchange.status()["finished"]:
        before, read = read, sum(map(len, read_rows(run, "received", verify=False)))
        if read == before:
            return
        time.sleep(_POLL_S)


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
