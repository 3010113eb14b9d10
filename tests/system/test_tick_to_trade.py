"""The benchmark as its user runs it, with the C floors only: they need nothing but a compiler and CAP_NET_RAW."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "tick_to_trade.py"
sys.path.insert(0, str(BENCH.parent))

from contenders import Contender, Place  # noqa: E402 - the benchmarks are scripts whose folder joins the path above
from tick_to_trade import Bench, measure_all, parse_options, prepare  # noqa: E402 - the same


def may_capture() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(not may_capture(), reason="needs CAP_NET_RAW"),
]


def bench(*arguments: str, temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(BENCH), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[Bench]:
    cores = os.sched_getaffinity(0)
    yield prepare(tmp_path, parse_options(["--seconds", "0.1", "--warmup", "0"]))
    os.sched_setaffinity(0, cores)


def test_both_floors_are_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    options = "--clients c_floor,c_floor_spin --rounds 2 --seconds 0.4 --warmup 0.1 --rate 1000 --json"
    process = bench(*options.split(), temporary=tmp_path)
    out, _ = process.communicate(timeout=60)
    results = json.loads(out)
    assert ["c_floor", "c_floor_spin"] == list(results)
    for found in results.values():
        assert 2 * 400 * 0.8 < found["n"] + found["missed"] <= 2 * 401
        assert 0 < found["p50_us"] <= found["p95_us"] <= found["p99_us"] < 1000
    assert 1.0 == results["c_floor"]["ratio_c_floor"]
    assert [] == list(tmp_path.iterdir())


def test_an_interrupt_ends_every_process_and_removes_every_file(tmp_path: Path) -> None:
    process = bench("--clients", "c_floor", "--seconds", "60", temporary=tmp_path)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started: list[str] = []
    while len(started) < 2 or not all(
        Path(f"/proc/{pid}/exe").resolve().stem in {"exchange", "client"} for pid in started
    ):
        assert process.poll() is None
        started = children.read_text().split()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert 130 == process.returncode
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert [] == list(tmp_path.iterdir())


def test_an_unknown_client_is_refused_with_the_names_that_exist(tmp_path: Path) -> None:
    process = bench("--clients", "c_flor", temporary=tmp_path)
    _, err = process.communicate(timeout=30)
    assert 2 == process.returncode
    assert "c_floor_spin" in err
    assert "c_flor" in err


def test_a_client_that_fails_is_reported_with_what_it_printed_and_the_others_go_on(prepared: Bench) -> None:
    def broken_command(_: object) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('no luck today')"]

    def floor_command(place: Place) -> list[str]:
        return [str(place.client), str(place.port), "wait"]

    chosen = [Contender(name, command, lambda: None) for name, command in
              (("broken", broken_command), ("c_floor", floor_command))]  # fmt: skip
    results, failures = measure_all(chosen, prepared, rounds=2)
    assert ["c_floor"] == list(results)
    assert 1 == sum("broken ended with status 1" in failure and "no luck today" in failure for failure in failures)


def test_without_the_right_to_capture_the_benchmark_says_so_and_ends_with_status_3(tmp_path: Path) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    done = subprocess.run(
        [*without, sys.executable, str(BENCH), "--clients", "c_floor"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert 3 == done.returncode
    assert "CAP_NET_RAW" in done.stderr
