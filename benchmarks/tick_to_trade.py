"""Wire tick-to-trade of the trader beside C floors and Python peers, all against one C exchange, in one run.

The figure is tick packet → order packet, both stamped by the kernel in one capture on loopback, so the exchange's own
speed stays out. Clients take turns, several rounds of them, each time as fresh processes whose warm-up does not count:
what drifts, drifts for all, the better the more rounds there are. Exchange and capture share the first core, the client
has the last one.

Usage: `python benchmarks/tick_to_trade.py [--seconds 2] [--rounds 5] [--rate 500] [--clients a,b] [--json]`.
Exit status: 0 done, 2 bad usage, 3 could not start (rights, compiler), 1 when a client failed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from contenders import Contender, Place, contenders
from latency import Figures, Sample, as_json, as_table, figures, tick_to_trade, ticks_and_orders
from local_exchange import BuildError, Exchange, compile_program, make_certificate
from wire import Capture, CaptureError

START_SECONDS = 30.0  # importing ccxt takes two
STOP_SECONDS = 5.0
DRAIN_SECONDS = 0.02
STARTED_ORDERS = 20  # a client that sent so many is trading
MISSED_SHARE = 0.01

stderr = Console(stderr=True)
stopping = False


class ClientError(Exception):
    """A client did not trade: it ended, or sent no orders."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share: compiled programs, certificate, cores and options."""

    directory: Path
    exchange: Path
    client: Path
    certificate: tuple[Path, Path]
    cores: tuple[int, int]
    rate: float
    warmup: float
    seconds: float


@contextmanager
def running(contender: Contender, place: Place, core: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a client on its core, in a session of its own so that Ctrl-C reaches only the benchmark; end it after."""
    environment = os.environ | contender.environment
    with (place.directory / "output").open("wb") as output:
        process = subprocess.Popen(
            contender.command(place), env=environment, stdout=output, stderr=output, start_new_session=True
        )
    os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_and_drain(capture: Capture) -> None:
    """Let packets arrive, then take them.

    Raises:
        KeyboardInterrupt: the user asked for the end.
    """
    if stopping:
        raise KeyboardInterrupt
    time.sleep(DRAIN_SECONDS)
    capture.drain()


def capture_run(capture: Capture, process: subprocess.Popen[bytes], bench: Bench) -> Sample:
    """Wait until the client trades, let it warm up, then measure.

    Raises:
        ClientError: it ended early or never traded.
        CaptureError: packets were lost.
    """
    deadline = time.monotonic() + START_SECONDS
    while len(ticks_and_orders(capture.packets())[1]) < STARTED_ORDERS:
        if process.poll() is not None:
            raise ClientError(f"ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise ClientError(f"sent no orders within {START_SECONDS:.0f} s")
        wait_and_drain(capture)
    start_ns = time.time_ns() + int(bench.warmup * 1e9)
    end_ns = start_ns + int(bench.seconds * 1e9)
    while time.time_ns() < end_ns:
        wait_and_drain(capture)
    if process.poll() is not None:
        raise ClientError(f"ended with status {process.returncode}")
    packets = capture.packets()
    return tick_to_trade(*ticks_and_orders(packets[(packets["time_ns"] >= start_ns) & (packets["time_ns"] < end_ns)]))


def measure(contender: Contender, bench: Bench) -> Sample:
    """Run one client once against a fresh exchange.

    Raises:
        ClientError: it did not trade; the message ends with what it last printed.
        CaptureError: no right to capture, or packets were lost.
    """
    exchange_core, client_core = bench.cores
    with (
        tempfile.TemporaryDirectory(dir=bench.directory) as directory,
        Exchange(bench.exchange, bench.certificate, bench.rate, exchange_core) as exchange,
    ):
        port = exchange.tls_port if contender.tls else exchange.port
        place = Place(port, bench.client, bench.certificate[0], Path(directory))
        with Capture(port) as capture:
            try:
                with running(contender, place, client_core) as process:
                    return capture_run(capture, process, bench)
            except ClientError as error:
                printed = (place.directory / "output").read_text(errors="replace")
                raise ClientError(f"{contender.name} {error}\n{printed[-2000:]}") from error


def measure_all(chosen: list[Contender], bench: Bench, rounds: int) -> tuple[dict[str, Figures], list[str]]:
    """Measure the clients in turns.

    Returns:
        The figures of those that traded in every round, and the failures of the others in words.

    Raises:
        CaptureError: no right to capture, or packets were lost.
    """
    samples = {contender.name: Sample() for contender in chosen}
    failures: list[str] = []
    with stderr.status("") as status:
        for number in range(1, rounds + 1):
            for contender in chosen:
                if contender.name not in samples:
                    continue
                status.update(f"round {number} of {rounds}: {contender.name}")
                try:
                    samples[contender.name] += measure(contender, bench)
                except ClientError as error:
                    failures.append(str(error))
                    del samples[contender.name]
    results = {name: figures(sample) for name, sample in samples.items() if len(sample.latencies_ns)}
    failures += [f"{name} answered no tick" for name in samples if name not in results]
    return results, failures


def doubts(results: dict[str, Figures]) -> list[str]:
    """Name the clients whose figures cannot be relied on, because they often fell a whole tick behind."""
    return [
        f"{name} missed {found.missed} of {found.n + found.missed} ticks: the rate is too high for it, or the machine "
        "was busy; do not rely on its figures"
        for name, found in results.items()
        if found.missed > MISSED_SHARE * (found.n + found.missed)
    ]


def choose(names: str | None) -> list[Contender]:
    """Return the clients that are named and can run, after saying which cannot.

    Args:
        names: separated by commas; None for all.

    Raises:
        SystemExit: status 2, a name is unknown.
    """
    known = {contender.name: contender for contender in contenders()}
    wanted = names.split(",") if names else list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        stderr.print(f"--clients: expected names out of {', '.join(known)}, was {', '.join(unknown)}")
        raise SystemExit(2)
    absent = {name: known[name].absent() for name in wanted}
    for name, reason in absent.items():
        if reason:
            stderr.print(f"left out: {name}: {reason}", markup=False, soft_wrap=True)
    return [known[name] for name in wanted if absent[name] is None]


def prepare(directory: Path, options: argparse.Namespace) -> Bench:
    """Compile the programs, make the certificate, take the cores, and pin this process to the exchange's.

    Raises:
        BuildError: a program could not be compiled.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        stderr.print("one core only: exchange and client share it, and the figures hold both")
    bench = Bench(
        directory=directory,
        exchange=compile_program("exchange", directory),
        client=compile_program("client", directory),
        certificate=make_certificate(directory),
        cores=(cores[0], cores[-1]),
        rate=options.rate,
        warmup=options.warmup,
        seconds=options.seconds,
    )
    os.sched_setaffinity(0, {bench.cores[0]})
    return bench


def parse_options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="measured in each run (default 2)")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds that do not count (default 0.5)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each client (default 5)")
    parser.add_argument("--rate", type=float, default=500.0, help="trades per second (default 500)")
    parser.add_argument("--clients", help="names, separated by commas (default all)")
    parser.add_argument("--json", action="store_true", help="one object per client on standard output")
    options = parser.parse_args(arguments)
    if min(options.seconds, options.rounds, options.rate) <= 0 or options.warmup < 0:
        parser.error("--seconds, --rounds and --rate must be positive, --warmup not negative")
    return options


def stop(_signal: int, _frame: FrameType | None) -> None:
    """Ask for the end at the next wait, where every process that was started is known; the second time, end at once."""
    global stopping  # noqa: PLW0603 - a signal handler has nowhere else to leave its word
    if stopping:
        raise KeyboardInterrupt
    stopping = True


def main() -> int:
    """Measure and print; returns the exit status."""
    options = parse_options(sys.argv[1:])
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    chosen = choose(options.clients)
    try:
        with tempfile.TemporaryDirectory(prefix="wirestamp-bench-") as directory:
            results, failures = measure_all(chosen, prepare(Path(directory), options), options.rounds)
    except (BuildError, CaptureError) as error:
        stderr.print(str(error), markup=False, soft_wrap=True)
        return 3
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps(as_json(results), indent=2))
    else:
        Console().print(as_table(results))
    for line in (*doubts(results), *failures):
        stderr.print(line, markup=False, soft_wrap=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
