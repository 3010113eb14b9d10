"""Capture files as a source of packets: pcap and pcapng, plain or compressed, streamed through one buffer.

A file that ends too early or goes wrong is read up to there, and `troubles` tells where that is; reading then goes on
with the next file. Memory is bounded by the buffer whatever the files claim.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from capture.errors import NotACapture
from capture.files import pcap, pcapng
from capture.files.compression import ByteStream
from capture.files.records import SLACK_BYTES, Packets, Reader
from capture.packets import Batch, Bytes

WINDOW_BYTES: Final = 16 << 20
BATCH_PACKETS: Final = 1 << 16
_MAGIC_BYTES: Final = 4

_NO_CAPTURES: Final = {  # what people pass by mistake
    b"\xfd7zX": "is compressed with xz",
    b"BZh": "is compressed with bzip2",
    b"\x04\x22\x4d\x18": "is compressed with lz4",
    b"PK\x03\x04": "is a zip archive",
    b"snoo": "is a snoop capture",
    b"WIRE": "is a segment of a wirestamp journal",
}


class FileSource:
    """Capture files, one after the other.

    Attributes:
        troubles: what a person must know of the files read so far, a sentence each; whoever has told them may clear it.
    """

    def __init__(self, paths: Sequence[Path], window_bytes: int = WINDOW_BYTES) -> None:
        """Look at each file (at a pipe only when it is its turn).

        Args:
            paths: the files, in the order to read them.
            window_bytes: how much of a file is in memory at once, bytes; a larger packet is left out.

        Raises:
            NotACapture: one of them is no capture, or cannot be opened.
        """
        self.troubles: list[str] = []
        self._paths = list(paths)
        self._window: Bytes = np.zeros(window_bytes + SLACK_BYTES, np.uint8)
        for path in self._paths:
            if not path.is_fifo():
                with _opened(path) as stream:
                    _Reading(path, stream, self._window[: _MAGIC_BYTES + SLACK_BYTES])

    def batches(self) -> Iterator[Batch]:
        """Yield the packets of all files, in order.

        Yields:
            At most `BATCH_PACKETS` packets at once, in a buffer that is overwritten when the next are asked for.

        Raises:
            NotACapture: a file has vanished or is no capture any more, or a pipe brings none.
        """
        for path in self._paths:
            with _opened(path) as stream:
                reading = _Reading(path, stream, self._window)
                for packets in reading.packets():
                    yield from _batches(self._window, packets)
                self.troubles += reading.troubles()


class _Reading:
    """One file on its way through the window."""

    def __init__(self, path: Path, stream: ByteStream, window: Bytes) -> None:
        """Fill the window for the first time and see what the file is."""
        self._path, self._stream, self._window = path, stream, window
        self._room = window.data[: len(window) - SLACK_BYTES]
        self._end = stream.fill(self._room)  # of what is in the window
        self._offset = 0  # in the file, of the window's first byte
        self._count = self._skipped = 0
        self._fault = ""
        self._reader = self._recognised(bytes(self._room[: min(self._end, _MAGIC_BYTES)]))

    def packets(self) -> Iterator[Packets]:
        """Yield the packets in the window until it has no more, then move it on."""
        begin = 0
        while self._reader:
            found = self._reader.read(self._window, begin, self._end)
            if found.packets:
                self._count += len(found.packets)
                yield found.packets
            begin = found.resume
            if found.again and not found.fault:
                continue
            self._drop(begin)
            self._fault = found.fault
            if found.fault or not self._refill(found.wanted):
                break
            begin = 0

    def troubles(self) -> list[str]:
        """Return what was wrong with the file, a sentence each."""
        where = f"byte {self._offset:,}" + (
            f" of what its {self._stream.packing} data hold" if self._stream.packing else ""
        )
        whole = f"{self._count:,} whole packets were read"
        told = []
        if self._fault:
            told.append(
                f"{self._path} is corrupt at {where}, or in the record before: {self._fault}; up to there {whole}"
            )
        elif self._stream.ended:
            told.append(f"{self._path} could be read only up to {where}: {self._stream.ended}; {whole}")
        elif self._end:
            told.append(f"{self._path} ends in the middle of a record that begins at {where}; {whole}")
        if self._skipped:
            told.append(f"{self._path}: {self._skipped:,} records larger than {len(self._room):,} bytes were left out")
        return told + [f"{self._path}: {remark}" for remark in (self._reader.remarks() if self._reader else [])]

    def _drop(self, size: int) -> None:
        """Move the window on by some bytes that are in it."""
        self._end -= size
        self._window[: self._end] = self._window[size : size + self._end]
        self._offset += size

    def _refill(self, wanted: int) -> bool:
        """Get more bytes; the first record, of so many bytes, is left out when the window cannot hold it.

        Returns:
            Whether there were any.
        """
        if wanted > len(self._room):
            missing = wanted - self._end
            while missing and (size := self._stream.fill(self._room[:missing])):
                missing -= size
            if missing:
                return False
            self._skipped += 1
            self._offset += wanted
            self._end = 0
        size = self._stream.fill(self._room[self._end :])
        self._end += size
        return size > 0

    def _recognised(self, head: bytes) -> Reader | None:
        """Return what reads a file that begins with some bytes; None when it is too damaged to begin.

        Raises:
            NotACapture: it is something else.
        """
        if head in pcap.MAGICS:
            return pcap.PcapReader(head)
        if head == pcapng.MAGIC:
            return pcapng.PcapngReader()
        if self._stream.ended:
            return None
        what = next(
            (name for magic, name in _NO_CAPTURES.items() if head.startswith(magic)), f"begins with {head.hex()}"
        )
        if len(head) < _MAGIC_BYTES:
            what = f"has only {len(head)} bytes" if head else "is empty"
        packing = f" in {self._stream.packing}" if self._stream.packing else ""
        raise NotACapture(self._path, 0, f"it {what}{packing}; expected pcap or pcapng, plain or in gzip or zstd")


def _opened(path: Path) -> ByteStream:
    """Open a file.

    Raises:
        NotACapture: it cannot be opened.
    """
    try:
        return ByteStream(path)
    except OSError as error:
        raise NotACapture(path, 0, f"{error.strerror}; expected a pcap or pcapng file") from error


def _batches(window: Bytes, packets: Packets) -> Iterator[Batch]:
    """Yield packets of a window in portions, each with its own stretch of the window."""
    for at in range(0, len(packets), BATCH_PACKETS):
        part = slice(at, at + BATCH_PACKETS)
        start, caplen = packets.start[part], packets.caplen[part]
        first, last = int(start[0]), int(start[-1] + caplen[-1])
        yield Batch(
            data=window[first:last],
            start=start - first,
            caplen=caplen,
            wirelen=packets.wirelen[part],
            time_ns=packets.time_ns[part],
            link=packets.link[part],
            hardware=np.zeros(len(start), np.bool_),
            vlan=np.zeros(len(start), np.uint16),
        )
