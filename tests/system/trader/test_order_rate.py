"""Orders in a burst, tens of thousands a second: none is lost and none lacks its kernel stamp."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

THROUGHPUT = Path(__file__).parents[3] / "benchmarks" / "throughput.py"


def test_every_order_of_a_burst_is_acknowledged_and_stamped() -> None:
    """50,000 unpaced orders: sent, taken, acknowledged, each with kernel_tx (its speed is `make bench`'s to say)."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler for the exchange of benchmarks/")
    done = subprocess.run(
        [sys.executable, str(THROUGHPUT), "--only", "orders", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    seen = json.loads(done.stdout)["orders"]
    assert 50_000 == seen["orders"]
    assert [50_000] * 3 == [seen[key] for key in ("taken_by_exchange", "acknowledged", "with_kernel_tx")]
