"""Mirrored traffic made with numpy: TCP in VXLAN, hundreds of connections with right sequence numbers, as pcap files.

A packet is Ethernet 14, IPv4 20, UDP 8, VXLAN 8, then Ethernet 14, IPv4 20, TCP 20 and the payload. Both directions of
each connection carry data and acknowledge what came; streams take turns. IP checksums are right, UDP's is 0 (none,
RFC 768), TCP's is 0 too: a mirror's packets may be cut, so nothing here looks at it.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

HEADERS_BYTES: Final = 104
SERVER_PORT: Final = 443
_FIRST_PORT: Final = 20_000
_START_NS: Final = 1_700_000_000_000_000_000
_SPACING_NS: Final = 500
_FILE_HEADER: Final = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)  # nanoseconds, Ethernet

_MAC = "V6"
_IPV4 = [
    ("version", "u1"), ("tos", "u1"), ("length", ">u2"), ("id", ">u2"), ("fragment", ">u2"),
    ("ttl", "u1"), ("protocol", "u1"), ("checksum", ">u2"), ("source", ">u4"), ("target", ">u4"),
]  # fmt: skip
_ETHERNET = [("to", _MAC), ("from", _MAC), ("type", ">u2")]
_RECORD: Final = np.dtype(
    [
        ("sec", "<u4"), ("nsec", "<u4"), ("caplen", "<u4"), ("len", "<u4"),
        ("ethernet", _ETHERNET), ("ip", _IPV4),
        ("udp", [("source", ">u2"), ("target", ">u2"), ("length", ">u2"), ("checksum", ">u2")]),
        ("vxlan", [("flags", ">u4"), ("vni", ">u4")]),
        ("inner_ethernet", _ETHERNET), ("inner_ip", _IPV4),
        ("tcp", [
            ("source", ">u2"), ("target", ">u2"), ("seq", ">u4"), ("ack", ">u4"),
            ("flags", ">u2"), ("window", ">u2"), ("checksum", ">u2"), ("urgent", ">u2"),
        ]),
    ]
)  # fmt: skip
_RECORD_HEADER_BYTES: Final = _RECORD.itemsize - HEADERS_BYTES


class Traffic:
    """Packets of some connections, in chunks that continue one another.

    Args:
        connections: how many; each has two streams that take turns.
        smallest, largest: size of a packet on the wire, bytes; drawn evenly between them.
        seed: of the sizes.
    """

    def __init__(self, connections: int = 300, smallest: int = 300, largest: int = 300, seed: int = 1) -> None:
        assert smallest >= HEADERS_BYTES
        self.streams = 2 * connections
        self._sizes = (smallest, largest)
        self._random = np.random.default_rng(seed)
        self._next = self._random.integers(0, 2**32, self.streams, np.int64)  # each stream's next sequence number
        self._made = 0

    def records(self, rounds: int) -> bytes:
        """Return the next packets as pcap records: `rounds` from each stream."""
        smallest, largest = self._sizes
        sizes = self._random.integers(smallest, largest, rounds * self.streams, np.int64, endpoint=True)
        rows = self._rows(sizes)
        width = _RECORD.itemsize + largest - HEADERS_BYTES
        whole = np.full((len(sizes), width), 0x58, np.uint8)
        whole[:, : _RECORD.itemsize] = rows.view(np.uint8).reshape(len(sizes), -1)
        return whole[np.arange(width) < (sizes + _RECORD_HEADER_BYTES)[:, None]].tobytes()

    def write(self, path: Path, packets: int) -> int:
        """Write a pcap file of at least so many packets; return how many it has."""
        rounds = max(1, 30_000 // self.streams)
        written = 0
        with path.open("wb") as file:
            file.write(_FILE_HEADER)
            while written < packets:
                file.write(self.records(rounds))
                written += rounds * self.streams
        return written

    def _rows(self, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
        n = len(sizes)
        number = self._made + np.arange(n)
        self._made += n
        stream = number % self.streams
        connection, side = stream // 2, stream % 2
        rows = np.zeros(n, _RECORD)
        time_ns = _START_NS + number * _SPACING_NS
        rows["sec"], rows["nsec"] = time_ns // 1_000_000_000, time_ns % 1_000_000_000
        rows["caplen"] = rows["len"] = sizes
        _ethernet(rows["ethernet"], 0x10)
        _ethernet(rows["inner_ethernet"], 0x20)
        _ipv4(rows["ip"], sizes - 14, 17, (0x0A000001, 0x0A000002))
        rows["udp"]["source"], rows["udp"]["target"] = 50_000 + connection, 4789
        rows["udp"]["length"] = sizes - 34
        rows["vxlan"]["flags"], rows["vxlan"]["vni"] = 0x08000000, 4242 << 8
        client, server = 0xC0A80000 + connection, np.full(n, 0xCB007100)
        ends = (np.where(side, client, server), np.where(side, server, client))
        _ipv4(rows["inner_ip"], sizes - 64, 6, ends)
        rows["inner_ip"]["id"] = number // self.streams
        _checksum(rows["inner_ip"])
        self._tcp(rows["tcp"], sizes - HEADERS_BYTES, connection + _FIRST_PORT, side)
        return rows

    def _tcp(
        self, tcp: npt.NDArray[np.void], payload: npt.NDArray[np.int64], port: npt.NDArray[np.int64],
        side: npt.NDArray[np.int64],
    ) -> None:  # fmt: skip
        tcp["source"], tcp["target"] = np.where(side, port, SERVER_PORT), np.where(side, SERVER_PORT, port)
        tcp["flags"], tcp["window"] = 0x5018, 65535  # five words; PSH and ACK
        payload = payload.reshape(-1, self.streams)
        ends = self._next + np.cumsum(payload, axis=0)
        begins = ends - payload
        self._next = ends[-1]
        tcp["seq"] = (begins & 0xFFFFFFFF).ravel()
        acks = np.empty_like(ends)  # the other stream's bytes so far; side 1 comes after side 0 in each round
        acks[:, 0::2], acks[:, 1::2] = begins[:, 1::2], ends[:, 0::2]
        tcp["ack"] = (acks & 0xFFFFFFFF).ravel()


def frames(records: bytes) -> Iterator[bytes]:
    """Yield the frames of pcap records."""
    at = 0
    while at < len(records):
        (size,) = struct.unpack_from("<I", records, at + 8)
        at += _RECORD_HEADER_BYTES
        yield records[at : at + size]
        at += size


def _ethernet(header: npt.NDArray[np.void], host: int) -> None:
    header["to"], header["from"] = bytes([2, 0, 0, 0, host, 1]), bytes([2, 0, 0, 0, host, 2])
    header["type"] = 0x0800


def _ipv4(
    header: npt.NDArray[np.void],
    length: npt.NDArray[np.int64],
    protocol: int,
    ends: tuple[npt.ArrayLike, npt.ArrayLike],
) -> None:
    header["version"], header["ttl"], header["protocol"] = 0x45, 64, protocol
    header["fragment"] = 0x4000  # do not fragment
    header["length"] = length
    header["source"], header["target"] = ends
    _checksum(header)


def _checksum(header: npt.NDArray[np.void]) -> None:
    """Fill in the checksum of IPv4 headers (RFC 1071)."""
    header["checksum"] = 0
    words = np.ascontiguousarray(header).view(">u2").reshape(len(header), 10).sum(axis=1, dtype=np.int64)
    words = (words & 0xFFFF) + (words >> 16)
    header["checksum"] = ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF
