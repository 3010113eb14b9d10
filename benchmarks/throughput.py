"""How much the whole trader carries on one core: messages, orders, and memory over a long run.

Three measurements, each with a fresh trader process on the last core and its peer on the first:

- `replay`: the recorded mix (trades, quotes, depth) from `wirestamp sandbox --speed max`, over TLS, socket to strategy.
  Messages per second between the first and the last read.
- `orders`: unpaced trades from the C exchange, each of which causes an order: sent and acknowledged per second, from
  the first `written` to the last acknowledgement read; every one must be answered and have its kernel TX stamp.
- `memory`: two million unpaced trades without orders; the process's resident memory at a quarter of the way and at the
  end. A journal's segments are mapped files: their pages count while they are mapped.

Usage: `python benchmarks/throughput.py [--replay FILE] [--only replay,orders,memory] [--json]`.
Exit status: 0 done, 2 bad usage, 3 could not start, 1 when a part failed.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from contenders import HERE, TRADER_ENVIRONMENT, WIRESTAMP, Place, trader_config
from journal.layout import MessageKind, TxEvent
from journal.reader import read_rows
from journal.runs import find_run
from local_exchange import BuildError, Exchange, compile_program, make_certificate

ORDERS = 50_000
MEMORY_TICKS = 2_000_000
ENOUGH_ROWS = 1_000  # the feed has begun
TIMEOUT_SECONDS = 300.0
FIRST, LAST = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
RECORDINGS = Path(os.environ.get("WIRESTAMP_RECORDINGS", HERE.parents[1] / "shared" / "data"))
RECORDING = RECORDINGS / "binance" / "spot_btcusdt_20240808.gz"


class Failed(Exception):
    """A process did not do its part."""


@contextlib.contextmanager
def process(arguments: list[str], core: int, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `wirestamp ARGUMENTS` on a core; end it in order afterwards."""
    environment = os.environ | TRADER_ENVIRONMENT
    with log.open("w") as stderr:
        running = subprocess.Popen(
            [str(WIRESTAMP), *arguments], env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    os.sched_setaffinity(running.pid, {core})
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        assert running.stdout
        running.stdout.close()


def count_rows(runs: Path, log: str) -> int:
    """Return how many rows a trader's log has by now; 0 while there is no run yet."""
    try:
        return sum(map(len, read_rows(find_run(runs), log, verify=False)))
    except Exception:  # noqa: BLE001 - the run is only just being made
        return 0


def wait_for(runs: Path, log: str, rows: int, trader: subprocess.Popen[str], words: Path) -> None:
    """Wait until a log has so many rows.

    Raises:
        Failed: the trader ended, or it takes too long.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (seen := count_rows(runs, log)) < rows:
        if trader.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"{seen:,} of {rows:,} rows in {log!r}\n{words.read_text()[-2000:]}")
        time.sleep(0.2)


def measure_replay(folder: Path, recording: Path) -> dict[str, float]:
    """Play a recording as fast as the trader reads it."""
    with process(
        ["sandbox", "--port", "0", "--data", str(folder / "sandbox"), "--replay", str(recording), "--speed", "max"],
        FIRST, folder / "sandbox.log",
    ) as sandbox:  # fmt: skip
        assert sandbox.stdout
        said = json.loads(sandbox.stdout.readline() or "{}")
        if not said:
            raise Failed((folder / "sandbox.log").read_text())
        config = trader_config(Place(0, Path(), Path(said["ca"]), folder), "uvloop", tls=True)
        config = config.replace("https://127.0.0.1:0", said["url"]).replace('["trade"]', '["trade", "book", "quote"]')
        config = config.replace(f"{HERE / 'every_trade.py'}:EveryTrade", "strategies.volume_modulo:VolumeModulo")
        (folder / "replay.toml").write_text(config)
        with process(["run", "-c", str(folder / "replay.toml")], LAST, folder / "trader.log") as trader:
            before, seen = -1, 0
            while seen < ENOUGH_ROWS or seen != before:  # until nothing more comes
                if trader.poll() is not None:
                    raise Failed((folder / "trader.log").read_text())
                time.sleep(1.0)
                before, seen = seen, count_rows(folder / "bench", "received")
    rows = np.concatenate(read_rows(find_run(folder / "bench"), "received"))
    market = rows[rows["kind"] == MessageKind.MARKET]
    seconds = float(market["decoded"][-1] - market["read"][0]) / 1e9
    return {"messages": len(market), "seconds": seconds, "messages_per_s": len(market) / seconds}


def measure_orders(folder: Path, programs: tuple[Path, tuple[Path, Path]]) -> dict[str, float]:
    """Answer every unpaced trade with an order."""
    exchange, certificate = programs
    with Exchange(exchange, certificate, 0, FIRST, ORDERS) as running:
        config = folder / "orders.toml"
        config.write_text(trader_config(Place(running.port, Path(), certificate[0], folder), "uvloop", tls=False))
        with process(["run", "-c", str(config)], LAST, folder / "trader.log") as trader:
            # log-on, market data, and one reply for each order
            wait_for(folder / "bench", "received", 1 + 2 * ORDERS, trader, folder / "trader.log")
        taken = running.counts()["orders"]
    run = find_run(folder / "bench")
    received, sent, transmitted = (np.concatenate(read_rows(run, log)) for log in ("received", "sent", "transmitted"))
    orders, replies = sent[sent["order"] > 0], received[received["order"] > 0]
    stamped = transmitted[transmitted["event"] == TxEvent.DRIVER]
    seconds = float(replies["read"].max() - orders["written"].min()) / 1e9
    return {
        "orders": len(orders),
        "taken_by_exchange": taken,
        "acknowledged": len(np.unique(replies["order"])),
        "with_kernel_tx": int(np.isin(orders["off"], stamped[stamped["conn"] == orders["conn"][0]]["off"]).sum()),
        "seconds": seconds,
        "orders_per_s": len(orders) / seconds,
    }


def resident_mib(pid: int, field: str = "VmRSS") -> float:
    """Return a process's resident memory, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise Failed(f"/proc/{pid}/status has no {field}")


def measure_memory(folder: Path, programs: tuple[Path, tuple[Path, Path]]) -> dict[str, float]:
    """Take two million trades and watch the resident memory."""
    exchange, certificate = programs
    with Exchange(exchange, certificate, 0, FIRST, MEMORY_TICKS) as running:
        config = trader_config(Place(running.port, Path(), certificate[0], folder), "uvloop", tls=False)
        config = config.replace(f"{HERE / 'every_trade.py'}:EveryTrade", "strategies.zscore:ZScoreReversion")
        (folder / "memory.toml").write_text(config)
        with process(["run", "-c", str(folder / "memory.toml")], LAST, folder / "trader.log") as trader:
            marks = {}
            for share in (0.25, 0.5, 0.75, 1.0):
                wait_for(folder / "bench", "received", int(MEMORY_TICKS * share), trader, folder / "trader.log")
                marks[share] = (resident_mib(trader.pid), resident_mib(trader.pid, "RssAnon"))
    return {
        "messages": MEMORY_TICKS,
        **{f"rss_mib_at_{int(share * 100)}_percent": total for share, (total, _) in marks.items()},
        **{f"anonymous_mib_at_{int(share * 100)}_percent": own for share, (_, own) in marks.items()},
    }


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", type=Path, default=RECORDING, help="the recording to play")
    parser.add_argument("--only", default="replay,orders,memory", help="parts, separated by commas")
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="wirestamp-bench-") as directory:
        folder = Path(directory)
        try:
            programs = compile_program("exchange", folder), make_certificate(folder)
            for part in options.only.split(","):
                place = folder / part
                place.mkdir()
                if part == "replay" and not options.replay.is_file():
                    print(f"replay left out: there is no recording {options.replay}", file=sys.stderr)
                elif part == "replay":
                    results[part] = measure_replay(place, options.replay)
                else:
                    results[part] = {"orders": measure_orders, "memory": measure_memory}[part](place, programs)
        except KeyError as error:
            parser.error(f"--only: expected replay, orders or memory, was {error}")
        except BuildError as error:
            print(error, file=sys.stderr)
            return 3
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(results, indent=2))
        return 0
    for part, values in results.items():
        print(part)
        for name, value in values.items():
            print(f"  {name:32} {value:>12,.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
