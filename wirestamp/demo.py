"""`wirestamp demo`: a local exchange, a trader and a capture as processes, then the review of what they journalled.

Nothing here is special to the demo: it starts the same commands that a person would, and reads the same journals.
Where they run is the stage's business (`wirestamp.stage`): on this machine, or in network namespaces with a mirror.
"""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bot.transport.tls import client_context
from journal.reader import read_rows
from journal.runs import find_run, list_runs
from wirestamp.children import Child, child, interrupts
from wirestamp.failing import fail
from wirestamp.reviewing import review_run
from wirestamp.stage import Stage, StageError, stage_for

SYNTHETIC_SECONDS = 20.0
_NAME = "demo"
_MONITOR = "monitor"
_START_TIMEOUT_S = 20.0
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
        mirror: run the three parts in network namespaces, with a traffic mirror between them.
        gso_max_segs: with `mirror`, the most segments that the kernel may hand to the feed's link in one frame.
        key_log: where the trader writes its TLS secrets, None for nowhere.
    """

    data: Path
    replay: list[Path]
    speed: str
    seconds: float | None
    plain: bool
    as_json: bool
    mirror: bool = False
    gso_max_segs: int | None = None
    key_log: str | None = None


def run_demo(options: DemoOptions) -> int:
    """Run the demo.

    Returns:
        The exit status: 0 done, 3 when a part could not start, 1 when one failed on the way.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    interrupts.watch()
    began_ns = time.time_ns()
    try:
        options.data.mkdir(parents=True, exist_ok=True)
        with stage_for(mirror=options.mirror, gso_max_segs=options.gso_max_segs) as stage:
            captured = _play(console, options, stage)
    except DemoError as error:
        fail("demo", error, error.status)
        if error.status == 1:
            console.print(_kept(options.data, began_ns), soft_wrap=True)
        return error.status
    except (OSError, StageError) as error:
        return fail("demo", error, 3)
    except KeyboardInterrupt:
        console.print(f"stopped; {_kept(options.data, began_ns)}", soft_wrap=True)
        return 1
    monitors = [options.data / _MONITOR] if captured else []
    return review_run(options.data / _NAME, monitors, as_json=options.as_json)


def _kept(data: Path, began_ns: int) -> str:
    """Say where what was journalled since then can be seen."""
    runs = [list_runs(data / name)[-1:] for name in (_NAME, _MONITOR)]
    trader, monitor = ([run for run in latest if run.stat().st_mtime_ns >= began_ns] for latest in runs)
    if not trader:
        return "the trader had journalled nothing yet"
    return f"what was journalled is kept: wirestamp review {' '.join(map(str, trader + monitor))}"


def _play(console: Console, options: DemoOptions, stage: Stage) -> bool:
    """Run exchange, capture and trader until it is over; return whether there was a capture."""
    with _sandbox(options, stage) as exchange:
        before = exchange.status()
        _introduce(console, options, stage, exchange)
        with _monitor(options, stage, exchange) as monitor, _trader(options, stage, exchange) as trader:
            _watch(console, options, exchange, trader, before)
            _let_it_read(options.data / _NAME, exchange)
            if monitor is not None and monitor.ended:
                raise DemoError(f"the capture ended early: {monitor.last_words()}", 1)
        status = exchange.status()
    sent, orders, fills = (status[name] - before[name] for name in ("sent", "orders", "fills"))
    source = "the trader's journal says" if monitor is None else "the two journals say"
    console.print(
        f"The exchange sent {sent:,} messages, took {orders:,} orders and filled them {fills:,} times. "
        f"This is what {source}:\n"
    )
    return monitor is not None


def _introduce(console: Console, options: DemoOptions, stage: Stage, exchange: "_Exchange") -> None:
    what = ", ".join(path.name for path in options.replay) or "a synthetic market calibrated from recordings"
    factor = {"max": "as fast as it can be read", "1": "at its own speed"}.get(
        options.speed, f"at {options.speed} times its speed"
    )
    console.print(
        f"A local exchange at {exchange.url} plays {what}, {factor}. A trader in a process of its own follows it, "
        f"decides by trade volume, and sends paper orders back. {stage.capture_words}\n"
    )


class _Exchange:
    """The running sandbox, as its clients see it."""

    def __init__(self, url: str, ca: str | None, process: Child, stage: Stage) -> None:
        self.url = url
        self.ca = ca
        self._process = process
        self._stage = stage
        self._context = client_context(Path(ca)) if ca else None  # Python's default one would keep a key log as well

    @property
    def port(self) -> int:
        """The TCP port that it listens at."""
        return int(self.url.rpartition(":")[2])

    def status(self) -> dict[str, Any]:
        """Return the sandbox's own counts."""
        address = f"{self.url}/sandbox/status"
        try:
            with (
                self._stage.inside("exchange"),
                urllib.request.urlopen(address, timeout=5, context=self._context) as reply,  # noqa: S310 - our own URL
            ):
                found: dict[str, Any] = json.load(reply)
        except (OSError, ValueError) as error:
            words = self._process.last_words() or error
            raise DemoError(f"the exchange does not answer: {words}", 1) from error
        return found


def _said(process: Child) -> dict[str, Any]:
    line = process.line()
    if line is None:
        raise DemoError(f"the {process.name} did not start: {process.last_words()}", 3)
    return line


@contextlib.contextmanager
def _sandbox(options: DemoOptions, stage: Stage) -> Iterator[_Exchange]:
    arguments = ["sandbox", "--port", "0", "--data", str(options.data / "sandbox"), "--speed", options.speed]
    arguments += ["--host", stage.exchange_host]
    for path in options.replay:
        arguments += ["--replay", str(path)]
    if options.plain:
        arguments.append("--plain")
    with child("exchange", arguments, options.data, stage.prefix("exchange")) as process:
        said = _said(process)
        yield _Exchange(said["url"], said["ca"], process, stage)


@contextlib.contextmanager
def _monitor(options: DemoOptions, stage: Stage, exchange: _Exchange) -> Iterator[Child | None]:
    """Capture, with the responder that its clock probes ask, where the stage can."""
    if stage.interface is None:
        yield None
        return
    arguments = ["capture", "-i", stage.interface, "--data", str(options.data / _MONITOR)]
    arguments += ["--port", str(exchange.port), "--store", "256M"]
    with contextlib.ExitStack() as parts:
        if stage.responder_host is not None:
            respond = ["responder", "--host", stage.responder_host, "--port", "0"]
            said = _said(parts.enter_context(child("responder", respond, options.data, stage.prefix("trader"))))
            arguments += ["--probe", f"{stage.responder_host}:{said['port']}"]
        process = parts.enter_context(child("capture", arguments, options.data, stage.prefix("monitor")))
        _said(process)
        yield process


@contextlib.contextmanager
def _trader(options: DemoOptions, stage: Stage, exchange: _Exchange) -> Iterator[Child]:
    config = options.data / "demo.toml"
    ca = f'ca = "{Path(exchange.ca).absolute()}"\n' if exchange.ca else ""
    config.write_text(_CONFIGURATION.format(name=_NAME, url=exchange.url, ca=ca), encoding="utf-8")
    more = {"SSLKEYLOGFILE": options.key_log} if options.key_log else None
    with child("trader", ["run", "-c", str(config)], options.data, stage.prefix("trader"), more) as process:
        yield process


def _watch(
    console: Console,
    options: DemoOptions,
    exchange: _Exchange,
    trader: Child,
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
            if trader.ended:
                raise DemoError(f"the trader ended early: {trader.last_words()}", 3 if began is None else 1)
            status = exchange.status()
            now = time.monotonic()
            if began is None and status["sent"]:
                began = now
            if began is None and now - waited > _START_TIMEOUT_S:
                raise DemoError(f"the trader does not subscribe: {trader.last_words()}", 3)
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
