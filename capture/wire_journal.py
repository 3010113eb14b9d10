"""What the agent writes into its journal, and in which form. Everything here appends and nothing reads."""

import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from capture.streams import Opened
from journal.layout import RecordType
from journal.retention import Retention
from journal.runs import create_run
from journal.wire import WIRE_LOGS
from journal.writer import Journal

_SEGMENT_BYTES = 8 << 20  # some 200,000 packets; each log keeps two of them in memory
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_encode = msgspec.json.Encoder(enc_hook=str).encode


class WireJournal:
    """One capture's journal (`journal.wire` says what its rows mean).

    Args:
        parent: the folder of runs; this capture becomes a run in it.
        now_ns: CLOCK_REALTIME, ns, by which the run is named.
        retention: what of older runs and segments to keep; everything unless said otherwise.

    Attributes:
        folder: the run's folder.
        packets, losses: append many rows.
        probe, nic: append a row; fields as in `journal.wire`, behind the seal.

    Raises:
        JournalFull: there is no room for it.
        OSError: the folder cannot be made.
    """

    def __init__(self, parent: Path, now_ns: int, retention: Retention | None = None) -> None:
        self.folder = create_run(parent, now_ns)
        self._journal = Journal(self.folder, WIRE_LOGS, retention, _SEGMENT_BYTES, _SEGMENT_BYTES)
        rows = self._journal.rows
        self.packets = rows["packets"].extend
        self.losses = rows["losses"].extend
        self.probe = rows["probes"].append
        self.nic = rows["nic"].append
        self._configuration: object = None

    def _write(self, kind: RecordType, time_ns: int, payload: object, conn: int = 0) -> None:
        self._journal.records.append(kind, 0, time_ns, conn, _encode(payload))

    def configuration(self, now_ns: int, settings: Mapping[str, Any], *, own_clock: bool) -> None:
        """Record what captures, and from where.

        Args:
            now_ns: CLOCK_REALTIME, ns.
            settings: what was chosen.
            own_clock: whether this machine's clock stamps the packets. Only then is its boot id told, because journals
                that share it are taken to share a clock; whose clock stamped a file's packets is not known.
        """
        boot_id = _BOOT_ID.read_text().strip() if own_clock and _BOOT_ID.exists() else None
        self._configuration = {
            "capture": settings,
            "boot_id": boot_id,
            "wirestamp": version("wirestamp"),
            "python": platform.python_version(),
            "kernel": platform.release(),
        }
        self._write(RecordType.CONFIG, now_ns, self._configuration)

    def repeat_configuration(self, now_ns: int) -> None:
        """Record the configuration as before: retention may have deleted the first record of it."""
        self._write(RecordType.CONFIG, now_ns, self._configuration)

    def opened(self, connection: Opened) -> None:
        """Record a connection that was met for the first time, or one that goes on."""
        payload = {"event": "open", "a": connection.a, "b": connection.b, "tunnel": connection.tunnel}
        self._write(RecordType.CONNECTION, connection.time_ns, payload, connection.number)

    def clock(self) -> int:
        """Record CLOCK_REALTIME and CLOCK_MONOTONIC, read together; return the former, ns."""
        before = time.monotonic_ns()
        realtime = time.time_ns()
        monotonic = (before + time.monotonic_ns()) // 2
        self._write(RecordType.CLOCK, realtime, {"realtime_ns": realtime, "monotonic_ns": monotonic})
        return realtime

    def counts(self, now_ns: int, counts: Mapping[str, Any]) -> None:
        """Record what was counted so far."""
        self._write(RecordType.COUNTS, now_ns, counts)

    def end(self, now_ns: int, reason: str) -> None:
        """Record why the capture ended; nothing may follow."""
        self._write(RecordType.END, now_ns, {"reason": reason})

    def retain(self) -> None:
        """Apply retention, in the background."""
        self._journal.retain()

    def news(self) -> list[str]:
        """Return what went wrong in the background since the last call."""
        troubles, self._journal.troubles[:] = list(self._journal.troubles), []
        return troubles

    def failure(self) -> str | None:
        """Return why the journal will soon be unable to append, or None."""
        return self._journal.failure()

    def close(self) -> None:
        """Commit nothing more."""
        self._journal.close()
