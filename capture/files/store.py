"""The captured packets on disk, as far as they fit: a chain of pcapng files of which the oldest go first.

The cap is that of a folder of runs: what earlier captures kept makes room for what this one keeps. So agents that run
beside one another need a folder of runs each.

Storing is a convenience and never ends a capture: when the disk is full it stops, says so, and the agent goes on. Each
file ends with a whole packet after every append, so others may read the files while they are written.
"""

import os
from collections import deque
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

import numpy as np

from capture.files.pcapng_writer import PcapngWriter, block_bytes, portions
from capture.packets import Batch, Int64

MIN_STORE_BYTES: Final = 2 << 20
_FILES: Final = 8  # that the cap is divided among
_MIN_FILE_BYTES: Final = 1 << 20
_SPARE_BYTES: Final = 1 << 12  # for what a file begins with: its section and its interfaces


class PacketStore:
    """Packet files in a run's folder, `packets-000000.pcapng` and so on, never over a cap with those of earlier runs.

    Attributes:
        stored: packets that were written.
        left_out: packets that were too large for a file, or came after the store had stopped.
        deleted_files, deleted_bytes: what had to make room.
        troubles: what a person must know, a sentence each; whoever has told them may clear the list.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Continue behind the packet files that the folder already holds.

        Args:
            folder: where the files go: a run in a folder of runs, named in the order of time; it exists.
            max_bytes: the most that the files of all runs together may take, at least `MIN_STORE_BYTES`.

        Raises:
            ValueError: the cap is too small.
        """
        if max_bytes < MIN_STORE_BYTES:
            raise ValueError(f"a packet store was given {max_bytes:,} bytes, expected at least {MIN_STORE_BYTES:,}")
        self.stored = self.left_out = self.deleted_files = self.deleted_bytes = 0
        self.troubles: list[str] = []
        self._folder, self._max_bytes = folder, max_bytes
        self._share = max(max_bytes // _FILES, _MIN_FILE_BYTES)
        kept = sorted(folder.parent.glob("*/packets-*.pcapng"))
        self._closed = deque((path, path.stat().st_size) for path in kept)
        mine = [int(path.stem.rpartition("-")[2]) for path in kept if path.parent == folder]
        self._number = max(mine, default=-1) + 1
        self._stopped = False
        self._file: FileIO | None = None
        self._writer: PcapngWriter | None = None
        self._sound_bytes = 0  # of the present file: up to the end of its last whole packet

    @property
    def counts(self) -> dict[str, int]:
        """What became of the packets, by the names of the attributes."""
        names = ("stored", "left_out", "deleted_files", "deleted_bytes")
        return {name: getattr(self, name) for name in names}

    def append(self, batch: Batch, which: Int64 | None = None) -> None:
        """Store packets of a batch.

        Args:
            batch: the packets.
            which: indices of those to store, shape (n,); None for all.
        """
        if which is None:
            which = np.arange(len(batch))
        fitting = which[block_bytes(batch, which) + _SPARE_BYTES <= self._share]
        self.left_out += len(which) - len(fitting)
        for portion in portions(batch, fitting):
            if self._stopped:
                self.left_out += len(portion)
            else:
                self._store(batch, portion, int(block_bytes(batch, portion).sum()))

    def close(self) -> None:
        """End the present file; a later append begins another."""
        if self._file:
            self._file.close()
            self._closed.append((Path(self._file.name), self._sound_bytes))
            self._file = self._writer = None

    def _store(self, batch: Batch, which: Int64, size: int) -> None:
        """Write some packets that take `size` bytes; when that fails, tell and stop."""
        try:
            if self._writer and self._writer.written_bytes + size > self._share:
                self.close()
            self._make_room(size + _SPARE_BYTES)
            writer = self._writer or self._begin()
            self._sound_bytes = writer.written_bytes
            writer.write(batch, which)
            self._sound_bytes = writer.written_bytes
            self.stored += len(which)
        except OSError as error:
            self._stopped = True
            self.left_out += len(which)
            self.troubles.append(
                f"{self._folder}: packets are no longer stored ({error.strerror}) after {self.stored:,} of them"
            )
            with suppress(OSError):  # the trouble is told; what cannot be cut off ends a file that can be read so far
                self._cut()
            self.close()

    def _cut(self) -> None:
        """Take from the present file what is no whole packet; without any, delete it."""
        if self._file and self._sound_bytes:
            self._file.truncate(self._sound_bytes)
        elif self._file:
            Path(self._file.name).unlink()

    def _begin(self) -> PcapngWriter:
        """Open the next file."""
        self._sound_bytes = 0
        self._file = FileIO(self._folder / f"packets-{self._number:06d}.pcapng", "xb", opener=_for_owner_and_group)
        self._number += 1
        self._writer = PcapngWriter(self._file, links=())
        return self._writer

    def _make_room(self, size: int) -> None:
        """Delete the oldest files until so many more bytes stay under the cap."""
        total = sum(file_bytes for _, file_bytes in self._closed) + self._sound_bytes * (self._file is not None)
        while self._closed and total + size > self._max_bytes:
            path, file_bytes = self._closed.popleft()
            path.unlink(missing_ok=True)
            if path.parent != self._folder:
                with suppress(OSError):  # it is not empty: a journal is there, or more packets
                    path.parent.rmdir()
            total -= file_bytes
            self.deleted_files += 1
            self.deleted_bytes += file_bytes


def _for_owner_and_group(path: str, flags: int) -> int:
    """Open a file as a journal's segments are: other people's traffic is nobody else's business."""
    return os.open(path, flags, 0o640)
