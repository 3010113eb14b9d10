"""The demo as a newcomer meets it: without recordings, with broken ones, and interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

WIRESTAMP = [sys.executable, "-m", "wirestamp"]


def demo(data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the demo to its end."""
    command = [*WIRESTAMP, "demo", "--data", str(data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def children(process: "subprocess.Popen[Any]") -> list[int]:
    """Return the processes that a process has started."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def test_synthetic_market(tmp_path: Path) -> None:
    """Nothing but the project: messages, trades, and the review's object alone on standard output."""
    done = demo(tmp_path, "--seconds", "3", "--json")
    assert 0 == done.returncode, done.stderr
    review = json.loads(done.stdout)
    assert review["messages"] > 50
    assert (0, 0) == (review["gaps"], review["dropped"])


def test_truncated_recording(tmp_path: Path, spot_recording: Path) -> None:
    """What came before the damage is kept; the message names file and line."""
    cut = tmp_path / "cut.gz"
    cut.write_bytes(spot_recording.read_bytes()[:200_000])
    done = demo(tmp_path / "data", "--replay", str(cut), "--speed", "max")
    assert 1 == done.returncode
    assert "cut.gz, line" in done.stderr
    assert "truncated" in done.stderr
    review = subprocess.run(
        [*WIRESTAMP, "review", str(tmp_path / "data" / "demo"), "--json"], capture_output=True, text=True, check=False
    )
    assert json.loads(review.stdout)["messages"] > 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, a kill or a closed terminal, just as the second process begins: neither is left behind."""
    process = subprocess.Popen(
        [*WIRESTAMP, "demo", "--data", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    give_up = time.monotonic() + 30
    while len(started := children(process)) < 2 and time.monotonic() < give_up:
        pass
    process.send_signal(number)
    process.communicate(timeout=30)
    assert 2 == len(started)
    assert not any(Path(f"/proc/{pid}").exists() and _is_ours(pid) for pid in started)
    assert process.returncode not in (None, 0)


def test_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to end anybody: the kernel ends the processes that were started."""
    process = subprocess.Popen(
        [*WIRESTAMP, "demo", "--data", str(tmp_path), "--seconds", "60"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (started := [pid for pid in children(process) if _is_ours(pid)]) or not any(tmp_path.glob("demo/*")):
        assert process.poll() is None
    process.kill()
    process.wait()
    give_up = time.monotonic() + 20
    while any(_is_ours(pid) for pid in started):
        assert time.monotonic() < give_up, f"still there: {started}"


def test_a_key_log_is_the_traders_alone(tmp_path: Path) -> None:
    """The other processes inherit nothing of it, so the file is made by the trader, for its owner's eyes only."""
    secrets = tmp_path / "secrets"
    command = [*WIRESTAMP, "demo", "--data", str(tmp_path / "data"), "--seconds", "1", "--json"]
    environment = os.environ | {"SSLKEYLOGFILE": str(secrets)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert 0 == done.returncode, done.stderr
    assert 0o600 == secrets.stat().st_mode & 0o777
    assert "CLIENT_TRAFFIC_SECRET_0" in secrets.read_text()


def _is_ours(pid: int) -> bool:
    try:
        return b"wirestamp" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_two_demos_at_once(tmp_path: Path) -> None:
    """Each has a port and a folder of its own."""
    running = [
        subprocess.Popen(
            [*WIRESTAMP, "demo", "--data", str(tmp_path / name), "--seconds", "2", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    for process in running:
        output, error = process.communicate(timeout=60)
        assert 0 == process.returncode, error
        assert json.loads(output)["messages"] > 0
