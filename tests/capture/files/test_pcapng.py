"""pcapng's sections, interfaces and kinds of packets, and blocks that contradict themselves."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.files.pcapng import PcapngReader
from capture.files.records import SLACK_BYTES, Found

Files = Any
NOW_NS = 1_700_000_000 * 10**9


def read(content: bytes) -> tuple[Found, PcapngReader]:
    """Read a window."""
    reader = PcapngReader()
    return reader.read(np.frombuffer(content + bytes(SLACK_BYTES), np.uint8), 0, len(content)), reader


@pytest.mark.parametrize("orders", ["<<", "<>", "><", ">>", "<>><<>"])
def test_sections_have_their_own_order_and_interfaces(capture_files: Files, orders: str) -> None:
    """Interfaces are counted anew, and their link types and times are those of the section."""
    packing, frame = capture_files.packing, capture_files.frame
    content, expected = b"", []
    for n, order in enumerate(orders):
        content += packing.section(order) + packing.interface(order, link=100 + n, offset_s=n)
        content += packing.interface(order, link=200 + n, resolution=6)
        content += packing.enhanced(frame(NOW_NS, b"first" * n, 50), order, 0)
        content += packing.enhanced(frame(NOW_NS // 1_000, b"second" * n, 60), order, 1)
        expected += [frame(NOW_NS + n * 10**9, b"first" * n, 50, 100 + n), frame(NOW_NS, b"second" * n, 60, 200 + n)]
    for window_bytes in (160, 4_096):
        assert (expected, []) == capture_files.read_bytes(content, window_bytes)


@pytest.mark.parametrize("order", "<>")
def test_kinds_of_packets(capture_files: Files, order: str) -> None:
    """Obsolete packets are read like enhanced ones; simple ones belong to interface 0 and have no time."""
    packing, frame = capture_files.packing, capture_files.frame
    content = packing.section(order) + packing.interface(order, snaplen=6) + packing.interface(order, link=113)
    content += packing.simple(frame(0, b"zero", 4), order)
    content += packing.obsolete(frame(NOW_NS, b"obsolete", 9), order, interface=1)
    content += packing.block(0x0BAD, b"unknown", order) + packing.simple(frame(0, b"123456", 800), order)
    content += packing.enhanced(frame(NOW_NS + 1, b"enhanced", 8), order, interface=1)
    expected = [
        frame(0, b"zero", 4),
        frame(NOW_NS, b"obsolete", 9, 113),
        frame(NOW_NS, b"123456", 800),
        frame(NOW_NS + 1, b"enhanced", 8, 113),
    ]
    told = f"{capture_files.scratch}: 2 simple packets have no time: each was given that of the packet before it"
    for window_bytes in (100, 4_096):
        assert (expected, [told]) == capture_files.read_bytes(content, window_bytes)


@settings(deadline=None)
@given(
    blocks=st.lists(st.tuples(st.sampled_from("eiosn"), st.integers(0, 3), st.binary(max_size=40)), max_size=30),
    order=st.sampled_from("<>"),
    window_bytes=st.integers(128, 600),
)
def test_any_mixture_of_blocks(
    capture_files: Files, blocks: list[tuple[str, int, bytes]], order: str, window_bytes: int
) -> None:
    """Read at once, block by block, or as a plain reader would: what an interface is depends on what came before."""
    packing, frame = capture_files.packing, capture_files.frame
    content, links, expected, last_ns = packing.section(order), [], [], 0
    for n, (kind, number, data) in enumerate(blocks):
        packet = frame(NOW_NS + n, data, len(data) + number)
        if kind == "i":
            content += packing.interface(order, link=n)
            links.append(n)
        elif kind == "n":
            content += packing.section(order)
            links = []
        elif kind == "s":
            content += packing.simple(packet, order)
            if links:
                kept = min(packet.wirelen, len(data) + 3 & ~3)
                expected.append(frame(last_ns, (data + bytes(3))[:kept], packet.wirelen, links[0]))
        else:
            content += (packing.enhanced if kind == "e" else packing.obsolete)(packet, order, number)
            if number < len(links):
                expected.append(packet._replace(link=links[number]))
                last_ns = packet.time_ns
    assert expected == capture_files.read_bytes(content, window_bytes)[0]


def test_packets_of_unknown_interfaces_are_left_out(capture_files: Files) -> None:
    """One that is described later, one of the section before, one that is never described."""
    packing, frame = capture_files.packing, capture_files.frame(NOW_NS, b"x", 1)
    content = packing.section() + packing.enhanced(frame) + packing.interface() + packing.enhanced(frame)
    content += packing.enhanced(frame, interface=0xFFFFFFFF) + packing.section() + packing.enhanced(frame)
    told = f"{capture_files.scratch}: 3 packets of interfaces that are not described were left out"
    assert ([frame], [told]) == capture_files.read_bytes(content)


def test_what_stops_the_reading(capture_files: Files) -> None:
    """Each where it begins, with what came before it."""
    packing = capture_files.packing
    packet = packing.enhanced(capture_files.frame(NOW_NS, b"sound", 5))
    sound = packing.section() + packing.interface() + packet
    for block in (
        struct.pack("<II", 6, 8) + bytes(24),  # shorter than any block
        struct.pack("<II", 6, 34) + bytes(40),  # not a multiple of 4
        struct.pack("<II", 6, 0x20000000) + bytes(40),  # absurd
        packet[:-4] + b"\x20\0\0\0",  # two lengths
        packet[:20] + struct.pack("<I", 17) + packet[24:],  # more captured than the block holds
        packing.block(6, bytes(16)),  # without room for its own header
        packing.block(1, bytes(4)),
        packing.section()[:12] + b"\x02" + packing.section()[13:],  # another version
    ):
        found, _ = read(sound + block + packet)
        kind, length = struct.unpack_from("<II", block)
        assert (len(sound), f"a block of type {kind:#x} and {length:,} bytes is not valid") == (
            found.resume,
            found.fault,
        )
        assert found.packets is not None
        assert 1 == len(found.packets)


def test_a_section_of_no_known_order_stops_the_reading(capture_files: Files) -> None:
    """Its lengths cannot be read."""
    content = capture_files.packing.section() + capture_files.packing.section()[:8] + b"\1\2\3\4" + bytes(99)
    read_frames, (told,) = capture_files.read_bytes(content)
    assert [] == read_frames
    assert "is corrupt at byte 28, or in the record before: a section gives its byte order as 01020304" in told


def test_there_may_be_65_536_interfaces_and_no_more(capture_files: Files) -> None:
    """Each costs memory as long as the section lasts."""
    packing, frame = capture_files.packing, capture_files.frame(NOW_NS, b"x", 1)
    content = packing.section() + packing.interface() * 65_536 + packing.enhanced(frame, interface=65_535)
    assert ([frame], []) == capture_files.read_bytes(content)
    _, (told,) = capture_files.read_bytes(content + packing.interface())
    assert "a block of type 0x1" in told
