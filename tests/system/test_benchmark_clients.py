"""The contract that the figures stand on: every client answers every trade with exactly one order."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from contenders import Contender, Place, contenders
from local_exchange import Exchange, compile_program, make_certificate
from tick_to_trade import running

TICKS = 40
RATE = 20  # ccxt.pro hands out what came during an order only with the next trade: the last must find it idle
PATIENCE_SECONDS = 20.0
INSTALLED = [contender for contender in contenders() if contender.absent() is None]

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.mark.parametrize("contender", INSTALLED, ids=lambda contender: contender.name)
def test_every_trade_causes_exactly_one_order(contender: Contender, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    certificate = make_certificate(tmp_path)
    with Exchange(compile_program("exchange", tmp_path), certificate, rate=RATE, core=core, ticks=TICKS) as exchange:
        port = exchange.tls_port if contender.tls else exchange.port
        place = Place(port, compile_program("client", tmp_path), certificate[0], tmp_path)
        deadline = time.monotonic() + PATIENCE_SECONDS
        with running(contender, place, core) as client:
            while exchange.counts()["orders"] < TICKS and time.monotonic() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    client.wait(timeout=0.05)  # it should not end; asking without pause would take its core away
        counts = exchange.counts()
    assert {"ticks": TICKS, "orders": TICKS} == counts, (tmp_path / "output").read_text()
