"""A coverage-guided fuzz target: bytes become packets or a capture file, and the decoder must take them.

    python tests/fuzz/fuzz_decode.py FOLDER [-runs=20000] [-max_total_time=60]

FOLDER holds the inputs to begin with and receives those that reach new code; other options are libFuzzer's. An input
that begins as a capture file does is one; any other is a sequence of packets: link type (one byte, an index), time step
(one byte), size (two bytes), the packet's bytes.

atheris keeps the result of every comparison that it has traced, and those of arrays are some 6 KB a run: for a long one
say -rss_limit_mb=0 (without atheris the same inputs take no memory).
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["capture"]):
    from capture.decode import Decoder
    from capture.errors import NotACapture
    from capture.files import FileSource, pcap, pcapng
    from capture.packets import Batch, LinkType

LINKS = [*LinkType, 127]
STEP_NS = 1_000_000_000
MAX_PACKETS = 64
WINDOW_BYTES = 1 << 14
MAGICS = (*pcap.MAGICS, pcapng.MAGIC)


def batch_of(source: bytes) -> Batch:
    """Return the packets that an input describes."""
    start, caplen, wirelen, step, link = [], [], [], [], []
    at = 0
    while at + 4 <= len(source) and len(start) < MAX_PACKETS:
        size = int.from_bytes(source[at + 2 : at + 4])
        link.append(LINKS[source[at] % len(LINKS)])
        step.append(source[at + 1])
        at += 4
        start.append(at)
        caplen.append(min(size, len(source) - at))
        wirelen.append(size)
        at += caplen[-1]
    return Batch(
        data=np.frombuffer(source, np.uint8),
        start=np.array(start, np.int64),
        caplen=np.array(caplen, np.int64),
        wirelen=np.array(wirelen, np.int64),
        time_ns=np.cumsum(np.array(step, np.int64)) * STEP_NS,
        link=np.array(link, np.uint16),
        hardware=np.zeros(len(start), np.bool_),
        vlan=np.zeros(len(start), np.uint16),
    )


def take(source: bytes, file: Path) -> None:
    """Decode an input, by way of a file if it is one."""
    decoder = Decoder()
    if not source.startswith(MAGICS):
        decode(decoder, batch_of(source))
        return
    file.write_bytes(source)
    with suppress(NotACapture):
        for batch in FileSource([file], WINDOW_BYTES).batches():
            decode(decoder, batch)


def decode(decoder: Decoder, batch: Batch) -> None:
    """Decode a batch; every packet is a segment or counted, and no segment points beyond the buffer."""
    before = decoder.counts.total()
    segments = decoder.decode(batch)
    assert len(batch) == len(segments) + decoder.counts.total() - before
    assert (segments.payload + segments.captured <= len(segments.data)).all()
    assert (segments.options + segments.options_size <= len(segments.data)).all()
    assert (segments.captured <= segments.size).all()


if __name__ == "__main__":
    # In memory: libFuzzer ends the process without a chance to remove a file.
    file = Path(f"/proc/self/fd/{os.memfd_create('capture')}")
    atheris.Setup(sys.argv, lambda source: take(source, file))
    atheris.Fuzz()
