"""Reading pcapng: sections of blocks, in either byte order. Pure: windows in, arrays out.

All blocks of one byte order are found and read together, across sections; only the descriptions of interfaces, which
are few, are read one by one. A packet belongs to the interface of that number that its section described before it.
What a block claims must fit its own length, and its two lengths must agree; reading stops where they do not.
"""

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from capture.files.pcapng_blocks import (
    BYTE_ORDER_MAGIC,
    LEAST_BYTES,
    PACKET_HEADER_BYTES,
    SIMPLE_HEADER_BYTES,
    TRAILER_BYTES,
    BlockType,
    Interface,
    nanoseconds,
    packet_header,
    read_interface,
)
from capture.files.records import MAX_PACKET_BYTES, Found, Packets, fields_at, overlapping
from capture.files.walk import Chain, first_in_each_row, walk
from capture.packets import Bytes, Int64, Mask

MAGIC: Final = BlockType.SECTION.to_bytes(4, "big")
_ORDERS: Final = {BYTE_ORDER_MAGIC.to_bytes(4, "little"): "<", BYTE_ORDER_MAGIC.to_bytes(4, "big"): ">"}
_MAX_BLOCK_BYTES: Final = MAX_PACKET_BYTES + (1 << 20)  # with room for options
_LEAST_BLOCK_BYTES: Final = 12
_MAX_INTERFACES: Final = 1 << 16  # of a section

Headers = npt.NDArray[Any]


class PcapngReader:
    """Reads one pcapng file, window by window."""

    def __init__(self) -> None:
        self._order = "<"
        self._interfaces: list[Interface] = []  # of the present section
        self._usual: int = BlockType.ENHANCED_PACKET  # what kind of block to look for when guessing
        self._last_ns = 0  # time of the last packet
        self._undescribed = 0  # packets of interfaces that were not described
        self._timeless = 0

    def read(self, data: Bytes, begin: int, end: int) -> Found:
        """Find the packets in a window.

        Args:
            data: the window, with `SLACK_BYTES` behind `end`.
            begin: where a block begins; in the first call, the first section.
            end: where the bytes end.

        Returns:
            What was found.
        """
        if end - begin < _LEAST_BLOCK_BYTES:
            return Found(None, begin, _LEAST_BLOCK_BYTES)
        if data[begin : begin + 4].tobytes() == MAGIC:
            magic = data[begin + 8 : begin + 12].tobytes()
            if magic not in _ORDERS:
                return Found(None, begin, fault=f"a section gives its byte order as {magic.hex()}, expected 1a2b3c4d")
            self._order = _ORDERS[magic]
        chain = Chain(_LEAST_BLOCK_BYTES, 4, 0, _LEAST_BLOCK_BYTES, self._order, self._guess)
        starts, after = walk(data, begin, end, chain)
        header = fields_at(data, starts, packet_header(self._order))
        section = header["type"] == BlockType.SECTION
        described = np.cumsum(header["type"] == BlockType.INTERFACE) + len(self._interfaces)
        first = np.maximum.accumulate(np.where(section, described, 0))
        foreign = section & (header["interface"] != BYTE_ORDER_MAGIC)
        faulty = self._faulty(data, starts, end, header) | (described - first > _MAX_INTERFACES)
        whole = starts + header["length"] <= end
        stop = foreign | faulty | ~whole
        if not stop.any():
            return Found(self._packets(data, starts, header, first, described), after, _LEAST_BLOCK_BYTES)
        n = int(stop.argmax())
        kind, length = int(header["type"][n]), int(header["length"][n])
        fault = "" if foreign[n] or not faulty[n] else f"a block of type {kind:#x} and {length:,} bytes is not valid"
        packets = self._packets(data, starts[:n], header[:n], first[:n], described[:n])
        return Found(packets, int(starts[n]), length, fault, again=bool(foreign[n]))

    def remarks(self) -> list[str]:
        """Return what the packets' times and interfaces lacked."""
        remarks = []
        if self._timeless:
            remarks.append(
                f"{self._timeless:,} simple packets have no time: each was given that of the packet before it"
            )
        if self._undescribed:
            remarks.append(f"{self._undescribed:,} packets of interfaces that are not described were left out")
        return remarks

    def _faulty(self, data: Bytes, starts: Int64, end: int, header: Headers) -> Mask:
        """Say which blocks contradict themselves, as far as they are there."""
        kind, length = header["type"], header["length"].astype(np.int64)
        least = np.full(len(starts), _LEAST_BLOCK_BYTES)
        for known, least_bytes in LEAST_BYTES.items():
            least[kind == known] = least_bytes
        wrong_length = (length < least) | (length & 3 != 0) | (length > _MAX_BLOCK_BYTES)
        whole = ~wrong_length & (starts + length <= end)
        trailer = fields_at(data, np.where(whole, starts + length - TRAILER_BYTES, starts), header["length"].dtype)
        packet = (kind == BlockType.ENHANCED_PACKET) | (kind == BlockType.OBSOLETE_PACKET)
        overfull = packet & (header["caplen"] > length - PACKET_HEADER_BYTES - TRAILER_BYTES)
        major = header["time_high"] & 0xFFFF if self._order == "<" else header["time_high"] >> 16
        newer = (kind == BlockType.SECTION) & (major != 1)
        return np.asarray(wrong_length | whole & ((trailer != length) | overfull | newer))

    def _packets(self, data: Bytes, starts: Int64, header: Headers, first: Int64, described: Int64) -> Packets | None:
        """Take the packets out of blocks that are whole and sound.

        Args:
            data: the window.
            starts: where each block begins, shape (n,).
            header: its first 28 bytes as a packet's header, shape (n,).
            first: where its section's interfaces begin among all those of the window, shape (n,).
            described: how many interfaces of the window were described up to it, shape (n,).

        Returns:
            The packets; None when there are none.
        """
        kind = header["type"]
        for n in np.flatnonzero(kind == BlockType.INTERFACE):
            block = data[starts[n] : starts[n] + header["length"][n]].tobytes()
            self._interfaces.append(read_interface(block, self._order))
        obsolete, simple = kind == BlockType.OBSOLETE_PACKET, kind == BlockType.SIMPLE_PACKET
        number = header["interface"].astype(np.int64)
        if obsolete.any():
            number[obsolete] = number[obsolete] & 0xFFFF if self._order == "<" else number[obsolete] >> 16
        number[simple] = 0
        slot = first + number
        packet = obsolete | simple | (kind == BlockType.ENHANCED_PACKET)
        kept = np.flatnonzero(packet & (slot < described))
        self._undescribed += int(packet.sum()) - len(kept)
        packets = None
        if len(kept):
            if len(kept) < len(starts):
                starts, slot = starts[kept], slot[kept]
                header = fields_at(data, starts, header.dtype)  # faster than picking structures
            packets = self._described(starts, header, slot)
        if len(first):
            del self._interfaces[: int(first[-1])]
        return packets

    def _described(self, starts: Int64, header: Headers, slot: Int64) -> Packets:
        """Tell what is known of the packets in some blocks, whose interfaces have a slot in the window's list."""
        link = np.array([each.link for each in self._interfaces], np.uint16)[slot]
        caplen, wirelen = header["caplen"].astype(np.int64), header["wirelen"].astype(np.int64)
        start, time_ns = starts + PACKET_HEADER_BYTES, self._times(header, slot)
        simple = np.flatnonzero(header["type"] == BlockType.SIMPLE_PACKET)
        if len(simple):
            snaplen = np.array([each.snaplen or MAX_PACKET_BYTES for each in self._interfaces], np.int64)[slot[simple]]
            room = header["length"][simple].astype(np.int64) - SIMPLE_HEADER_BYTES - TRAILER_BYTES
            wirelen[simple] = header["interface"][simple]
            caplen[simple] = np.minimum(np.minimum(wirelen[simple], snaplen), room)
            start[simple] = starts[simple] + SIMPLE_HEADER_BYTES
            timed = np.arange(len(starts))
            timed[simple] = -1
            timed = np.maximum.accumulate(timed)
            time_ns = np.where(timed < 0, self._last_ns, time_ns[timed])
            self._timeless += len(simple)
        self._last_ns, self._usual = int(time_ns[-1]), int(header["type"][-1])
        return Packets(start, caplen, np.maximum(wirelen, caplen), time_ns, link)

    def _times(self, header: Headers, slot: Int64) -> Int64:
        """Return the packets' times, ns since 1970."""
        ticks = header["time_high"].astype(np.uint64) << np.uint64(32) | header["time_low"]
        resolution = np.array([each.resolution for each in self._interfaces], np.uint8)[slot]
        offset_s = np.array([each.offset_s for each in self._interfaces], np.int64)[slot]
        time_ns = np.empty(len(ticks), np.int64)
        for each in {interface.resolution for interface in self._interfaces}:
            of_it = resolution == each
            time_ns[of_it] = nanoseconds(ticks[of_it], each)
        return np.asarray(time_ns + offset_s * 10**9)

    def _guess(self, data: Bytes, begins: Int64, reach: int) -> Int64:
        """Guess where blocks begin (see `Chain.guess`): at one of the usual type whose two lengths agree."""
        wanted = int.from_bytes(struct.pack(self._order + "I", self._usual), "little")
        words = overlapping(data, reach)[begins].view("<u4").reshape(len(begins), -1)
        row, word = np.nonzero(words == wanted)
        at = begins[row] + word * 4
        number = np.dtype(self._order + "u4")
        length = fields_at(data, at + 4, number).astype(np.int64)
        trailer = at + length - TRAILER_BYTES
        possible = (length >= _LEAST_BLOCK_BYTES) & (trailer <= len(data) - TRAILER_BYTES)
        agreed = possible & (fields_at(data, np.where(possible, trailer, at), number) == length)
        return first_in_each_row(row[agreed], at[agreed], len(begins))
