"""The Python readers that `benchmarks/decode.py` measures, one a process: each finds the TCP header inside VXLAN.

Usage: `python benchmarks/decode_readers.py wirestamp|dpkt|scapy FILE PACKETS`. Prints one JSON object: packets read,
TCP segments found, seconds without the start, peak resident memory. wirestamp reads the whole file, and also follows
the streams; the others stop after so many packets.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any


def wirestamp(path: Path, _: int) -> tuple[int, int]:
    """File, decapsulation, flow table, stream positions: up to the journal's rows."""
    decoder = Decoder()
    streams = Streams(decoder.address)
    packets = rows = 0
    for batch in FileSource([path]).batches():
        packets += len(batch)
        rows += len(streams.take(decoder.decode(batch)).packets)
    return packets, rows


def by_dpkt(path: Path, limit: int) -> tuple[int, int]:
    """Unpack every header down to the inner TCP."""
    packets = segments = 0
    with path.open("rb") as file:
        for _, raw in dpkt.pcap.Reader(file):
            packets += 1
            udp = dpkt.ethernet.Ethernet(raw).data.data
            if isinstance(udp, dpkt.udp.UDP) and udp.dport == 4789:
                inner = dpkt.ethernet.Ethernet(udp.data[8:])
                segments += isinstance(inner.data.data, dpkt.tcp.TCP)
            if packets == limit:
                break
    return packets, segments


def by_scapy(path: Path, limit: int) -> tuple[int, int]:
    """Dissect every packet."""
    packets = segments = 0
    with PcapReader(str(path)) as reader:
        for packet in reader:
            packets += 1
            segments += TCP in packet
            if packets == limit:
                break
    return packets, segments


def peak_rss_bytes() -> int:
    """Return the most memory that this program had; `ru_maxrss` would begin with that of its parent."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1]) * 1024


def main() -> None:
    """Read, then print."""
    name, path, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    read: Any = {"wirestamp": wirestamp, "dpkt": by_dpkt, "scapy": by_scapy}[name]
    begin_s = time.perf_counter()
    packets, segments = read(path, limit)
    seconds = time.perf_counter() - begin_s
    peak = peak_rss_bytes()
    print(json.dumps({"packets": packets, "segments": segments, "seconds": seconds, "peak_rss_bytes": peak}))


if __name__ == "__main__":
    # A process imports what it measures and nothing else, so that its memory is its own.
    if sys.argv[1] == "wirestamp":
        from capture.decode import Decoder
        from capture.files import FileSource
        from capture.streams import Streams
    elif sys.argv[1] == "dpkt":
        import dpkt
    else:
        from scapy.all import TCP, PcapReader
    main()
