"""Reading pcap: one header, then records of a time, two lengths and a packet. Pure: windows in, arrays out.

Source: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/. Also read is the old "modified" format (magic
0xa1b2cd34), whose record headers have eight more bytes: interface, protocol and packet type.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from capture.files.records import MAX_PACKET_BYTES, Found, Packets, fields_at, overlapping
from capture.files.walk import Chain, first_in_each_row, walk
from capture.packets import Bytes, Int64, Mask

FILE_HEADER_BYTES: Final = 24
_GUESSED_BYTES: Final = 16  # of a record's header: two times, two lengths
_LINK_MASK: Final = 0xFFFF  # the upper bits tell whether frames end with a check sequence, and how long it is


@dataclass(frozen=True, slots=True)
class _Flavour:
    """What a magic number says: fractions in a second, and bytes of a record's header."""

    fractions: int
    header_bytes: int


_FLAVOURS: Final = {
    0xA1B2C3D4: _Flavour(10**6, 16),
    0xA1B23C4D: _Flavour(10**9, 16),
    0xA1B2CD34: _Flavour(10**6, 24),
}
MAGICS: Final = {magic.to_bytes(4, order): order for magic in _FLAVOURS for order in ("little", "big")}


class PcapReader:
    """Reads one pcap file, window by window."""

    def __init__(self, magic: bytes) -> None:
        """Take the file's first four bytes, one of `MAGICS`."""
        self._order = "<" if MAGICS[magic] == "little" else ">"
        self._flavour = _FLAVOURS[struct.unpack(self._order + "I", magic)[0]]
        names = ("seconds", "fraction", "caplen", "wirelen")
        self._record: np.dtype[Any] = np.dtype([(name, self._order + "u4") for name in names])
        header_bytes = self._flavour.header_bytes
        self._chain = Chain(header_bytes, 8, header_bytes, 0, self._order, self._guess)
        self._link = -1  # until the file's header was read
        self._seconds = 0  # of some packet read before: what a guess compares with

    def read(self, data: Bytes, begin: int, end: int) -> Found:
        """Find the packets in a window.

        Args:
            data: the window, with `SLACK_BYTES` behind `end`.
            begin: where the file's header (in the first call) or a record begins.
            end: where the bytes end.

        Returns:
            What was found.
        """
        if self._link < 0:
            if end - begin < FILE_HEADER_BYTES:
                return Found(None, begin, FILE_HEADER_BYTES)
            major, minor, link = struct.unpack_from(self._order + "HH12xI", data.data, begin + 4)
            if (major, minor) != (2, 4):
                return Found(None, begin, fault=f"it is pcap version {major}.{minor}, expected 2.4")
            self._link = link & _LINK_MASK
            begin += FILE_HEADER_BYTES
        if end - begin < self._chain.header_bytes:
            return Found(None, begin, self._chain.header_bytes)
        self._seconds = int(fields_at(data, np.array([begin]), self._record)["seconds"][0])
        starts, after = walk(data, begin, end, self._chain)
        return self._packets(data, starts, after, end)

    def remarks(self) -> list[str]:
        """Return nothing: pcap has nothing that needs explaining."""
        return []

    def _packets(self, data: Bytes, starts: Int64, after: int, end: int) -> Found:
        """Return what is known of the records that begin at some positions."""
        header_bytes, fractions = self._flavour.header_bytes, self._flavour.fractions
        header = fields_at(data, starts, self._record)
        caplen = header["caplen"].astype(np.int64)
        fraction = header["fraction"].astype(np.int64)
        zeros = (header["wirelen"] | header["caplen"] | header["seconds"] | header["fraction"]) == 0
        faulty = (caplen > MAX_PACKET_BYTES) | (fraction >= fractions) | zeros
        count, resume, wanted, fault = len(starts), after, header_bytes, ""
        if after > end or faulty.any():
            count = int(faulty.argmax()) if faulty.any() else count - 1
            resume, wanted = int(starts[count]), header_bytes + int(caplen[count])
            if zeros[count]:
                fault = "there are only zeros"  # room that was reserved, or lost with the power
            elif faulty[count]:
                fault = f"a record would hold {caplen[count]:,} bytes from {fraction[count]:,}/{fractions:,} s"
        packets = Packets(
            start=starts[:count] + header_bytes,
            caplen=caplen[:count],
            wirelen=np.maximum(header["wirelen"][:count], caplen[:count]),
            time_ns=header["seconds"][:count] * np.int64(10**9) + fraction[:count] * (10**9 // fractions),
            link=np.full(count, self._link, np.uint16),
        )
        return Found(packets if count else None, resume, wanted, fault)

    def _guess(self, data: Bytes, begins: Int64, reach: int) -> Int64:
        """Guess where records begin (see `Chain.guess`): at a plausible header that leads to another one."""
        rows = overlapping(data, reach + _GUESSED_BYTES)[begins].view(np.uint8).reshape(len(begins), -1)
        top = 3 if self._order == "<" else 0  # where the most significant byte of a number is
        likely = rows[:, top : top + reach] == self._seconds >> 24
        likely &= rows[:, top + 8 : top + 8 + reach] == 0
        likely &= rows[:, top + 12 : top + 12 + reach] == 0
        row, offset = np.nonzero(likely)
        at = begins[row] + offset
        plausible = self._plausible(data, at)
        row, at = row[plausible], at[plausible]
        following = at + self._chain.overhead + fields_at(data, at, self._record)["caplen"]
        last = len(data) - _GUESSED_BYTES
        plausible = self._plausible(data, np.minimum(following, last)) & (following <= last)
        return first_in_each_row(row[plausible], at[plausible], len(begins))

    def _plausible(self, data: Bytes, at: Int64) -> Mask:
        """Say which positions hold what could be a record's header."""
        header = fields_at(data, at, self._record)
        caplen = header["caplen"]
        in_time = (header["fraction"] < self._flavour.fractions) & (header["seconds"] >> 24 == self._seconds >> 24)
        return np.asarray(in_time & (caplen > 0) & (caplen <= header["wirelen"]))
