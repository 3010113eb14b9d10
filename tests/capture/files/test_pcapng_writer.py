"""Whole batches written at once, and packets with comments."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.files.pcapng_writer import PcapngWriter, block_bytes, portions
from capture.packets import Batch, LinkType

Files = Any
NOW_NS = 1_700_000_000 * 10**9
FRAMES = st.lists(
    st.tuples(
        st.integers(0, 2**63 - 1),
        st.binary(max_size=100) | st.integers(0, 5_000).map(lambda size: bytes(range(250)) * (size // 250)),
        st.integers(0, 70_000),
        st.sampled_from([LinkType.ETHERNET, LinkType.LINUX_SLL2, 12_345]),
    ),
    max_size=40,
)


class Trickle(io.RawIOBase):
    """A file that takes a few bytes at a time, as a raw file may."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Take some."""
        part = bytes(data[:1_000])
        self.taken += part
        return len(part)


def tagged(batch: Batch, vlan: list[int]) -> Batch:
    """Return a batch whose packets had VLAN tags."""
    columns = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    return Batch(**(columns | {"vlan": np.array(vlan, np.uint16)}))


@settings(deadline=None)
@given(rows=FRAMES, data=st.data())
def test_what_was_written_is_read(
    capture_files: Files, rows: list[tuple[int, bytes, int, int]], data: st.DataObject
) -> None:
    """Any packets of a batch, in any order, more than once; and the sizes of their blocks were told before."""
    frames = [capture_files.frame(time_ns, content, len(content) + cut, link) for time_ns, content, cut, link in rows]
    which = data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=60) if frames else st.just([]))
    batch, file = capture_files.batch_of(frames), io.BytesIO()
    writer = PcapngWriter(file, links=sorted({frame.link for frame in frames}))
    before = writer.written_bytes
    writer.write(batch, np.array(which, np.int64))
    assert ([frames[n] for n in which], []) == capture_files.read_bytes(file.getvalue())
    assert len(file.getvalue()) == writer.written_bytes
    assert block_bytes(batch, np.array(which, np.int64)).sum() == writer.written_bytes - before


def test_new_link_types_are_described_when_they_come(capture_files: Files) -> None:
    """Whoever writes need not know them."""
    frames = [capture_files.frame(NOW_NS, b"packet", 6, link) for link in (113, 1, 113, 65_535)]
    file = io.BytesIO()
    PcapngWriter(file).write(capture_files.batch_of(frames), np.arange(4))
    assert (frames, []) == capture_files.read_bytes(file.getvalue())


def test_a_file_that_takes_little_at_once(capture_files: Files) -> None:
    """Gets everything nevertheless."""
    frames = [capture_files.frame(NOW_NS + n, bytes(n), n) for n in range(300)]
    file = Trickle()
    PcapngWriter(file).write(capture_files.batch_of(frames), np.arange(300))  # type: ignore[arg-type]
    assert (frames, []) == capture_files.read_bytes(file.taken)


def test_the_vlan_tag_is_put_back(capture_files: Files) -> None:
    """Between the addresses and the type of an Ethernet frame, and nowhere else (IEEE 802.1Q)."""
    frame, addresses = capture_files.frame, b"\xaa" * 6 + b"\xbb" * 6
    frames = [
        frame(NOW_NS, addresses + b"\x08\0rest", 1_000),
        frame(NOW_NS, addresses + b"\x08\0rest", 18),
        frame(NOW_NS, addresses, 12),
        frame(NOW_NS, b"cut", 90),
        frame(NOW_NS, addresses + b"\x08\0rest", 18, 113),
    ]
    expected = [
        frame(NOW_NS, addresses + b"\x81\0\x60\x07\x08\0rest", 1_004),
        frames[1],
        frame(NOW_NS, addresses + b"\x81\0\0\x09", 16),
        *frames[3:],
    ]
    batch, file = tagged(capture_files.batch_of(frames), [0x6007, 0, 9, 7, 7]), io.BytesIO()
    PcapngWriter(file).write(batch, np.arange(5))
    assert (expected, []) == capture_files.read_bytes(file.getvalue())
    assert [56, 52, 48, 36, 52] == block_bytes(batch, np.arange(5)).tolist()


def test_portions_keep_the_order_and_stay_small(capture_files: Files) -> None:
    """Whatever the packets' sizes; one that is larger than a portion only ever begins one."""
    sizes = [100_000, 100_000, 400_000, 60_000, 60_000, 300_000, 10]
    batch = capture_files.batch_of([capture_files.frame(NOW_NS, bytes(size), size) for size in sizes])
    parts = [part.tolist() for part in portions(batch, np.arange(7))]
    assert list(range(7)) == [n for part in parts for n in part]
    assert all(part and sum(sizes[n] + 32 for n in part[1:]) < 1 << 18 for part in parts)


@settings(deadline=None)
@given(packet=st.binary(max_size=50), comment=st.text(max_size=40))
def test_comments(capture_files: Files, packet: bytes, comment: str) -> None:
    """The option holds the comment in UTF-8, and the packet is read as any other."""
    file = io.BytesIO()
    PcapngWriter(file, links=(113,)).write_commented(packet, NOW_NS + 7, 99, comment, 113)
    assert ([capture_files.frame(NOW_NS + 7, packet, 99, 113)], []) == capture_files.read_bytes(file.getvalue())
    said = comment.encode()
    option = struct.pack("<HH", 1, len(said)) + said + bytes(-len(said) % 4) + bytes(4)
    assert option == file.getvalue()[-4 - len(option) : -4]


@pytest.mark.parametrize("letter", ["x", "µ", "€"])
def test_a_long_comment_is_cut_between_two_letters(capture_files: Files, letter: str) -> None:
    """An option has at most 65,535 bytes."""
    file = io.BytesIO()
    PcapngWriter(file).write_commented(b"packet", NOW_NS, 6, letter * 70_000, LinkType.ETHERNET)
    assert ([capture_files.frame(NOW_NS, b"packet", 6)], []) == capture_files.read_bytes(file.getvalue(), 1 << 17)
    said = letter.encode() * (65_535 // len(letter.encode()))
    assert struct.pack("<HH", 1, len(said)) + said in file.getvalue()
