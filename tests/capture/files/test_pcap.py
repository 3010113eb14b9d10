"""pcap's file header, its flavours, and records that nobody could have written."""

from typing import Any

import numpy as np
import pytest

from capture.files.pcap import MAGICS, PcapReader
from capture.files.records import MAX_PACKET_BYTES, SLACK_BYTES, Found

Files = Any
NOW_NS = 1_700_000_000 * 10**9


def read(content: bytes, reader: PcapReader | None = None, begin: int = 0) -> Found:
    """Read a window."""
    window = np.frombuffer(content + bytes(SLACK_BYTES), np.uint8)
    return (reader or PcapReader(content[:4])).read(window, begin, len(content))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("magic", "fraction_ns"), [(0xA1B2C3D4, 123_456_000), (0xA1B23C4D, 123_456_789), (0xA1B2CD34, 123_456_000)]
)
def test_flavours(capture_files: Files, order: str, magic: int, fraction_ns: int) -> None:
    """Microseconds, nanoseconds, and the modified format with its longer headers."""
    frames = [capture_files.frame(NOW_NS + n * 10**9 + fraction_ns, b"abc"[:n], 1_000) for n in range(4)]
    frames.append(capture_files.frame((2**32 - 1) * 10**9 + fraction_ns, b"last", 4))
    assert (frames, []) == capture_files.read_bytes(capture_files.packing.pcap(frames, order, magic))


def test_every_magic_is_known() -> None:
    """Three formats in two byte orders; hex as in the file."""
    assert {"a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1"} == {magic.hex() for magic in MAGICS}


def test_the_upper_bits_of_the_link_type_are_not_of_it(capture_files: Files) -> None:
    """They tell of frame check sequences: here of one of 4 bytes."""
    frames = [capture_files.frame(NOW_NS, b"", 0, 276)]
    content = capture_files.packing.pcap(frames, link=0x24000000 | 276)
    assert (frames, []) == capture_files.read_bytes(content)


def test_a_packet_is_at_least_as_long_as_what_was_captured(capture_files: Files) -> None:
    """A writer that says otherwise is not believed."""
    (frame,), _ = capture_files.read_bytes(capture_files.packing.pcap([capture_files.frame(NOW_NS, b"12345", 3)]))
    assert 5 == frame.wirelen


def test_another_version_is_not_read(capture_files: Files) -> None:
    """Formats before 2.4 had their lengths the other way round."""
    content = bytearray(capture_files.packing.pcap([]))
    content[6] = 2
    assert "it is pcap version 2.2, expected 2.4" == read(bytes(content)).fault


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ((0, 0, MAX_PACKET_BYTES + 1, 0), "a record would hold 268,435,457 bytes from 0/1,000,000,000 s"),
        ((0, 0, 0, 0), "there are only zeros"),
        ((0, 10**9, 1, 1), "a record would hold 1 bytes from 1,000,000,000/1,000,000,000 s"),
    ],
)
def test_impossible_records(capture_files: Files, header: tuple[int, ...], fault: str) -> None:
    """Reading stops where one begins, whether its bytes are there or not; those before it count."""
    content = capture_files.packing.pcap([capture_files.frame(NOW_NS, b"sound", 5)])
    found = read(content + np.array(header, "<u4").tobytes() + bytes(100))
    assert (45, fault) == (found.resume, found.fault)
    assert found.packets is not None
    assert 1 == len(found.packets)


def test_a_window_may_end_anywhere(capture_files: Files) -> None:
    """The reader says where to go on and how much it needs for that."""
    content = capture_files.packing.pcap([capture_files.frame(NOW_NS, b"12345", 5)] * 2)
    reader = PcapReader(content[:4])
    steps = [(0, 23, 0, 24), (0, 30, 24, 16), (24, 40, 24, 21), (24, 45, 45, 16), (45, 60, 45, 16)]
    for begin, end, resume, wanted in steps:
        found = read(content[:end], reader, begin)
        assert (resume, wanted, "") == (found.resume, found.wanted, found.fault)
