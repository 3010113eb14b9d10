"""One mapped file of a log, from its allocation to its release. Used by `writer` off the hot path.

A segment is allocated in full (`posix_fallocate`: a sparse mapping on a full disk raises SIGBUS), and its pages are
populated before its first byte is appended (`MADV_POPULATE_WRITE`: a first touch stalled an append for 24 ms). Both
run in the journal's background thread; the calls into libc release the interpreter lock. Until its header is written a
segment has another name (`new-…`), so that no reader ever meets half of one, not even after `kill -9`.
"""

import ctypes
import ctypes.util
import errno
import json
import mmap
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from journal.errors import Corrupt, JournalFull
from journal.layout import MAGIC, PAGE_BYTES, SEGMENT_HEADER, VERSION, segment_name

_MADV_DONTNEED = 4
_MADV_POPULATE_WRITE = 23  # Linux 5.14
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_STEP_BYTES = 4 << 20  # one madvise call, so that the address space's lock is never held for long

_libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Segment:
    """A writable mapping of one segment file.

    Attributes:
        path: the file.
        map: the whole file, header included.
        words: the same bytes as unsigned 64-bit words, for seals.
        view: the same bytes, for checksums.
    """

    __slots__ = ("map", "path", "view", "words")

    def __init__(self, path: Path, mapping: mmap.mmap) -> None:
        self.path = path
        self.map = mapping
        self.view = memoryview(mapping)
        self.words = self.view.cast("Q")

    @classmethod
    def create(cls, folder: Path, log: str, sequence: int, size_bytes: int, layout: dict[str, Any]) -> "Segment":
        """Allocate, map and populate a new segment, and write its header.

        Args:
            folder: the run's folder.
            log: the log's name.
            sequence: the segment's place in the chain, from 0.
            size_bytes: size of the file, a multiple of the page size.
            layout: what the entries are, for the header.

        Raises:
            JournalFull: the disk has no room; nothing is left behind.
            FileExistsError: the segment is there already.
        """
        path = folder / segment_name(log, sequence)
        unfinished = folder / f"new-{path.name}"
        if path.exists():
            raise FileExistsError(errno.EEXIST, "a journal is never written twice", str(path))
        try:
            mapping = _allocate(unfinished, size_bytes)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise JournalFull(
                f"cannot allocate {size_bytes:,} bytes for {path}: {os.strerror(error.errno or errno.EIO)}"
            ) from error
        segment = cls(path, mapping)
        segment._advise(_MADV_POPULATE_WRITE)
        head = {"log": log, "sequence": sequence, "bytes": size_bytes, "created_ns": time.time_ns(), **layout}
        write_header(mapping, head)
        unfinished.rename(path)
        return segment

    def release(self) -> None:
        """Unmap the segment; its pages stay in the page cache until the kernel has written them."""
        with suppress(FileNotFoundError):
            os.utime(self.path)  # retention goes by it, and stores into populated pages do not set it
        self._advise(_MADV_DONTNEED)  # in steps: one munmap of everything would hold the interpreter for milliseconds
        self.words.release()
        self.view.release()
        self.map.close()

    def discard(self) -> None:
        """Release a segment that was prepared and never used, and remove its file."""
        self.release()
        self.path.unlink(missing_ok=True)

    def trim(self, used_bytes: int) -> None:
        """Give the unused end back to the disk. The size stays, so that a reader's mapping never faults."""
        start = -(-used_bytes // PAGE_BYTES) * PAGE_BYTES
        length = len(self.map) - start
        if length > 0:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:  # a file system without holes keeps the zeros
                _libc.fallocate(descriptor, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, start, length)
            finally:
                os.close(descriptor)

    def _advise(self, advice: int) -> None:
        anchor = ctypes.c_char.from_buffer(self.map)
        address = ctypes.addressof(anchor)
        for start in range(0, len(self.map), _STEP_BYTES):  # an older kernel refuses to populate: slower, not wrong
            _libc.madvise(address + start, min(_STEP_BYTES, len(self.map) - start), advice)
        del anchor  # it would keep the mapping from closing


def _allocate(path: Path, size_bytes: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
        return mmap.mmap(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def write_header(buffer: mmap.mmap, head: dict[str, Any]) -> None:
    """Write a segment's self-describing header into its first page."""
    text = json.dumps(head, separators=(",", ":")).encode()
    assert SEGMENT_HEADER.size + len(text) <= PAGE_BYTES
    SEGMENT_HEADER.pack_into(buffer, 0, MAGIC, VERSION, len(text), zlib.crc32(text))
    buffer[SEGMENT_HEADER.size : SEGMENT_HEADER.size + len(text)] = text


def read_header(path: Path, buffer: memoryview) -> dict[str, Any]:
    """Read and check a segment's header.

    Args:
        path: the file.
        buffer: all its bytes.

    Raises:
        Corrupt: this is not a whole segment of this format version, or the header does not match its CRC, or is
            another file's.
    """
    if len(buffer) < PAGE_BYTES:
        raise Corrupt(path, 0, f"expected a header of {PAGE_BYTES} bytes, the file has {len(buffer)}")
    magic, version, length, crc = SEGMENT_HEADER.unpack_from(buffer)
    if magic != MAGIC:
        raise Corrupt(path, 0, f"expected the magic {MAGIC!r}, was {magic!r}")
    if version != VERSION:
        raise Corrupt(path, 8, f"expected journal format version {VERSION}, was {version}")
    end = SEGMENT_HEADER.size + length
    text = bytes(buffer[SEGMENT_HEADER.size : end])
    if end > PAGE_BYTES or zlib.crc32(text) != crc or any(buffer[end:PAGE_BYTES]):
        raise Corrupt(path, 12, "the header does not match its CRC")
    head: dict[str, Any] = json.loads(text)
    if segment_name(head["log"], head["sequence"]) != path.name:
        raise Corrupt(path, 0, f"the header is that of {segment_name(head['log'], head['sequence'])}")
    if head["bytes"] != len(buffer):
        raise Corrupt(path, len(buffer), f"expected a file of {head['bytes']:,} bytes, was {len(buffer):,}")
    return head
