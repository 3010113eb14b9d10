"""Whole runs of the real commands: a sandbox and a trader as processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from journal.runs import find_run

WIRESTAMP = [sys.executable, "-m", "wirestamp"]
CREDENTIALS = {"WIRESTAMP_BINANCE_LOCAL_KEY": "sandbox", "WIRESTAMP_BINANCE_LOCAL_SECRET": "sandbox"}

CONFIGURATION = """\
[trader]
name = "test"
{trader}
[local]
url = "{url}"
{ca}
[[feed]]
venue = "binance"
environment = "local"
symbols = ["{symbol}"]
channels = ["trade", "book", "quote"]
[[route]]
name = "main"
kind = "venue"
venue = "binance"
environment = "local"
[[strategy]]
use = "{use}"
route = "main"
"""


@dataclass
class DemoRun:
    """A finished demo: its run's folder and the review that it printed."""

    folder: Path
    review: dict[str, Any]


def run_demo(data: Path, *arguments: str) -> DemoRun:
    """Run `wirestamp demo --json` to its end."""
    done = subprocess.run(
        [*WIRESTAMP, "demo", "--json", "--data", str(data), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return DemoRun(find_run(data / "demo"), json.loads(done.stdout))


@pytest.fixture(scope="session")
def spot_run(tmp_path_factory: pytest.TempPathFactory, spot_recording: Path) -> DemoRun:
    """The first spot recording, as fast as it can be read, over TLS."""
    data = tmp_path_factory.mktemp("spot")
    return run_demo(data, "--replay", str(spot_recording), "--speed", "max")


@pytest.fixture(scope="session")
def midnight_run(tmp_path_factory: pytest.TempPathFactory, spot_recording: Path) -> DemoRun:
    """Both spot recordings, one after the other, through midnight."""
    second = spot_recording.with_name("spot_btcusdt_20240809.gz")
    data = tmp_path_factory.mktemp("midnight")
    return run_demo(data, "--replay", str(spot_recording), "--replay", str(second), "--speed", "max", "--plain")


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Path]:
    """Write a trader's configuration for an exchange at `url`; returns the file."""

    def write(
        url: str,
        *,
        ca: str | None = None,
        symbol: str = "BTC-USDT",
        use: str = "strategies.volume_modulo:VolumeModulo",
        trader: str = "",
    ) -> Path:
        file = tmp_path / "trader.toml"
        line = f'ca = "{ca}"' if ca else ""
        file.write_text(CONFIGURATION.format(url=url, ca=line, symbol=symbol, use=use, trader=trader))
        return file

    return write


@pytest.fixture
def run_trader() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `wirestamp run` until it ends by itself; returns what it printed and its status."""

    def run(config: Path, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*WIRESTAMP, "run", "-c", str(config)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=os.environ | CREDENTIALS,
            check=False,
        )

    return run
