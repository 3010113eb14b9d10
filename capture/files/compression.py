"""The bytes of a file, unpacked when it is compressed, as far as they go. Owns the open file.

gzip and zstd are told by their first bytes, whatever the file's name. Several members or frames may follow one another.
Data that end too early or are damaged end the stream; `ended` then says why, and nothing is raised.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import zstandard

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"  # behind a first byte of 0x50 to 0x5f (RFC 8878, section 3.1.2)
_SNIFFED_BYTES: Final = 4
_PACKED_BYTES: Final = 1 << 17  # read from disk at once
_SLICE_BYTES: Final = 1 << 10  # unpacked at once: never more than 32 MiB come of it (zstd: 128 KiB from 4 bytes)


class _Unpacker(Protocol):
    """A decompressor of one gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class ByteStream:
    """A file's bytes from front to back, unpacked.

    Attributes:
        packing: "gzip", "zstd", or "" for a plain file.
        ended: why the bytes ended before their time, "" when they did not.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            OSError: it cannot be opened.
        """
        self.packing, self.ended = "", ""
        self._file = path.open("rb", buffering=0)
        first = bytearray(_SNIFFED_BYTES)
        self._first = b""  # read already to see what the file is
        self._first = bytes(first[: self._fill_plain(memoryview(first))])
        if self._first.startswith(_GZIP_MAGIC):
            self.packing = "gzip"
        elif self._first == _ZSTD_MAGIC or (self._first[1:] == _ZSTD_SKIPPABLE and self._first[0] >> 4 == 5):
            self.packing = "zstd"
        self._pieces = self._unpack()
        self._piece = memoryview(b"")  # what is left of the last one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def fill(self, room: memoryview) -> int:
        """Fill a buffer with the next bytes.

        Args:
            room: where to put them.

        Returns:
            How many there were: fewer than fit only at the end.
        """
        if not self.packing:
            return self._fill_plain(room)
        filled = 0
        while filled < len(room):
            if not self._piece:
                self._piece = memoryview(next(self._pieces, b""))
                if not self._piece:
                    break
            size = min(len(self._piece), len(room) - filled)
            room[filled : filled + size] = self._piece[:size]
            self._piece = self._piece[size:]
            filled += size
        return filled

    def _fill_plain(self, room: memoryview) -> int:
        """Fill a buffer with the next bytes as they are in the file."""
        filled = min(len(self._first), len(room))
        room[:filled] = self._first[:filled]
        self._first = self._first[filled:]
        try:
            while filled < len(room) and (size := self._file.readinto(room[filled:])):
                filled += size
        except OSError as error:
            self.ended = error.strerror or "it cannot be read further"
        return filled

    def _unpack(self) -> Iterator[bytes]:
        """Yield what was compressed, in pieces that are not empty."""
        packed = bytearray(_PACKED_BYTES)
        unpacker = self._new_unpacker()
        while size := self._fill_plain(memoryview(packed)):
            for at in range(0, size, _SLICE_BYTES):
                rest = bytes(packed[at : min(at + _SLICE_BYTES, size)])
                while rest := rest.lstrip(b"\0") if unpacker.eof else rest:  # gzip members may be padded with zeros
                    if unpacker.eof:
                        unpacker = self._new_unpacker()
                    try:
                        piece = unpacker.decompress(rest)
                    except (zlib.error, zstandard.ZstdError) as error:
                        self.ended = f"the {self.packing} data are damaged ({error})"
                        return
                    if piece:
                        yield piece
                    rest = unpacker.unused_data
        if not unpacker.eof and not self.ended:
            self.ended = f"the {self.packing} data are incomplete"

    def _new_unpacker(self) -> _Unpacker:
        """Return what unpacks the next member or frame."""
        if self.packing == "gzip":
            return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        return zstandard.ZstdDecompressor().decompressobj()
