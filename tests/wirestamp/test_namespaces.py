"""Namespaces are told from others' by their names; what is missing is said in words."""

import os
import sys
from pathlib import Path

import pytest

from wirestamp import namespaces
from wirestamp.namespaces import NamespaceError, Namespaces, lacking, remove_leftovers

NO_PROCESS = 2**22 + 1  # beyond the kernel's largest pid


def test_only_what_a_dead_process_of_ours_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a living one's, nor anything that is merely called alike."""
    parent = os.getppid()
    for name in (
        f"wirestamp-{NO_PROCESS}-1-trader", f"wirestamp-{NO_PROCESS}-12-monitor", f"wirestamp-{parent}-1-trader",
        f"wirestamp-{NO_PROCESS}", f"wirestamp-{NO_PROCESS}-1-", "wirestamp-lab-1-trader",
        f"my-wirestamp-{NO_PROCESS}-1-trader",
    ):  # fmt: skip
        (tmp_path / name).touch()
    deleted: list[str] = []
    monkeypatch.setattr(namespaces, "_FOLDER", tmp_path)
    monkeypatch.setattr(namespaces, "_failure", lambda command: deleted.append(command[-1]) or "")
    expected = [f"wirestamp-{NO_PROCESS}-1-trader", f"wirestamp-{NO_PROCESS}-12-monitor"]
    assert expected == remove_leftovers()
    assert expected == deleted


def test_what_another_process_has_just_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two may start at once: who comes second has removed nothing."""
    (tmp_path / f"wirestamp-{NO_PROCESS}-1-trader").touch()
    monkeypatch.setattr(namespaces, "_FOLDER", tmp_path)
    monkeypatch.setattr(namespaces, "_failure", lambda _: "No such file or directory")
    assert [] == remove_leftovers()


@pytest.mark.parametrize("program", ["ip", "tc"])
def test_a_missing_program_is_named(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package that brings it."""
    monkeypatch.setattr(namespaces.shutil, "which", lambda name: None if name == program else f"/sbin/{name}")
    assert f"the program {program} is not installed (package iproute2)" == lacking(["ip", "tc"])


@pytest.mark.parametrize(
    ("effective", "expected"),
    [
        ("000001ffffffffff", None),
        ("0000000000201000", None),
        ("0000000000200000", "CAP_NET_ADMIN missing: network namespaces need root"),
        ("0000000000001000", "CAP_SYS_ADMIN missing: network namespaces need root"),
        ("0000000000000000", "CAP_NET_ADMIN and CAP_SYS_ADMIN missing: network namespaces need root"),
    ],
)
def test_a_missing_right_is_named(effective: str, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the effective capabilities, not by the user's number."""
    status = f"Name:\ttrader\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\n"
    monkeypatch.setattr(namespaces.Path, "read_text", lambda *_, **__: status)
    assert expected == lacking([])


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ([sys.executable, "-c", ""], ""),
        ([sys.executable, "-c", "import sys; sys.exit('no such device')"], "no such device"),
        ([sys.executable, "-c", "import sys; sys.exit(7)"], "exit status 7"),
        (["/nowhere/ip"], "[Errno 2] No such file or directory: '/nowhere/ip'"),
    ],
)
def test_a_failure_has_the_programs_own_words(command: list[str], expected: str) -> None:
    """Or its exit status, or why it did not start."""
    assert expected == namespaces._failure(command)


def test_an_error_names_purpose_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a person can try it."""
    monkeypatch.setattr(namespaces, "_FOLDER", tmp_path)
    monkeypatch.setattr(namespaces, "_failure", lambda command: "refused" if "add" in command else "")
    standing = set(namespaces._standing)  # other tests' own
    made = Namespaces(("trader",))
    with pytest.raises(
        NamespaceError, match=r"^network namespaces \(CONFIG_NET_NS\): `ip netns add .*` failed: refused$"
    ):
        made.make()
    made.remove()
    assert standing == namespaces._standing


def test_a_command_is_wrapped() -> None:
    """In the way that ip-netns(8) wants it."""
    made = Namespaces(("trader", "monitor"))
    assert ["ip", "netns", "exec", made.names["monitor"], "tcpdump", "-n"] == made.command("monitor", ["tcpdump", "-n"])
