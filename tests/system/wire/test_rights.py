"""The demo with and without the rights that a capture needs."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from wirestamp.mirror import missing

DEMO = [sys.executable, "-m", "wirestamp", "demo", "--json"]
RESENT = "sent again before it was acknowledged; which copy arrived is not known"


def without(*capabilities: str) -> list[str]:
    """Return what runs a command without some capabilities; without any for an ordinary user."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to give up a right")
    dropped = ",".join(f"-{name}" for name in capabilities)
    return ["setpriv", "--bounding-set", dropped, "--inh-caps", dropped]


def demo(prefix: list[str], data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the demo to its end."""
    command = [*prefix, *DEMO, "--data", str(data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def words(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())


@pytest.fixture
def may_capture() -> None:
    """Skip where packets cannot be captured."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        pytest.skip("needs CAP_NET_RAW")


def test_without_rights(tmp_path: Path) -> None:
    """The missing capability is named; all the rest goes on."""
    done = demo(without("net_raw"), tmp_path, "--seconds", "2")
    assert 0 == done.returncode, done.stderr
    assert "nothing is captured, because this needs the capability CAP_NET_RAW" in words(done.stderr)
    review = json.loads(done.stdout)
    assert review["messages"] > 0
    assert (None, None) == (review["wire"], review["clock"])


@pytest.mark.usefixtures("may_capture")
def test_on_loopback(tmp_path: Path, spot_recording: Path) -> None:
    """One machine has one clock: no probe is needed, every message meets its packet, no stamp is refuted."""
    done = demo([], tmp_path, "--replay", str(spot_recording), "--speed", "10", "--seconds", "4")
    assert 0 == done.returncode, done.stderr
    assert "reads the packets from loopback" in words(done.stderr)
    review = json.loads(done.stdout)
    wire, clock = review["wire"], review["clock"]
    assert review["messages"] > 1000
    assert ("one clock", 0, 0, 0) == tuple(clock[name] for name in ("basis", "lower_ns", "upper_ns", "widest_ns"))
    assert set(wire["unmatched"]["rx"]) <= {RESENT}
    assert ({}, wire["matched_tx"]) == (wire["unmatched"]["tx"], wire["matched_tx"] + wire["unmatched_tx"])
    assert (0, 0) == (wire["causality_violations"], wire["order_violations"])
    assert wire["unrefuted"] >= 2 * review["orders"] > 0


@pytest.mark.parametrize(
    ("capabilities", "reason"),
    [
        (("net_admin", "sys_admin"), "CAP_NET_ADMIN and CAP_SYS_ADMIN missing: network namespaces need root"),
        (("net_raw",), "CAP_NET_RAW"),
    ],
)
def test_a_mirror_without_rights(capabilities: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    """It does not start: the status says so, and the message says why."""
    if "net_raw" in capabilities and (other := missing()) is not None:
        pytest.skip(f"cannot be without CAP_NET_RAW alone: {other}")
    done = demo(without(*capabilities), tmp_path, "--mirror", "--seconds", "2")
    assert 3 == done.returncode, done.stderr
    assert reason in words(done.stderr)
    assert "" == done.stdout
    assert not any(tmp_path.glob("demo/*/"))
