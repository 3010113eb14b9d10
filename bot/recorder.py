"""What the trader writes into its journal, and in which form. Everything here appends and nothing reads.

The hot path takes the bound append functions (`record`, `received`, `sent`, `transmitted`) once, at start-up; the other
methods are for what happens seldom. Secrets never come this way: requests are masked before.
"""

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bot.config import Loaded
from bot.orders.records import encode, execution_of
from bot.transport.http import Response
from journal.layout import RecordType
from journal.writer import Journal
from market.events import FeedStatus, Malformed
from market.instrument import Instrument
from market.orders import ExecutionReport, Order

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Recorder:
    """Appends to one run's journal.

    Attributes:
        record: appends a record (`RecordLog.append`).
        received, sent, transmitted: append a row (`RowLog.append`, fields as in `journal.layout`).
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.record = journal.records.append
        self.received = journal.rows["received"].append
        self.sent = journal.rows["sent"].append
        self.transmitted = journal.rows["transmitted"].append

    def write(self, kind: RecordType, trace: int, time_ns: int, payload: Any, conn: int = 0) -> None:  # noqa: ANN401
        """Append a record whose payload is this value as JSON."""
        self.record(kind, trace, time_ns, conn, _encode(payload))

    def configuration(self, loaded: Loaded, prefix: str, now_ns: int, *, key_log: bool = False) -> None:
        """Record what runs and where: the configuration (which holds no secrets), the versions, the machine's boot.

        Args:
            loaded: the configuration.
            prefix: beginning of the run's client order ids.
            now_ns: when the run began.
            key_log: whether TLS secrets are written to a file.
        """
        payload = {
            "config": loaded.config.model_dump(mode="json"),
            "path": str(loaded.path),
            "prefix": prefix,
            "wirestamp": version("wirestamp"),
            "python": platform.python_version(),
            "kernel": platform.release(),
            "boot_id": _boot_id(),
            "key_log": key_log,
        }
        self.write(RecordType.CONFIG, 0, now_ns, payload)

    def instrument(self, instrument: Instrument, now_ns: int) -> None:
        """Record the id, name and scales that stamps and orders refer to."""
        payload = {
            "id": instrument.id,
            "name": instrument.name,
            "venue": instrument.venue,
            "symbol": instrument.symbol,
            "base": instrument.base,
            "quote": instrument.quote,
            "tick_size": instrument.price.step,
            "lot_size": instrument.qty.step,
        }
        self.write(RecordType.INSTRUMENT, 0, now_ns, payload)

    def reply(self, trace: int, read_ns: int, conn: int, purpose: dict[str, Any], reply: Response) -> None:
        """Record an HTTP reply that the engine consumes: what it was asked for, then its body."""
        head = _encode({**purpose, "status": reply.status})
        self.record(RecordType.REPLY, trace, read_ns, conn, head + b"\n" + reply.body)

    def connection(self, trace: int, now_ns: int, conn: int, payload: dict[str, Any]) -> None:
        """Record that a connection opened or closed."""
        self.write(RecordType.CONNECTION, trace, now_ns, payload, conn)

    def execution(self, trace: int, now_ns: int, order: Order, report: ExecutionReport) -> None:
        """Record a report that changed an order."""
        self.record(RecordType.EXECUTION, trace, now_ns, 0, encode(execution_of(order, report)))

    def feed_status(self, trace: int, now_ns: int, status: FeedStatus) -> None:
        """Record a change of a feed's state."""
        payload = {"instrument": status.instrument.id, "state": status.state.name, "reason": status.reason}
        self.write(RecordType.FEED_STATUS, trace, now_ns, payload)

    def dropped(self, trace: int, now_ns: int, malformed: Malformed) -> None:
        """Record a message that could not be used."""
        self.write(RecordType.DROPPED, trace, now_ns, {"reason": malformed.reason, "excerpt": malformed.excerpt})

    def clock(self) -> tuple[int, int]:
        """Read both clocks together and record the pair.

        Returns:
            CLOCK_REALTIME and CLOCK_MONOTONIC, ns.
        """
        before = time.monotonic_ns()
        realtime = time.time_ns()
        monotonic = (before + time.monotonic_ns()) // 2
        self.write(RecordType.CLOCK, 0, realtime, {"realtime_ns": realtime, "monotonic_ns": monotonic})
        return realtime, monotonic


def _boot_id() -> str | None:
    """Return what names this boot of this machine: journals of one boot were written by one clock. None off Linux."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None
