"""Whole runs with a capture: the demo between namespaces, copies of its journals with times changed, parts at will."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from crosscheck.check import CrossCheck
from journal.errors import NoJournal
from journal.layout import ABSENT, PAGE_BYTES, ROW_LOGS, RecordType
from journal.reader import read_records, read_rows, repair_seal
from journal.runs import create_run, find_run, list_runs
from journal.wire import WIRE_LOGS
from journal.writer import Journal
from review.agreement import check_against
from review.monitor import read_monitor
from review.records import read_run_records
from review.stamps import read_row_logs
from wirestamp.children import Child, child
from wirestamp.mirror import Mirror, missing

WIRESTAMP = [sys.executable, "-m", "wirestamp"]
SHIFT_NS, STRETCH_PPM = 123_000_000, 20
MONITOR_TIMES = {"time", "opened", "closed", "t1", "t4"}  # fields of its rows (`journal.wire`)
TIMEOUT_S = 30
POLL_S = 0.05

CONFIGURATION = """\
[trader]
name = "{name}"
data_dir = "."
[local]
url = "{url}"
ca = "{ca}"
[[feed]]
venue = "binance"
environment = "local"
symbols = ["BTC-USDT"]
channels = {channels}
[[route]]
name = "main"
kind = "venue"
venue = "binance"
environment = "local"
[[strategy]]
use = "strategies.volume_modulo:VolumeModulo"
route = "main"
"""


@dataclass(frozen=True)
class WireRun:
    """A finished demo: its process id, the runs of trader and monitor, and the review that it printed."""

    pid: int
    trader: Path
    monitor: Path
    review: dict[str, Any]


@pytest.fixture(scope="session")
def mirror_possible() -> None:
    """Skip where the three namespaces cannot be built."""
    absent = missing()
    if absent:
        pytest.skip(absent)


def run_demo(data: Path, *arguments: str) -> WireRun:
    """Run `wirestamp demo --mirror --json` to its end."""
    command = [*WIRESTAMP, "demo", "--mirror", "--json", "--data", str(data), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            said, error = process.communicate(timeout=180)
        finally:
            process.terminate()
    assert 0 == process.returncode, error
    return WireRun(process.pid, find_run(data / "demo"), find_run(data / "monitor"), json.loads(said))


@pytest.fixture(scope="session")
def minute(
    mirror_possible: None,  # noqa: ARG001 - skips
    tmp_path_factory: pytest.TempPathFactory,
    spot_recording: Path,
) -> WireRun:
    """A minute of the recording at five times its speed, over TLS."""
    data = tmp_path_factory.mktemp("minute")
    return run_demo(data, "--replay", str(spot_recording), "--speed", "5", "--seconds", "62")


@pytest.fixture(scope="session")
def unsegmented(
    mirror_possible: None,  # noqa: ARG001 - skips
    tmp_path_factory: pytest.TempPathFactory,
    spot_recording: Path,
) -> WireRun:
    """Some seconds of the recording, faster, on a feed link whose frames are no longer than its MTU."""
    data = tmp_path_factory.mktemp("unsegmented")
    options = ("--speed", "15", "--seconds", "15", "--gso-max-segs", "1")
    return run_demo(data, "--replay", str(spot_recording), *options)


@dataclass(frozen=True)
class Warped:
    """A copy of a monitor's run, as if its clock had been another one.

    Attributes:
        folder: the copy.
        start_ns: where the clocks differ by the shift alone, ns of the true time.
    """

    folder: Path
    start_ns: int

    def clock(self, true_ns: np.ndarray) -> np.ndarray:
        """Return what the other clock shows: the true time, shifted and stretched."""
        return true_ns + SHIFT_NS + (true_ns - self.start_ns) * STRETCH_PPM // 1_000_000


@pytest.fixture(scope="session")
def warped(minute: WireRun, tmp_path_factory: pytest.TempPathFactory) -> Warped:
    """The minute, captured by a clock that is 123 ms ahead and 20 ppm fast, on another machine."""
    start_ns = int(read_rows(minute.monitor, "packets")[0]["time"][0])
    copy = Warped(create_run(tmp_path_factory.mktemp("warped"), start_ns), start_ns)
    with contextlib.closing(Journal(copy.folder, WIRE_LOGS)) as journal:
        for log, dtype in WIRE_LOGS.items():
            for chain in read_rows(minute.monitor, log):
                rows = chain.copy()
                for name in MONITOR_TIMES.intersection(dtype.names or ()):
                    rows[name] = np.where(rows[name] == ABSENT, ABSENT, copy.clock(rows[name]))
                journal.rows[log].extend(rows)
        for record in read_records(minute.monitor):
            payload = record.payload
            if record.type is RecordType.CONFIG:
                payload = json.dumps(json.loads(payload) | {"boot_id": None}).encode()
            when_ns = int(copy.clock(np.int64(record.time_ns)))
            journal.records.append(record.type, record.trace, when_ns, record.conn, payload)
    return copy


class MovableRun:
    """A copy of a trader's run in which single stamps can be moved for a while."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def moved(self, log: str, row: int, hop: str, by_ns: int) -> Iterator[None]:
        """Move a stamp of a row, with its CRC repaired, until the block ends."""
        assert 1 == len(read_rows(self.folder, log)), "the log has more than one segment"
        size = ROW_LOGS[log].itemsize
        at = PAGE_BYTES + row * size
        with (self.folder / f"{log}-000000.wsj").open("r+b") as file:
            before = os.pread(file.fileno(), size, at)
            after = bytearray(before)
            np.frombuffer(after, ROW_LOGS[log])[hop] += by_ns
            repair_seal(after, 0, size)
            os.pwrite(file.fileno(), after, at)
            try:
                yield
            finally:
                os.pwrite(file.fileno(), before, at)


@pytest.fixture(scope="session")
def movable(minute: WireRun, tmp_path_factory: pytest.TempPathFactory) -> MovableRun:
    """The minute's trader, to be tampered with."""
    return MovableRun(Path(shutil.copytree(minute.trader, tmp_path_factory.mktemp("movable") / "run")))


class Parts:
    """An exchange between namespaces; traders and captures are started and ended at will.

    Attributes:
        data: the folder of everything.
    """

    def __init__(self, data: Path, recording: Path, speed: str) -> None:
        self.data = data
        self._sandbox = ["--data", str(data / "sandbox"), "--replay", str(recording), "--speed", speed]
        self._mirror = Mirror()
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as running:
            running.enter_context(self._mirror)
            host = self._mirror.exchange_address
            exchange = self._start(
                running, "exchange", "exchange", "sandbox", "--port", "0", "--host", host, *self._sandbox
            )
            said = self._said(exchange)
            self._url, self._ca = said["url"], said["ca"]
            host = self._mirror.responder_address
            responder = self._start(running, "responder", "trader", "responder", "--host", host, "--port", "0")
            self._responder = f"{host}:{self._said(responder)['port']}"
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self, running: contextlib.ExitStack, name: str, where: str, *arguments: str) -> Child:
        return running.enter_context(child(name, arguments, self.data, self._mirror.command(where, [])))

    @staticmethod
    def wait_until(done: Callable[[], bool], what: str, *needed: Child) -> None:
        """Ask again and again until it is so, as long as the processes live that it needs."""
        give_up = time.monotonic() + TIMEOUT_S
        while not done():
            assert time.monotonic() < give_up, f"waited in vain for {what}"
            for process in needed:
                assert not process.ended, process.last_words()
            time.sleep(POLL_S)

    @staticmethod
    def rows_in(run: Path, log: str) -> int:
        """Return how many rows a log has by now."""
        try:
            return sum(map(len, read_rows(run, log, verify=False)))
        except NoJournal:  # made a moment after the records
            return 0

    @staticmethod
    def _said(process: Child) -> dict[str, Any]:
        line = process.line()
        assert line is not None, process.last_words()
        return line

    @contextlib.contextmanager
    def trader(
        self, name: str, channels: Sequence[str] = ("trade", "book", "quote"), *, kill: bool = False
    ) -> Iterator[Path]:
        """Run a trader until the block ends, or SIGKILL it then; gives its run, in which messages have come."""
        before = set(list_runs(self.data / name))
        config = self.data / f"{name}.toml"
        config.write_text(CONFIGURATION.format(name=name, url=self._url, ca=self._ca, channels=json.dumps(channels)))
        with contextlib.ExitStack() as running:
            process = self._start(running, name, "trader", "run", "-c", str(config))
            self.wait_until(lambda: set(list_runs(self.data / name)) > before, "the run", process)
            (run,) = set(list_runs(self.data / name)) - before
            self.wait_until(lambda: self.rows_in(run, "received") > 0, "the first message", process)
            yield run
            if kill:
                process._process.kill()

    @contextlib.contextmanager
    def capture(self, name: str) -> Iterator[Path]:
        """Capture on the monitor until the block ends; gives the capture's run."""
        with contextlib.ExitStack() as running:
            arguments = ["-i", self._mirror.monitor_interface, "--data", str(self.data / name)]
            arguments += ["--probe", self._responder, "--port", self._url.rpartition(":")[2]]
            yield Path(self._said(self._start(running, name, "monitor", "capture", *arguments))["run"])


@pytest.fixture(scope="session")
def start_parts(
    mirror_possible: None,  # noqa: ARG001 - skips
    tmp_path_factory: pytest.TempPathFactory,
    spot_recording: Path,
) -> Callable[[str], Parts]:
    """Make an exchange that plays the recording at a speed; what else runs is the caller's choice."""
    return lambda speed: Parts(tmp_path_factory.mktemp("parts"), spot_recording, speed)


@pytest.fixture(scope="session")
def check_together() -> Callable[[Path, Path], CrossCheck]:
    """Crosscheck a trader's run with a capture's; the result has a column beside each of the trader's rows."""

    def check(trader: Path, monitor: Path) -> CrossCheck:
        return check_against(read_run_records(trader), read_row_logs(trader), [read_monitor(monitor)]).check

    return check
