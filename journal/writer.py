"""Appending: the one writer of a journal.

An append is a few stores into mapped memory and a CRC; it makes no system call, takes no lock and waits for nothing,
except when a segment is full and the next one is not ready yet. Segments are prepared and released by one background
thread. What cannot be prepared is known long before it is needed: ask `Journal.failure` now and then.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from journal.checksum import crc32_rows
from journal.errors import JournalError
from journal.layout import (
    COMMIT,
    PAGE_BYTES,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    RECORDS,
    ROW_LOGS,
    RecordType,
    record_bytes,
    row_struct,
)
from journal.retention import Retention
from journal.segment import Segment

RECORD_SEGMENT_BYTES = 32 << 20
ROW_SEGMENT_BYTES = 8 << 20

_pack_record = RECORD_HEADER.pack_into


class _Log:
    """A chain of segments with a place to append at."""

    def __init__(
        self, folder: Path, name: str, layout: dict[str, Any], segment_bytes: int, pool: ThreadPoolExecutor
    ) -> None:
        self._folder = folder
        self._name = name
        self._layout = layout
        self._segment_bytes = segment_bytes
        self._pool = pool
        self._sequence = 0
        self.stalls = 0  # appends that had to wait for a segment
        self._next = self._prepare()
        self._use(self._next.result())
        self._next = self._prepare()

    def _prepare(self) -> "Future[Segment]":
        sequence, self._sequence = self._sequence, self._sequence + 1
        return self._pool.submit(Segment.create, self._folder, self._name, sequence, self._segment_bytes, self._layout)

    def _use(self, segment: Segment) -> None:
        self._segment = segment
        self._map = segment.map
        self._view = segment.view
        self._words = segment.words
        self._at = PAGE_BYTES
        self._limit = len(segment.map)

    def _roll(self) -> None:
        if not self._next.done():
            self.stalls += 1
        used = self._segment
        self._use(self._next.result())
        self._pool.submit(used.release)
        self._next = self._prepare()

    def failure(self) -> str | None:
        """Return why the next segment cannot be had, or None while all is well."""
        if self._next.done() and (error := self._next.exception()) is not None:
            return str(error)
        return None

    def close(self) -> None:
        """Release what is mapped and give unused room back."""
        if self._next.exception() is None:
            self._next.result().discard()
        self._segment.trim(self._at)
        self._segment.release()


class RecordLog(_Log):
    """The log of variable-size records."""

    def append(
        self, record_type: int, trace: int, time_ns: int, conn: int, payload: bytes | bytearray | memoryview
    ) -> None:
        """Append and commit one record.

        Args:
            record_type: a `RecordType`.
            trace: ordinal of the engine input that this record is or belongs to; 0 for none.
            time_ns: CLOCK_REALTIME, ns; for an input, its `read`.
            conn: the connection's number, 0 for none.
            payload: the record's bytes.

        Raises:
            JournalFull: the disk had no room for another segment.
        """
        start = self._at
        end = start + RECORD_HEADER_BYTES + (len(payload) + 7 & ~7)
        if end > self._limit:
            start, end = self._make_room(len(payload))
        _pack_record(self._map, start + 8, len(payload), record_type, 0, trace, time_ns, conn, 0)
        body = start + RECORD_HEADER_BYTES
        self._map[body : body + len(payload)] = payload
        self._words[start >> 3] = COMMIT | crc32(self._view[start + 8 : end])
        self._at = end

    def _make_room(self, payload_bytes: int) -> tuple[int, int]:
        size = record_bytes(payload_bytes)
        if PAGE_BYTES + size > self._limit:
            raise JournalError(f"a record of {payload_bytes:,} bytes does not fit a segment of {self._limit:,}")
        self._roll()
        return self._at, self._at + size


class RowLog(_Log):
    """A log of fixed-size rows, which numpy reads in place."""

    def __init__(
        self, folder: Path, name: str, dtype: np.dtype[np.void], segment_bytes: int, pool: ThreadPoolExecutor
    ) -> None:
        self._row_bytes = dtype.itemsize
        self._pack = row_struct(dtype).pack_into
        layout = {"entries": "rows", "byteorder": "little", "dtype": dtype.descr}
        super().__init__(folder, name, layout, segment_bytes, pool)

    def append(self, *fields: int) -> None:
        """Append and commit one row.

        Args:
            fields: the dtype's fields behind the seal, in order.

        Raises:
            JournalFull: the disk had no room for another segment.
        """
        start = self._at
        end = start + self._row_bytes
        if end > self._limit:
            self._roll()
            start = self._at
            end = start + self._row_bytes
        self._pack(self._map, start + 8, *fields)
        self._words[start >> 3] = COMMIT | crc32(self._view[start + 8 : end])
        self._at = end

    def extend(self, rows: npt.NDArray[np.void]) -> None:
        """Append and commit many rows at once, in order.

        Args:
            rows: of the log's dtype, shape (rows,), contiguous; their seals are ignored.

        Raises:
            JournalFull: the disk had no room for another segment; the rows that still had room are committed.
        """
        size = self._row_bytes
        bodies = rows.view(np.uint8).reshape(len(rows), size)[:, 8:]
        seals = crc32_rows(bodies) | np.uint64(COMMIT)
        done = 0
        while done < len(rows):
            room = (self._limit - self._at) // size
            if not room:
                self._roll()
                continue
            upto = min(done + room, len(rows))
            target = np.frombuffer(self._map, np.uint8, (upto - done) * size, self._at).reshape(-1, size)
            target[:, 8:] = bodies[done:upto]
            target[:, :8].view(np.uint64)[:, 0] = seals[done:upto]  # one 8-byte store each, in order
            self._at += (upto - done) * size
            done = upto


class Journal:
    """All logs of one run, for the process that writes them.

    Args:
        folder: the run's folder, which must exist and hold no journal yet.
        rows: the row logs to keep, by name; a trader's unless said otherwise.
        retention: what `retain` deletes; nothing unless said otherwise.
        record_segment_bytes, row_segment_bytes: sizes of the segments, multiples of 4096.

    Attributes:
        records: the record log.
        rows: the row logs by name.
        troubles: what went wrong in the background without harm to appending, for its owner to take and tell.

    Raises:
        JournalFull: there is no room for the first segments.
    """

    def __init__(
        self,
        folder: Path,
        rows: dict[str, np.dtype[np.void]] = ROW_LOGS,
        retention: Retention | None = None,
        record_segment_bytes: int = RECORD_SEGMENT_BYTES,
        row_segment_bytes: int = ROW_SEGMENT_BYTES,
    ) -> None:
        self.folder = folder
        self._retention = retention
        self.troubles: list[str] = []
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        layout = {
            "entries": "records",
            "byteorder": "little",
            "header": RECORD_HEADER.format,
            "types": {kind.name: kind.value for kind in RecordType},
        }
        self._logs: list[_Log] = []
        try:
            self.records = RecordLog(folder, RECORDS, layout, record_segment_bytes, self._pool)
            self._logs.append(self.records)
            self.rows: dict[str, RowLog] = {}
            for name, dtype in rows.items():
                self.rows[name] = RowLog(folder, name, dtype, row_segment_bytes, self._pool)
                self._logs.append(self.rows[name])
        except BaseException:
            self.close()
            raise

    @property
    def stalls(self) -> int:
        """How many appends had to wait for a segment."""
        return sum(log.stalls for log in self._logs)

    def failure(self) -> str | None:
        """Return why the journal will soon be unable to append, or None.

        A segment is prepared one ahead, so after the first failure there is still room for what is under way.
        """
        return next((reason for log in self._logs if (reason := log.failure())), None)

    def retain(self) -> None:
        """Delete what the retention rule no longer keeps, in the background; `troubles` tells of failures."""
        if self._retention is not None:
            self._pool.submit(self._retention.apply, self.folder).add_done_callback(self._note)

    def _note(self, done: "Future[Any]") -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self.troubles.append(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Commit nothing more; release every segment."""
        for log in self._logs:
            log.close()
        self._pool.shutdown()
