"""A million damaged packets, damage that knows the layers, and a short run of the coverage-guided fuzzer."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap, wrpcapng

from capture.decode import Decoder, fragments
from capture.packets import Batch, LinkType, Segments

PACKETS = 1_000_000
BATCH = 16_384
STEP_NS = 1_000_000
EXTREMES = np.array([0, 1, 4, 5, 6, 19, 20, 39, 40, 0x2000, 0x45, 0x60, 0x7FFF, 0x8000, 0xFFFF], np.uint16)
LINKS = np.array([*LinkType, 127], np.uint16)


def damaged(corpus: list[bytes], generator: np.random.Generator, first: int) -> Batch:
    """Return a batch of packets from a corpus with bits flipped, fields set, tails of others, ends cut."""
    sizes = np.array([len(packet) for packet in corpus])
    width = int(sizes.max())
    table = np.zeros((len(corpus), width), np.uint8)
    for row, packet in enumerate(corpus):
        table[row, : len(packet)] = np.frombuffer(packet, np.uint8)
    which = generator.integers(len(corpus), size=BATCH)
    rows, wirelen = table[which], sizes[which].astype(np.int64)
    splice(rows, wirelen, generator)
    for _ in range(3):
        some = np.flatnonzero(generator.random(BATCH) < 0.3)
        bit = generator.integers(8, size=len(some), dtype=np.uint8)
        rows[some, generator.integers(width, size=len(some))] ^= 1 << bit
        set_fields(rows, generator)
    cut = generator.random(BATCH) < 0.2
    caplen = np.where(cut, (wirelen * generator.random(BATCH)).astype(np.int64), wirelen)
    start = np.arange(BATCH) * width
    link = np.where(generator.random(BATCH) < 0.05, generator.choice(LINKS, BATCH), LinkType.ETHERNET)
    return Batch(
        data=rows.reshape(-1)[: start[-1] + caplen[-1]],
        start=start,
        caplen=caplen,
        wirelen=wirelen,
        time_ns=(first + np.arange(BATCH)) * STEP_NS,
        link=link.astype(np.uint16),
        hardware=np.zeros(BATCH, np.bool_),
        vlan=np.zeros(BATCH, np.uint16),
    )


def splice(rows: np.ndarray, sizes: np.ndarray, generator: np.random.Generator) -> None:
    """Give a tenth of the packets the end of another one."""
    some = np.flatnonzero(generator.random(len(rows)) < 0.1)
    other = generator.integers(len(rows), size=len(some))
    behind = np.arange(rows.shape[1]) >= generator.integers(rows.shape[1], size=(len(some), 1))
    rows[some] = np.where(behind, rows[other], rows[some])
    sizes[some] = sizes[other]


def set_fields(rows: np.ndarray, generator: np.random.Generator) -> None:
    """Put an extreme into a 16-bit field of a fifth of the packets: lengths and offsets are among them."""
    some = np.flatnonzero(generator.random(len(rows)) < 0.2)
    at = generator.integers(rows.shape[1] // 2 - 1, size=len(some)) * 2
    value = generator.choice(EXTREMES, len(some))
    rows[some, at], rows[some, at + 1] = (value >> 8).astype(np.uint8), (value & 0xFF).astype(np.uint8)


def check(batch: Batch, segments: Segments, counted: int) -> None:
    """Every packet is a segment or counted once, and no segment points beyond the buffer."""
    assert len(batch) == len(segments) + counted
    assert (np.diff(segments.packet) > 0).all()
    assert (segments.payload + segments.captured <= len(segments.data)).all()
    assert (segments.options + segments.options_size <= segments.payload).all()
    assert (segments.captured <= segments.size).all()


def resident_bytes() -> int:
    """Return what the process takes of memory (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def batches(corpus: list[bytes]) -> Iterator[Batch]:
    generator = np.random.default_rng(20240808)
    for first in range(0, PACKETS, BATCH):
        yield damaged(corpus, generator, first)


def test_a_million_damaged_packets(corpus: list[bytes]) -> None:
    """No exception, every packet accounted for, memory bounded."""
    decoder = Decoder()
    segments, before, resident = 0, 0, 0
    for number, batch in enumerate(batches(corpus)):
        found = decoder.decode(batch)
        total = decoder.counts.total()
        check(batch, found, total - before)
        segments, before = segments + len(found), total
        resident = resident_bytes() if number == 3 else resident
    assert PACKETS / 4 < segments < PACKETS
    assert decoder.counts[fragments.REBUILT] > 100
    assert resident_bytes() - resident < 64 << 20


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_that_knows_the_layers(corpus: list[bytes], data: st.DataObject) -> None:
    """Packets cut, repeated and concatenated where headers begin, with any byte changed."""
    decoder = Decoder()
    for _ in range(data.draw(st.integers(1, 3))):
        packets = data.draw(st.lists(st.sampled_from(corpus).flatmap(changed), min_size=1, max_size=5))
        caplen = np.array([len(packet) for packet in packets], np.int64)
        extra = data.draw(st.lists(st.integers(0, 70_000), min_size=len(packets), max_size=len(packets)))
        links = data.draw(st.lists(st.sampled_from(LINKS.tolist()), min_size=len(packets), max_size=len(packets)))
        batch = Batch(
            data=np.frombuffer(b"".join(packets), np.uint8),
            start=np.cumsum(caplen) - caplen,
            caplen=caplen,
            wirelen=caplen + np.array(extra, np.int64),
            time_ns=np.array([data.draw(st.integers(0, 1 << 62)) for _ in packets], np.int64),
            link=np.array(links, np.uint16),
            hardware=np.zeros(len(packets), np.bool_),
            vlan=np.zeros(len(packets), np.uint16),
        )
        before = decoder.counts.total()
        check(batch, decoder.decode(batch), decoder.counts.total() - before)


def changed(packet: bytes) -> st.SearchStrategy[bytes]:
    """Return ways to change a packet: bytes replaced, a part doubled or left out, the rest cut off."""
    place = st.integers(0, len(packet))
    replaced = st.tuples(place, st.binary(max_size=4)).map(
        lambda change: packet[: change[0]] + change[1] + packet[change[0] + len(change[1]) :]
    )
    doubled = st.tuples(place, place).map(lambda part: packet[: max(part)] + packet[min(part) :])
    left_out = st.tuples(place, place).map(lambda part: packet[: min(part)] + packet[max(part) :])
    return st.one_of(st.just(packet), replaced, doubled, left_out, place.map(lambda size: packet[:size]))


@pytest.mark.slow
def test_the_coverage_guided_fuzzer(corpus: list[bytes], tmp_path: Path) -> None:
    """A short run from the corpus, as packets and as capture files."""
    pytest.importorskip("atheris", reason="atheris is not installed")
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    ethernet = [*LinkType].index(LinkType.ETHERNET)
    for number, packet in enumerate(corpus):
        (inputs / f"{number:03d}").write_bytes(bytes([ethernet, 1]) + len(packet).to_bytes(2) + packet)
    for number in range(0, len(corpus), 20):
        frames = [Ether(packet) for packet in corpus[number : number + 5]]
        for nano in (False, True):
            wrpcap(str(inputs / f"{number:03d}-{nano}.pcap"), frames, nano=nano)
        wrpcapng(str(inputs / f"{number:03d}.pcapng"), frames)
    command = [sys.executable, str(Path(__file__).with_name("fuzz_decode.py")), str(inputs), "-runs=20000", "-seed=1"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert 0 == ended.returncode, ended.stderr[-4000:]
    assert "Done 20000 runs" in ended.stderr
