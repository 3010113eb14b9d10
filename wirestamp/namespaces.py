"""Network namespaces of this process: made by name, filled with links, and gone again whatever happens.

A namespace is called `wirestamp-<pid>-<number>-<place>`; everything that stands in it goes when it goes. Those that a
process left behind because it was killed are told by its pid, and removed by the next one that makes any.

Commands run one after the other in a thread of their own, so that an exception in the caller's thread, such as the
KeyboardInterrupt of Ctrl-C, never falls between the start of a command and the knowledge of it: what undoes a step
waits until the step is done. A second Ctrl-C hastens nothing: Python's exit waits for that thread.
"""

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_FOLDER = Path("/run/netns")  # where ip-netns(8) keeps the names
_NAME = re.compile(r"wirestamp-(\d+)-(\d+)-\w+")
_TIMEOUT_S = 20.0
_CLONE_NEWNET = 0x40000000  # `linux/sched.h`; os.setns comes with Python 3.12
_RIGHTS = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}  # bits of a capability set, `linux/capability.h`

_numbers = itertools.count(1)
_standing: set[int] = set()  # numbers of this process's own; its pid may have been that of a dead one


class NamespaceError(Exception):
    """A namespace could not be made or filled; the message says for what, and holds the program's own words."""


class Namespaces:
    """Some network namespaces of this process, to be made once and removed once.

    Args:
        places: what each is for; a word.

    Attributes:
        names: the namespace's name, by place.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._number = next(_numbers)
        self.names = {place: f"wirestamp-{os.getpid()}-{self._number}-{place}" for place in places}
        self._worker = ThreadPoolExecutor(1, "namespaces")

    def make(self) -> None:
        """Make them, empty but for the loopback.

        Raises:
            NamespaceError: they cannot be made here; some may have been.
        """
        _standing.add(self._number)
        self._worker.submit(remove_leftovers).result()
        for place, name in self.names.items():
            self._run("network namespaces (CONFIG_NET_NS)", ["ip", "netns", "add", name])
            self.ip("the loopback", place, "link set lo up")

    def remove(self) -> None:
        """Remove what was made of them, once the command that runs just now is done."""
        removed = self._worker.submit(self._delete)
        self._worker.shutdown(wait=False)
        removed.result()

    def command(self, place: str, arguments: Sequence[str]) -> list[str]:
        """Return the command that runs another one in a namespace; its process is that of the other one.

        Raises:
            KeyError: there is no such place.
        """
        return ["ip", "netns", "exec", self.names[place], *arguments]

    def ip(self, purpose: str, place: str, *lines: str) -> None:
        """Run `ip LINE` in a namespace for each line.

        Args:
            purpose: what for, and which feature of the kernel it needs; the beginning of an error's sentence.
            place: where.
            lines: arguments of ip(8), separated by blanks.

        Raises:
            NamespaceError: one failed.
        """
        for line in lines:
            self._run(purpose, ["ip", "-n", self.names[place], *line.split()])

    def tc(self, purpose: str, place: str, *lines: str) -> None:
        """Run `tc LINE` in a namespace for each line, as `ip` does."""
        for line in lines:
            self._run(purpose, ["tc", "-n", self.names[place], *line.split()])

    def _run(self, purpose: str, command: Sequence[str]) -> None:
        failure = self._worker.submit(_failure, command).result()
        if failure:
            raise NamespaceError(f"{purpose}: `{' '.join(command)}` failed: {failure}")

    def _delete(self) -> None:
        for name in self.names.values():
            _failure(["ip", "netns", "del", name])  # fails for one that was never made
        _standing.discard(self._number)


@contextlib.contextmanager
def inside_namespace(name: str) -> Iterator[None]:
    """Make the block's new sockets, if this thread makes them, those of a network namespace.

    Args:
        name: as ip-netns(8) knows it.

    Raises:
        OSError: there is no such namespace, or the right to enter it is missing.
    """
    with open("/proc/thread-self/ns/net", "rb") as home, (_FOLDER / name).open("rb") as there:  # noqa: PTH123 - no file
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def lacking(programs: Sequence[str]) -> str | None:
    """Return which program or right is missing for network namespaces, in words; None when none is."""
    for program in programs:
        if shutil.which(program) is None:
            return f"the program {program} is not installed (package iproute2)"
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    effective = int(status["CapEff"], 16)
    absent = [name for bit, name in _RIGHTS.items() if not effective >> bit & 1]
    if absent:
        return f"{' and '.join(absent)} missing: network namespaces need root"
    return None


def remove_leftovers() -> list[str]:
    """Remove the namespaces of our processes that are no more; return their names.

    Processes that still run in one go on there, and take it with them when they end.
    """
    removed = []
    for path in sorted(_FOLDER.glob("wirestamp-*")):
        found = _NAME.fullmatch(path.name)
        if found and not _stands(int(found[1]), int(found[2])) and not _failure(["ip", "netns", "del", path.name]):
            removed.append(path.name)
    return removed


def _stands(pid: int, number: int) -> bool:
    return number in _standing if pid == os.getpid() else Path(f"/proc/{pid}").exists()


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _failure(command: Sequence[str]) -> str:
    """Run a command; return what it said if it failed, or nothing."""
    try:
        done = subprocess.run(  # noqa: S603 - commands of this package
            command,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
            process_group=0,  # a terminal's Ctrl-C is for the caller, not for a step that is half done
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"
