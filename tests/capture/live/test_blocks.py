"""Blocks as the kernel lays them out, made here field by field: which are ready, and what is read from them."""

import struct

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from capture.live.blocks import Blocks
from capture.packets import LinkType

BLOCK_BYTES = 4096
BLOCK_HEADER_BYTES, PACKET_HEADER_BYTES = 48, 48
MAC, NETWORK = 82, 96  # where a packet and its IP header begin, from its header on
VLAN_VALID, TS_SOFTWARE, TS_RAW_HARDWARE = 1 << 4, 1 << 29, 1 << 31
SECOND_NS = 1_000_000_000

Packet = tuple[int, bytes, int, int]  # time in ns, frame, status, VLAN tag

packets = st.tuples(
    st.integers(0, 2**32 * SECOND_NS - 1),
    st.binary(min_size=20, max_size=300),
    st.sampled_from([0, TS_SOFTWARE, TS_RAW_HARDWARE, VLAN_VALID, VLAN_VALID | TS_RAW_HARDWARE]),
    st.integers(0, 0xFFFF),
)


def fill(memory: npt.NDArray[np.uint8], block: int, contents: list[Packet], cut: int = 0) -> None:
    """Write a block that the kernel hands over; each packet had `cut` more bytes on the wire."""
    base = block * BLOCK_BYTES
    struct.pack_into("=IIIII", memory, base, 1, 0, 1, len(contents), BLOCK_HEADER_BYTES)
    at = base + BLOCK_HEADER_BYTES
    for number, (time_ns, frame, status, tag) in enumerate(contents):
        size = MAC + len(frame) + 7 & ~7
        distance = size if number + 1 < len(contents) else 0  # the last one's is 0
        seconds, nanoseconds = divmod(time_ns, SECOND_NS)
        lengths = (len(frame), len(frame) + cut)
        struct.pack_into("=6IHHII", memory, at, distance, seconds, nanoseconds, *lengths, status, MAC, NETWORK, 0, tag)
        memory[at + MAC : at + MAC + len(frame)] = np.frombuffer(frame, np.uint8)
        at += size


def ring(blocks: int, *, ethernet: bool = True) -> tuple[npt.NDArray[np.uint8], Blocks]:
    """A ring with nothing in it."""
    memory = np.zeros(blocks * BLOCK_BYTES, np.uint8)
    return memory, Blocks(memory, BLOCK_BYTES, ethernet=ethernet)


@given(st.lists(st.lists(packets, max_size=8), min_size=1, max_size=4), st.integers(0, 3))
def test_packets_are_read_as_they_were_written(contents: list[list[Packet]], first: int) -> None:
    """All fields of all packets, in order, also where the blocks go round the ring's end."""
    memory, blocks = ring(4)
    for ahead, block in enumerate(contents):
        fill(memory, (first + ahead) % 4, block, cut=7)
    batch = blocks.packets(first, len(contents))
    expected = [packet for block in contents for packet in block]
    ends = zip(batch.start, batch.caplen, strict=True)
    assert [frame for _, frame, _, _ in expected] == [bytes(batch.data[at : at + size]) for at, size in ends]
    assert [len(frame) + 7 for _, frame, _, _ in expected] == batch.wirelen.tolist()
    assert [time_ns for time_ns, _, _, _ in expected] == batch.time_ns.tolist()
    assert [bool(status & TS_RAW_HARDWARE) for _, _, status, _ in expected] == batch.hardware.tolist()
    assert [tag if status & VLAN_VALID else 0 for _, _, status, tag in expected] == batch.vlan.tolist()
    assert [LinkType.ETHERNET] * len(expected) == batch.link.tolist()


def test_other_link_layers_are_left_out() -> None:
    """Without Ethernet a packet begins at its IP header, and one that was cut before it has nothing."""
    memory, blocks = ring(1, ethernet=False)
    fill(memory, 0, [(1, b"link header...IP packet", 0, 0), (2, b"link", 0, 0)])
    batch = blocks.packets(0, 1)
    assert b"IP packet" == bytes(batch.data[batch.start[0] :][: batch.caplen[0]])
    assert [9, 0] == batch.caplen.tolist()
    assert [LinkType.RAW] * 2 == batch.link.tolist()


def test_blocks_are_ready_in_their_order() -> None:
    """What is ready behind one that is not has to wait; what is given back is the kernel's again."""
    memory, blocks = ring(4)
    for block in (3, 0, 2):
        fill(memory, block, [(1, b"x" * 20, 0, 0)])
    assert 3 == blocks.ready(2, 4)
    assert 2 == blocks.ready(2, 2)
    assert 0 == blocks.ready(1, 4)
    blocks.give_back(2, 2)
    assert (0, 1) == (blocks.ready(2, 4), blocks.ready(0, 4))


def test_a_block_may_be_empty() -> None:
    """No packets are an empty batch with all its fields."""
    memory, blocks = ring(1)
    fill(memory, 0, [])
    for batch in (blocks.packets(0, 1), blocks.empty):
        assert 0 == len(batch) == len(batch.time_ns) == len(batch.link)
