"""The contract that the figures stand on: every client answers every trade with exactly one order."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from contenders import Contender, Place, contenders
from local_exchange import Exchange, compile_program, make_certificate
from tick_to_trade import running

TICKS = 40
PATIENCE_SECONDS = 20.0
INSTALLED = [contender for contender in contenders() if contender.absent() is None]

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.mark.parametrize("contender", INSTALLED, ids=lambda contender: contender.name)
def test_every_trade_causes_exactly_one_order(contender: Contender, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    certificate = make_certificate(tmp_path)
    with Exchange(compile_program("exchange", tmp_path), certificate, rate=200, core=core, ticks=TICKS) as exchange:
        port = exchange.tls_port if contender.tls else exchange.port
        place = Place(port, compile_program("client", tmp_path), certificate[0], tmp_path)
        deadline = time.monotonic() + PATIENCE_SECONDS
        with running(contender, place, core):
            while exchange.counts()["orders"] < TICKS and time.monotonic() < deadline:
                pass
        counts = exchange.counts()
    printed = (tmp_path / "output").read_text()
    if contender.name == "ccxt_pro":  # it hands out what came during an order only with the next trade: there is none
        assert TICKS == counts["ticks"]
        assert 1 <= counts["orders"] <= TICKS, printed
    else:
        assert {"ticks": TICKS, "orders": TICKS} == counts, printed
