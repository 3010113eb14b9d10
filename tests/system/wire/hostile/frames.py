"""What tcpdump's files hold, read byte by byte; it shares no code with what it judges."""

import socket
import struct
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

Ends = tuple[str, str]  # of a stream: sender and receiver, `address:port`

FIN, SYN, RST, ACK = 1, 2, 4, 16  # RFC 9293, section 3.1
MAGIC, GLOBAL_BYTES, RECORD_BYTES = 0xA1B23C4D, 24, 16  # of a pcap file with ns
VXLAN_BYTES = 50  # outer Ethernet, IPv4, UDP and VXLAN headers


class Frame(NamedTuple):
    """A captured TCP packet over IPv4.

    Attributes:
        time_ns: its stamp.
        record: what the file has of it behind its stamp and its two sizes, as bytes.
        inner: where its own Ethernet frame begins in `record`.
        stream: its sender and receiver.
        seq, ack, flags: as in its TCP header.
        size: payload bytes.
    """

    time_ns: int
    record: bytes
    inner: int
    stream: Ends
    seq: int
    ack: int
    flags: int
    size: int

    @property
    def ethernet(self) -> bytes:
        """The frame itself, without the mirror's wrapping."""
        return self.record[self.inner :]


def read_frames(path: Path) -> list[Frame]:
    """Return the TCP packets of a file of tcpdump's (ns, little-endian, Ethernet), those in VXLAN unwrapped."""
    data = path.read_bytes()
    assert struct.pack("<I", MAGIC) == data[:4]
    frames = []
    at = GLOBAL_BYTES
    while at + RECORD_BYTES <= len(data):
        seconds, ns, caplen, wirelen = struct.unpack_from("<4I", data, at)
        assert caplen == wirelen
        record = data[at + RECORD_BYTES : at + RECORD_BYTES + caplen]
        at += RECORD_BYTES + caplen
        in_vxlan = record[23] == socket.IPPROTO_UDP and record[36:38] == (4789).to_bytes(2)
        inner = VXLAN_BYTES if in_vxlan else 0
        if record[inner + 12 : inner + 14] == b"\x08\x00" and record[inner + 23] == socket.IPPROTO_TCP:
            frames.append(_frame(seconds * 10**9 + ns, record, inner))
    return frames


def _frame(time_ns: int, record: bytes, inner: int) -> Frame:
    """Return what a packet says of itself (RFC 791, section 3.1; RFC 9293, section 3.1)."""
    ip = inner + 14
    (total,) = struct.unpack_from("!2xH", record, ip)
    tcp = ip + 4 * (record[ip] & 15)
    source_port, target_port, seq, ack = struct.unpack_from("!HHII", record, tcp)
    source, target = (socket.inet_ntoa(record[ip + at : ip + at + 4]) for at in (12, 16))
    size = total - (tcp - ip) - 4 * (record[tcp + 12] >> 4)
    ends = f"{source}:{source_port}", f"{target}:{target_port}"
    return Frame(time_ns, record, inner, ends, seq, ack, record[tcp + 13], size)


def repeated(frame: Frame) -> tuple[int, int] | None:
    """Return the sequence numbers that a packet says its sender got once more, None without (RFC 2883, section 4)."""
    ip = frame.inner + 14
    tcp = ip + 4 * (frame.record[ip] & 15)
    options = frame.record[tcp + 20 : tcp + 4 * (frame.record[tcp + 12] >> 4)]
    while options and options[0] != 0:
        length = 1 if options[0] == 1 else options[1]
        if options[0] == 5:  # SACK, RFC 2018
            edges = struct.unpack_from(f"!{(length - 2) // 4}I", options, 2)
            below = (frame.ack - edges[1]) % 2**32 < 2**31
            within = len(edges) > 2 and edges[2] <= edges[0] and edges[1] <= edges[3]
            return edges[:2] if below or within else None
        options = options[length:]
    return None


def write_frames(path: Path, frames: Iterable[Frame]) -> Path:
    """Write packets as tcpdump does."""
    parts = [struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, 262_144, 1)]
    for frame in frames:
        size = len(frame.record)
        parts += [struct.pack("<4I", *divmod(frame.time_ns, 10**9), size, size), frame.record]
    path.write_bytes(b"".join(parts))
    return path


class FirstBringers:
    """Which packet of a file first brought each byte of each stream: arrays with one element a byte.

    Args:
        frames: the file's, with the SYN of every stream, whose ports are used once.

    Attributes:
        first: the packet that first brought the byte, -1 where none did.
        times: how many packets brought it.
    """

    def __init__(self, frames: list[Frame]) -> None:
        self._isn: dict[Ends, int] = {}
        self.first: dict[Ends, np.ndarray] = {}
        self.times: dict[Ends, np.ndarray] = {}
        spans = defaultdict(list)
        for index, frame in enumerate(frames):
            if frame.flags & SYN:
                assert frame.seq == self._isn.setdefault(frame.stream, frame.seq), "ports were used twice"
            elif frame.size:
                low = self.off(frame.stream, frame.seq)
                spans[frame.stream].append((low, low + frame.size, index))
        for stream, parts in spans.items():
            first = np.full(max(high for _, high, _ in parts), -1)
            times = np.zeros(len(first), np.int64)
            for low, high, index in reversed(parts):
                first[low:high] = index
                times[low:high] += 1
            self.first[stream], self.times[stream] = first, times

    def off(self, stream: Ends, number: int) -> int:
        """Return the stream offset of a sequence number."""
        return (number - self._isn[stream] - 1) % 2**32

    def place(self, stream: Ends, off: int) -> int:
        """Return the index of the packet that first brought a byte, -1 where none did."""
        first = self.first.get(stream)
        return -1 if first is None or off >= len(first) else int(first[off])
