"""Processes that a command starts end with it, whatever happens, and their last words can be had."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirestamp import children
from wirestamp.children import Child, Interrupts, child

FLAGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SERVING = "import signal; print('{\"port\": 7}', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); signal.pause()"
FAILING = "import sys; print('first', file=sys.stderr); sys.exit('the port is taken')"


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Watched signals; the test's own handlers come back."""
    before = [signal.getsignal(number) for number in FLAGS]
    watching = Interrupts()
    watching.watch()
    yield watching
    for number, handler in zip(FLAGS, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What stands in for `python -m wirestamp …`: the first argument is a program."""
    script = tmp_path / "stand-in"
    script.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -c "$1"\n')
    script.chmod(0o700)
    monkeypatch.setattr(children.sys, "executable", str(script))
    return script


@pytest.mark.parametrize("number", FLAGS)
def test_a_signal_interrupts(interrupts: Interrupts, number: signal.Signals) -> None:
    """Each of those that end a command."""
    assert not interrupts._held
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_a_signal_waits_while_it_is_held(interrupts: Interrupts) -> None:
    """It comes when the outermost block is done, once."""
    done = []

    def held() -> None:
        with interrupts.hold():
            with interrupts.hold():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        held()
    assert ["inner", "outer"] == done
    with interrupts.hold():
        pass


@pytest.mark.usefixtures("program")
def test_a_child_says_when_it_serves_and_ends_with_the_block(tmp_path: Path) -> None:
    """In order, with SIGTERM."""
    with child("exchange", [SERVING], tmp_path) as running:
        assert {"port": 7} == running.line()
        assert not running.ended
    assert running.ended
    assert -signal.SIGTERM == running._process.returncode


@pytest.mark.usefixtures("program")
def test_a_child_that_does_not_start(tmp_path: Path) -> None:
    """Its last words are the last line of its log."""
    with child("exchange", [FAILING], tmp_path) as running:
        assert None is running.line()
        assert running.ended
        assert "the port is taken" == running.last_words()
    assert "first\nthe port is taken\n" == (tmp_path / "exchange.log").read_text()


@pytest.mark.usefixtures("program")
def test_a_child_that_does_not_hear_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while."""
    monkeypatch.setattr(children, "_STOP_TIMEOUT_S", 0.05)
    with child("exchange", [DEAF], tmp_path) as running:
        assert {} == running.line()
    assert -signal.SIGKILL == running._process.returncode


@pytest.mark.usefixtures("program")
def test_a_child_ends_also_when_the_block_fails(tmp_path: Path) -> None:
    """Nothing is left running."""
    started = []

    def interrupted() -> None:
        with child("exchange", [SERVING], tmp_path) as running:
            started.append(running)
            running.line()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [True] == [running.ended for running in started]


def test_last_words_of_an_empty_log(tmp_path: Path) -> None:
    """There are none."""
    log = tmp_path / "a.log"
    log.touch()
    with subprocess.Popen([sys.executable, "-c", ""], text=True) as process:
        assert "" == Child("a", process, log).last_words()


@pytest.mark.usefixtures("program")
def test_what_a_child_inherits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox's account unless another is named; not the folder of a service."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/wirestamp")
    monkeypatch.setenv("WIRESTAMP_BINANCE_LOCAL_KEY", "mine")
    names = ["STATE_DIRECTORY", "WIRESTAMP_BINANCE_LOCAL_KEY", "WIRESTAMP_BINANCE_LOCAL_SECRET"]
    telling = f"import json, os; print(json.dumps({{'told': [os.environ.get(name) for name in {names}]}}))"
    with child("exchange", [telling], tmp_path) as running:
        assert {"told": [None, "mine", "sandbox"]} == running.line()
