"""Writing pcapng: one little-endian section, times in nanoseconds. Pure but for the file that it is given.

Whole batches are laid out with numpy. Bytes of different lengths are copied in as many rounds as a length has bits: a
length is a sum of powers of two, and in each round all packets that have that power move that many bytes at once.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import numpy as np

from capture.files.pcapng_blocks import (
    BYTE_ORDER_MAGIC,
    NANOSECONDS,
    PACKET_HEADER_BYTES,
    TRAILER_BYTES,
    BlockType,
    Option,
    packet_header,
)
from capture.files.records import overlapping
from capture.packets import U16, Batch, Bytes, Int64, LinkType, Mask

_APPLICATION: Final = b"wirestamp"
_HEADER: Final = packet_header("<")
_MAC_BYTES: Final = 12  # of an Ethernet frame before its type: there a tag belongs (IEEE 802.1Q)
_TAG: Final = np.dtype([("type", ">u2"), ("control", ">u2")])
_TAG_TYPE: Final = 0x8100
_MAX_OPTION_BYTES: Final = 65_535
_PORTION_BYTES: Final = 1 << 18


class PcapngWriter:
    """Writes one section to a file; every method raises OSError when the file cannot be written.

    Attributes:
        written_bytes: what was written so far.
    """

    def __init__(self, file: BinaryIO, links: Sequence[int] = (LinkType.ETHERNET,)) -> None:
        """Begin the section.

        Args:
            file: where to write, from where it stands.
            links: link types of the interfaces to describe at once; others are described when they are met.
        """
        self.written_bytes = 0
        self._file = file
        self._interfaces: dict[int, int] = {}  # number by link type
        options = _option(Option.USER_APPLICATION, _APPLICATION) + _option(Option.END)
        self._put(_block(BlockType.SECTION, struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1) + options))
        for link in links:
            self._interface(link)

    def write(self, batch: Batch, which: Int64) -> None:
        """Write some packets of a batch, each with the VLAN tag that the kernel had stripped.

        Args:
            batch: the packets.
            which: indices of those to write, in the order to write them, shape (n,).
        """
        for portion in portions(batch, which):
            self._write_portion(batch, portion)

    def write_commented(self, packet: bytes, time_ns: int, wirelen: int, comment: str, link: int) -> None:
        """Write one packet with a comment that Wireshark shows beside it.

        Args:
            packet: the captured bytes.
            time_ns: when it was captured, ns since 1970.
            wirelen: bytes that it had on the wire.
            comment: what to say; what is over 65,535 bytes of UTF-8 is cut.
            link: its link type.
        """
        number = self._interface(link)
        fields = (number, time_ns >> 32 & 0xFFFFFFFF, time_ns & 0xFFFFFFFF, len(packet), wirelen)
        said = comment.encode()[:_MAX_OPTION_BYTES].decode(errors="ignore").encode()
        options = _option(Option.COMMENT, said) + _option(Option.END)
        self._put(_block(BlockType.ENHANCED_PACKET, struct.pack("<5I", *fields) + _padded(packet) + options))

    def _write_portion(self, batch: Batch, which: Int64) -> None:
        """Write some packets at once."""
        lengths = block_bytes(batch, which)
        ends = np.cumsum(lengths)
        header = self._headers(batch, which, lengths)
        out = np.zeros(int(lengths.sum()), np.uint8)
        overlapping(out, PACKET_HEADER_BYTES)[ends - lengths] = header.view(f"V{PACKET_HEADER_BYTES}")
        trailer = lengths.astype("<u4").view(f"V{TRAILER_BYTES}")
        overlapping(out, TRAILER_BYTES)[ends - TRAILER_BYTES] = trailer
        start, caplen, to = batch.start[which], batch.caplen[which], ends - lengths + PACKET_HEADER_BYTES
        tagged = _tagged(batch, which)
        before = np.where(tagged, _MAC_BYTES, caplen)
        _copy(out, to, batch.data, start, before)
        if tagged.any():
            tags = np.empty(int(tagged.sum()), _TAG)
            tags["type"], tags["control"] = _TAG_TYPE, batch.vlan[which][tagged]
            overlapping(out, _TAG.itemsize)[to[tagged] + _MAC_BYTES] = tags.view(f"V{_TAG.itemsize}")
            _copy(out, to + before + _TAG.itemsize, batch.data, start + before, caplen - before)
        self._put(out.data)

    def _headers(self, batch: Batch, which: Int64, lengths: Int64) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """Return the packet block headers of some packets."""
        tag_bytes = _tagged(batch, which) * _TAG.itemsize
        time_ns = batch.time_ns[which]
        header = np.empty(len(which), _HEADER)
        header["type"] = BlockType.ENHANCED_PACKET
        header["length"] = lengths
        header["interface"] = self._numbers(batch.link[which])
        header["time_high"] = time_ns >> 32
        header["time_low"] = time_ns & 0xFFFFFFFF
        header["caplen"] = batch.caplen[which] + tag_bytes
        header["wirelen"] = batch.wirelen[which] + tag_bytes
        return header

    def _numbers(self, links: U16) -> Int64:
        """Return the number of the interface of each of some link types."""
        numbers = np.empty(len(links), np.int64)
        for link in np.unique(links).tolist():
            numbers[links == link] = self._interface(link)
        return numbers

    def _interface(self, link: int) -> int:
        """Return the number of a link type's interface, which is described when it is new."""
        if link not in self._interfaces:
            options = _option(Option.RESOLUTION, bytes([NANOSECONDS])) + _option(Option.END)
            self._put(_block(BlockType.INTERFACE, struct.pack("<HHI", link, 0, 0) + options))
            self._interfaces[link] = len(self._interfaces)
        return self._interfaces[link]

    def _put(self, written: bytes | memoryview) -> None:
        """Write all of some bytes, also to a file that takes them in parts."""
        self.written_bytes += len(written)
        rest = memoryview(written)
        while rest:
            rest = rest[self._file.write(rest) :]


def block_bytes(batch: Batch, which: Int64) -> Int64:
    """Return the size of the block that `PcapngWriter.write` makes of each of some packets.

    Args:
        batch: the packets.
        which: indices of some, shape (n,).

    Returns:
        Bytes, shape (n,).
    """
    kept = batch.caplen[which] + _tagged(batch, which) * _TAG.itemsize
    return np.asarray((kept + 3 & ~3) + PACKET_HEADER_BYTES + TRAILER_BYTES)


def portions(batch: Batch, which: Int64) -> Iterator[Int64]:
    """Divide packets into portions that are written while they are in the processor's cache.

    Args:
        batch: the packets.
        which: indices of some, shape (n,).

    Yields:
        Some of these indices, in order: at least one; the blocks of all but the first of them have under 256 KiB.
    """
    cuts = np.flatnonzero(np.diff(np.cumsum(block_bytes(batch, which)) // _PORTION_BYTES)) + 1
    for portion in np.split(which, cuts):
        if len(portion):
            yield portion


def _tagged(batch: Batch, which: Int64) -> Mask:
    """Say which packets lack the VLAN tag that they had on the wire, and have room for it."""
    ethernet = batch.link[which] == LinkType.ETHERNET
    return np.asarray((batch.vlan[which] != 0) & ethernet & (batch.caplen[which] >= _MAC_BYTES))


def _copy(out: Bytes, to: Int64, data: Bytes, start: Int64, size: Int64) -> None:
    """Copy `size` bytes from each of `start` in `data` to each of `to` in `out`."""
    done = np.zeros(len(size), np.int64)
    for power in (1 << bit for bit in reversed(range(int(size.max(initial=0)).bit_length()))):
        chosen = np.flatnonzero(size & power)
        if len(chosen):
            at = done[chosen]
            overlapping(out, power)[to[chosen] + at] = overlapping(data, power)[start[chosen] + at]
            done[chosen] += power


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
