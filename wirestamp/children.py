"""Processes that a command starts and ends: each `wirestamp …` again, with its log beside the data."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

_START_TIMEOUT_S = 20.0
_PR_SET_PDEATHSIG = 1  # `linux/prctl.h`
_STOP_TIMEOUT_S = 10.0

_prctl = ctypes.CDLL(None).prctl


class Interrupts:
    """Turns signals into KeyboardInterrupt, but not while a process is being started or ended."""

    def __init__(self) -> None:
        self._held = self._pending = False

    def watch(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP from now on: the processes that were started end with us."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._pending = True

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Let signals wait until the block is done."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before
        if self._pending and not self._held:
            self._pending = False
            raise KeyboardInterrupt


interrupts = Interrupts()


class Child:
    """A running `wirestamp` command.

    Attributes:
        name: what it is, for messages.
    """

    def __init__(self, name: str, process: "subprocess.Popen[str]", log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    def line(self) -> dict[str, Any] | None:
        """Wait for the JSON line that it prints once it serves; None when it ended instead."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            self._process.wait(_START_TIMEOUT_S)
            return None
        said: dict[str, Any] = json.loads(text)
        return said

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def end(self) -> None:
        """End it in order, or else by force."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _end_with_parent() -> None:
    """Have the kernel end this process when its parent is killed."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def child(
    name: str, arguments: Sequence[str], data: Path, prefix: Sequence[str] = (), more: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Run `wirestamp ARGUMENTS` until the block ends.

    Args:
        name: what it is; its log is `NAME.log`.
        arguments: of the command.
        data: the folder of its log.
        prefix: what starts it elsewhere, such as `ip netns exec NAME`.
        more: environment variables beside ours.
    """
    environment = {
        "WIRESTAMP_BINANCE_LOCAL_KEY": "sandbox",
        "WIRESTAMP_BINANCE_LOCAL_SECRET": "sandbox",
        **{key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"},
        **(more or {}),
    }
    running: Child | None = None
    path = data / f"{name}.log"
    try:
        with path.open("w", encoding="utf-8") as log, interrupts.hold():
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*prefix, sys.executable, "-m", "wirestamp", *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end it in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, by a function that is loaded already
            )  # fmt: skip
            running = Child(name, process, path)
        yield running
    finally:
        if running is not None:
            with interrupts.hold():
                running.end()
