"""The review of real runs: a sandbox and a trader in processes of their own, ended in order, killed, or still going."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from journal.errors import NoJournal
from journal.layout import RecordType
from journal.reader import read_records
from journal.runs import find_run
from review.model import Review
from review.summary import summarise

# What conftest makes, and test folders are not packages to import it from:
Sandbox = Any
Run = Callable[..., Sandbox]

MESSAGES, TRADES = 41_248, 9_757  # of the recording
TIMEOUT_S = 40
CONFIGURATION = """
[trader]
name = "reviewed"
[local]
url = "{url}"
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
"""


@contextmanager
def trading(folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a trader for a `with` block; its runs lie in `data/reviewed`."""
    config = folder / "trader.toml"
    config.write_text(CONFIGURATION.format(url=url))
    secrets = {"WIRESTAMP_BINANCE_LOCAL_KEY": "sandbox", "WIRESTAMP_BINANCE_LOCAL_SECRET": "sandbox"}
    command = [sys.executable, "-m", "wirestamp", "run", "-c", str(config)]
    with (folder / "trader.log").open("wb") as log:
        trader = subprocess.Popen(command, env=os.environ | secrets, stderr=log)
    try:
        yield trader
    finally:
        trader.kill()
        trader.wait(timeout=10)


def reviews(runs: Path) -> Iterator[Review]:
    """Review the latest run again and again, from the moment at which there is one."""
    give_up = time.monotonic() + TIMEOUT_S
    while time.monotonic() < give_up:
        try:
            run = find_run(runs)
        except NoJournal:
            continue
        yield summarise(run)
    pytest.fail(f"the trader did not get on: {(runs.parents[1] / 'trader.log').read_text()[-2000:]}")


def test_a_run_is_reviewed_while_it_grows_and_when_it_has_ended(
    run_sandbox: Run, spot_recording: Path, tmp_path: Path
) -> None:
    """Counts never shrink; at the end they are the recording's and the exchange's own."""
    sandbox = run_sandbox(plain=True, replay=[spot_recording], speed="inf")
    with trading(tmp_path, sandbox.http_url) as trader:
        seen = [0]
        for review in reviews(tmp_path / "data" / "reviewed"):
            seen.append(review.messages)
            status = sandbox.get("/sandbox/status")
            if (MESSAGES, status["orders"], status["fills"]) == (review.messages, review.orders, review.fills):
                break
        trader.send_signal(signal.SIGTERM)
        assert 0 == trader.wait(timeout=10)
    assert sorted(seen) == seen
    review = summarise(Path(review.run.folder))
    assert (MESSAGES, TRADES, 0, 0) == (review.messages, review.trades, review.gaps, review.dropped)
    assert (status["orders"], status["fills"]) == (review.orders, review.fills)
    assert "asked to stop" == review.run.ended
    stamps = review.stamps
    assert (review.orders, review.orders) == (stamps.orders_sent, stamps.kernel_tx)
    assert 0 == stamps.order_violations
    assert stamps.kernel_rx_absent <= MESSAGES // 100
    assert review.orders == getattr(review.tick_to_trade.process, "n", 0)


@pytest.mark.parametrize("messages", [1, 15_000, 30_000])
def test_a_killed_run_is_reviewed_to_its_last_record(
    run_sandbox: Run, spot_recording: Path, tmp_path: Path, messages: int
) -> None:
    """Whatever SIGKILL interrupted: all messages journalled are counted, but for one whose row was not yet written."""
    sandbox = run_sandbox(plain=True, replay=[spot_recording], speed="inf")
    with trading(tmp_path, sandbox.http_url) as trader:
        for review in reviews(tmp_path / "data" / "reviewed"):
            if review.messages >= messages:
                break
        trader.kill()
        trader.wait(timeout=10)
    run = Path(review.run.folder)
    review = summarise(run)
    on_feed = [
        record
        for record in read_records(run)
        if record.type is RecordType.INBOUND and b'"stream"' in record.payload[:10]
    ]
    assert review.messages >= messages
    assert 0 <= len(on_feed) - review.messages <= 1
    assert sum(b"@trade" in record.payload[:40] for record in on_feed) == review.trades
    assert None is review.run.ended
    assert 0 == review.stamps.order_violations
