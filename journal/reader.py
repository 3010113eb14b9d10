"""Reading: any number of processes, while the writer still appends or long after.

A reader never writes and never locks. It trusts nothing: every seal is checked against the bytes behind it. What is
not committed yet is the tail and simply is not there; what is committed and does not match is `Corrupt`.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from journal.checksum import crc32_rows
from journal.errors import Corrupt, NoJournal
from journal.layout import (
    COMMIT,
    CRC_MASK,
    PAGE_BYTES,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    RECORDS,
    SEAL,
    SUFFIX,
    RecordType,
    record_bytes,
    segment_name,
)
from journal.segment import read_header

Rows = np.ndarray[tuple[int], np.dtype[np.void]]


_RECORD_TYPES = frozenset(RecordType)


class Record(NamedTuple):
    """One committed record (see `RecordLog.append` for the fields)."""

    type: RecordType
    trace: int
    time_ns: int
    conn: int
    payload: bytes


def _map(path: Path) -> memoryview:
    with path.open("rb") as file:
        try:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:
            raise Corrupt(path, 0, "the file is empty") from error


def _sequences(folder: Path, log: str) -> list[int]:
    numbers = (path.stem.removeprefix(f"{log}-") for path in folder.glob(f"{log}-*{SUFFIX}"))
    found = sorted(int(number) for number in numbers if number.isdecimal())
    for before, after in pairwise(found):
        if after != before + 1:
            if not (folder / segment_name(log, before)).exists():
                return _sequences(folder, log)  # retention deletes the oldest while we look
            missing = folder / segment_name(log, before + 1)
            raise Corrupt(missing, 0, f"the segment is missing, yet {segment_name(log, after)} is there")
    return found


class RecordReader:
    """Reads a run's records in order, and goes on where it stopped when asked again.

    Args:
        run: the run's folder.

    Raises:
        NoJournal: the folder holds no record log.
        Corrupt: a segment's header is not what was written.
    """

    def __init__(self, run: Path) -> None:
        sequences = _sequences(run, RECORDS)
        if not sequences:
            raise NoJournal(f"{run} holds no journal")
        self._run = run
        self.first_sequence = sequences[0]  # greater than 0 when retention has deleted the run's beginning
        self._open(sequences[0])

    def _open(self, sequence: int) -> None:
        self._sequence = sequence
        self._path = self._run / segment_name(RECORDS, sequence)
        self._view = _map(self._path)
        read_header(self._path, self._view)
        self._at = PAGE_BYTES

    def __iter__(self) -> Iterator[Record]:
        """Yield the records committed so far that were not yielded before.

        Raises:
            Corrupt: a committed record does not match its CRC.
        """
        while (record := self._next()) is not None:
            yield record

    def _next(self) -> Record | None:
        at, view = self._at, self._view
        seal = SEAL.unpack_from(view, at)[0] if at + RECORD_HEADER_BYTES <= len(view) else 0
        if not seal:
            return self._next() if self._advance() else None
        if seal & ~CRC_MASK != COMMIT:
            raise Corrupt(self._path, at, f"expected a commit word, was {seal >> 32:#010x}")
        length, kind, _, trace, time_ns, conn, _ = RECORD_HEADER.unpack_from(view, at + 8)
        end = at + record_bytes(length)
        if end > len(view) or crc32(view[at + 8 : end]) != seal & CRC_MASK:
            raise Corrupt(self._path, at, f"the record of trace {trace} does not match its CRC")
        if kind not in _RECORD_TYPES:
            raise Corrupt(self._path, at, f"the record of trace {trace} has an unknown type, {kind}")
        self._at = end
        body = at + RECORD_HEADER_BYTES
        return Record(RecordType(kind), trace, time_ns, conn, bytes(view[body : body + length]))

    def _advance(self) -> bool:
        """Go on to the next segment if it has begun, which means that this one is finished."""
        path = self._run / segment_name(RECORDS, self._sequence + 1)
        try:
            with path.open("rb") as file:
                file.seek(PAGE_BYTES)
                begun = file.read(SEAL.size).strip(b"\0")
        except FileNotFoundError:
            _check_last(self._run, self._sequence)
            return False
        if not begun:
            return False
        if self._committed_here():
            return True  # the writer finished this segment while we looked at the next
        self._view.release()
        self._open(self._sequence + 1)
        return True

    def _committed_here(self) -> bool:
        at = self._at
        return at + RECORD_HEADER_BYTES <= len(self._view) and SEAL.unpack_from(self._view, at)[0] != 0


def _check_last(run: Path, sequence: int) -> None:
    """Raise Corrupt when segments behind this one exist though the next does not: retention overtook the reader."""
    later = [each for each in _sequences(run, RECORDS) if each > sequence]
    if later and later[0] != sequence + 1:  # it may have been made just now
        raise Corrupt(run / segment_name(RECORDS, sequence + 1), 0, "the segment was deleted before it was read")


def read_records(run: Path) -> Iterator[Record]:
    """Yield every committed record of a run (see `RecordReader`)."""
    return iter(RecordReader(run))


def read_rows(run: Path, log: str, *, verify: bool = True) -> list[Rows]:
    """Return a row log's committed rows, one array per segment, each a view of the mapped file.

    Args:
        run: the run's folder.
        log: the row log's name; its dtype is what the segments say of themselves.
        verify: whether to check every row's CRC.

    Returns:
        Structured arrays of shape (rows in the segment,), in order; empty when nothing was written.

    Raises:
        NoJournal: there is no such log in the folder.
        Corrupt: a header or a committed row is not what was written.
    """
    sequences = _sequences(run, log)
    if not sequences:
        raise NoJournal(f"{run} holds no {log!r} log")
    chain = []
    for sequence in sequences:
        with suppress(FileNotFoundError):  # by retention, or unused when the writer closed
            chain.append(_rows_of(run / segment_name(log, sequence), verify=verify))
    return [rows for rows in chain if len(rows)]


def _rows_of(path: Path, *, verify: bool) -> Rows:
    view = _map(path)
    head = read_header(path, view)
    dtype = np.dtype([tuple(field) for field in head["dtype"]])
    every = np.frombuffer(view, dtype, count=(len(view) - PAGE_BYTES) // dtype.itemsize, offset=PAGE_BYTES)
    low, high = 0, len(every)
    while low < high:  # rows are committed in order: find the first unset seal
        middle = (low + high) // 2
        low, high = (middle + 1, high) if every["seal"][middle] else (low, middle)
    rows: Rows = every[:low]
    unsealed = np.flatnonzero(rows["seal"] & ~np.uint64(CRC_MASK) != np.uint64(COMMIT))
    if len(unsealed):
        row = int(unsealed[0])
        raise Corrupt(path, PAGE_BYTES + row * dtype.itemsize, f"row {row} has no commit word")
    if verify:
        _verify(path, rows)
    return rows


def _verify(path: Path, rows: Rows) -> None:
    size = rows.dtype.itemsize
    bodies = rows.view(np.uint8).reshape(len(rows), size)[:, 8:]
    wrong = np.flatnonzero(crc32_rows(bodies) != rows["seal"] & np.uint64(CRC_MASK))
    if len(wrong):
        row = int(wrong[0])
        raise Corrupt(path, PAGE_BYTES + row * size, f"row {row} does not match its CRC")


def repair_seal(buffer: bytearray | mmap.mmap, at: int, end: int) -> None:
    """Seal the entry at `buffer[at:end]` anew after its bytes were changed (forensics and tests)."""
    struct.pack_into("=Q", buffer, at, COMMIT | crc32(memoryview(buffer)[at + 8 : end]))
