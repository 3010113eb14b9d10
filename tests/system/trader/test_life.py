"""What a trader survives and what it refuses: kills, broken plug-ins, wrong peers, a full disk."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from journal.errors import NoJournal
from journal.layout import PAGE_BYTES, RECORD_HEADER_BYTES, MessageKind, RecordType
from journal.reader import RecordReader, read_records, read_rows, repair_seal
from journal.runs import find_run, list_runs

TIMEOUT_S = 30
CREDENTIALS = {"WIRESTAMP_BINANCE_LOCAL_KEY": "sandbox", "WIRESTAMP_BINANCE_LOCAL_SECRET": "sandbox"}
KILLS = 20
MESSAGES = 41_248  # in the first spot recording

RunSandbox = Callable[..., Any]
Configure = Callable[..., Path]
RunTrader = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def started(config: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a trader for a `with` block, its log in a file beside the configuration."""
    with config.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wirestamp", "run", "-c", str(config)], stderr=log, env=os.environ | CREDENTIALS
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def messages(run: Path) -> int:
    """Return how many market data messages a run has stamped by now."""
    return sum(int((rows["kind"] == MessageKind.MARKET).sum()) for rows in read_rows(run, "received"))


def wait_for(config: Path, process: subprocess.Popen[str], enough: Callable[[Path], bool], *, runs: int = 1) -> Path:
    """Wait until the newest of so many runs has enough; returns its folder."""
    give_up = time.monotonic() + TIMEOUT_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            folders = list_runs(config.parent / "data" / "test")
            if len(folders) >= runs and enough(folders[-1]):
                return folders[-1]
        except NoJournal:
            continue
    pytest.fail(f"the trader did not get on: {config.with_suffix('.log').read_text()[-2000:]}")


def stop(process: subprocess.Popen[str]) -> int:
    """End a trader in order; returns its exit status."""
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=15)


def wirestamp(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "wirestamp", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


# -- kills ------------------------------------------------------------------------------------------------------------


def test_killed_at_any_instant(run_sandbox: RunSandbox, configure: Configure) -> None:
    """Twenty SIGKILLs in mid-run: every committed record reads back, the review takes it, the intents are the same."""
    seed = random.Random(20)
    sandbox = run_sandbox(plain=True, rate=40.0, seed=5)
    config = configure(sandbox.http_url)
    for kill in range(1, KILLS + 1):
        enough = seed.randrange(1, 1500)
        with started(config) as process:
            run = wait_for(config, process, lambda run, least=enough: messages(run) >= least, runs=kill)
        records = list(read_records(run))
        assert sum(record.type is RecordType.INBOUND for record in records) >= enough
        review = wirestamp("review", str(run), "--json")
        assert 0 == review.returncode, review.stderr
        replay = wirestamp("replay", str(run))
        assert 0 == replay.returncode, replay.stdout + replay.stderr


# -- strategies -------------------------------------------------------------------------------------------------------

OUTSIDER = """\
from decimal import Decimal
from bot.strategy import Context, Strategy, StrategyParams, Trade

class Outsider(Strategy):
    class Params(StrategyParams):
        every: int = 5

    seen = 0

    def on_trade(self, trade: Trade, ctx: Context) -> None:
        self.seen += 1
        if self.seen % self.params.every == 0:
            ctx.buy(trade.instrument, Decimal("0.001"))
"""

RAISER = """\
from bot.strategy import Context, Strategy, Trade

class Raiser(Strategy):
    def on_trade(self, trade: Trade, ctx: Context) -> None:
        if trade.trade_id % 7 == 0:
            raise RuntimeError("the seventh")
"""


def test_strategy_in_a_file_outside_the_project(
    run_sandbox: RunSandbox, configure: Configure, spot_recording: Path, tmp_path: Path
) -> None:
    """A path relative to the configuration file is all it takes."""
    (tmp_path / "mine.py").write_text(OUTSIDER)
    sandbox = run_sandbox(plain=True, replay=[spot_recording], speed="inf")
    config = configure(sandbox.http_url, use="mine.py:Outsider")
    with started(config) as process:
        run = wait_for(config, process, lambda run: messages(run) == MESSAGES)
        assert 0 == stop(process)
    orders = sum(record.type is RecordType.ORDER for record in read_records(run))
    assert 9_757 // 5 == orders
    assert 0 == wirestamp("replay", str(run)).returncode


def test_strategy_that_raises_is_stopped_and_the_feed_goes_on(
    run_sandbox: RunSandbox, configure: Configure, spot_recording: Path, tmp_path: Path
) -> None:
    """It is reported with its error, and every message after it is received."""
    (tmp_path / "raiser.py").write_text(RAISER)
    sandbox = run_sandbox(plain=True, replay=[spot_recording], speed="inf")
    config = configure(sandbox.http_url, use="raiser.py:Raiser")
    with started(config) as process:
        run = wait_for(config, process, lambda run: messages(run) == MESSAGES)
        assert 0 == stop(process)
    log = config.with_suffix(".log").read_text()
    assert 1 == log.count("strategy stopped")
    assert "RuntimeError" in log
    assert "the seventh" in log
    assert "secret" not in log
    assert 1 == sum(b'"raised"' in record.payload for record in read_records(run))


def test_a_changed_price_gives_other_intents(
    run_sandbox: RunSandbox, configure: Configure, spot_recording: Path
) -> None:
    """The price that made the z-score decide, changed with its CRC repaired: the replay finds out, status 4."""
    sandbox = run_sandbox(plain=True, replay=[spot_recording], speed="inf")
    config = configure(sandbox.http_url, use="strategies.zscore:ZScoreReversion")
    with started(config) as process:
        run = wait_for(config, process, lambda run: messages(run) == MESSAGES)
        assert 0 == stop(process)
    assert 0 == wirestamp("replay", str(run)).returncode
    causes = [record.trace for record in read_records(run) if record.type is RecordType.ORDER]
    file = run / "records-000000.wsj"
    content, at = bytearray(file.read_bytes()), PAGE_BYTES
    for record in RecordReader(run):
        end = at + RECORD_HEADER_BYTES + (len(record.payload) + 7 & ~7)
        if record.trace == causes[0] and record.type is RecordType.INBOUND:
            digit = at + content[at:end].index(b'"p":"') + len(b'"p":"') + 2  # hundreds of dollars
            content[digit] = ord("0") + (content[digit] - ord("0") + 5) % 10
            repair_seal(content, at, end)
            break
        at = end
    file.write_bytes(content)
    done = wirestamp("replay", str(run))
    assert 4 == done.returncode
    assert "intents differ" in done.stderr


# -- peers ------------------------------------------------------------------------------------------------------------


def test_refused_connection(configure: Configure, run_trader: RunTrader) -> None:
    """Nobody listens: status 3, and the message names the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = run_trader(configure(f"http://127.0.0.1:{port}"))
    assert 3 == done.returncode
    assert f"127.0.0.1:{port}" in done.stderr
    assert "refused" in done.stderr


def test_bad_certificate(run_sandbox: RunSandbox, configure: Configure, run_trader: RunTrader) -> None:
    """A certificate that nobody vouches for: status 3, and no order session."""
    sandbox = run_sandbox()
    done = run_trader(configure(sandbox.http_url))
    assert 3 == done.returncode
    assert "certificate" in done.stderr
    assert 0 == sandbox.get("/sandbox/status")["orders"]


def test_unknown_symbol(run_sandbox: RunSandbox, configure: Configure, run_trader: RunTrader) -> None:
    """The venue's own words, and the symbol."""
    done = run_trader(configure(run_sandbox(plain=True).http_url, symbol="NO-SUCH"))
    assert 3 == done.returncode
    assert "NO-SUCH" in done.stderr
    assert "Invalid symbol" in done.stderr


def test_wrong_secret(run_sandbox: RunSandbox, configure: Configure) -> None:
    """A session that the venue refuses: status 3 and its words; key and secret appear nowhere."""
    sandbox = run_sandbox(plain=True, accounts=[("the-key-of-it", "the-real-secret")])
    config = configure(sandbox.http_url)
    wrong = {"WIRESTAMP_BINANCE_LOCAL_KEY": "the-key-of-it", "WIRESTAMP_BINANCE_LOCAL_SECRET": "a-wrong-secret"}
    done = subprocess.run(
        [sys.executable, "-m", "wirestamp", "run", "-c", str(config)],
        capture_output=True, text=True, timeout=20, env=os.environ | wrong, check=False,
    )  # fmt: skip
    assert 3 == done.returncode
    assert "-1022" in done.stderr
    journal = b"".join(file.read_bytes() for file in find_run(config.parent / "data" / "test").iterdir())
    for secret in ("the-key-of-it", "a-wrong-secret"):
        assert secret not in done.stdout + done.stderr
        assert secret.encode() not in journal


def test_missing_credentials(run_sandbox: RunSandbox, configure: Configure) -> None:
    """The variable that was looked for is named."""
    sandbox = run_sandbox(plain=True)
    config = configure(sandbox.http_url)
    done = subprocess.run(
        [sys.executable, "-m", "wirestamp", "run", "-c", str(config)],
        capture_output=True, text=True, timeout=20, check=False,
        env=os.environ | CREDENTIALS | {"WIRESTAMP_BINANCE_LOCAL_SECRET": ""},
    )  # fmt: skip
    assert 3 == done.returncode
    assert "WIRESTAMP_BINANCE_LOCAL_SECRET" in done.stderr


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a trader's first segments, each with its next, and hardly more."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def test_full_disk_stops_trading(
    run_sandbox: RunSandbox, configure: Configure, spot_recording: Path, small_disk: Path, tmp_path: Path
) -> None:
    """The next segment cannot be had: trading stops with the reason, status 1, no SIGBUS, all records intact."""
    (tmp_path / "eager.py").write_text(OUTSIDER.replace("every: int = 5", "every: int = 1"))
    second = spot_recording.with_name("spot_btcusdt_20240809.gz")
    sandbox = run_sandbox(plain=True, replay=[spot_recording, second], speed="inf")
    config = configure(sandbox.http_url, trader=f'data_dir = "{small_disk}"', use="eager.py:Outsider")
    with started(config) as process:
        assert 1 == process.wait(timeout=60)
    log = config.with_suffix(".log").read_text()
    assert "No space left on device" in log
    run = find_run(small_disk / "test")
    kinds = [record.type for record in read_records(run)]
    assert kinds.count(RecordType.INBOUND) > 10_000
    assert 0 == wirestamp("replay", str(run)).returncode
