"""Capture files as a source: every format comes back as it was packed; whatever is wrong is told, never raised."""

import gzip
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.utils import EDecimal, wrpcap, wrpcapng

from capture.errors import NotACapture
from capture.files.source import BATCH_PACKETS, FileSource

Files = Any
NOW_NS = 1_700_000_000 * 10**9
FORMATS = [(kind, order) for kind in ("pcap", "pcapng") for order in "<>"]
HEADER_LIKE = b"\x00\xf1\x53\x65\0\0\0\0\x08\0\0\0\x08\0\0\0" * 8  # a row of pcap records, for whom reads it so


def in_frames(content: bytes) -> bytes:
    """Compress with zstd in two frames."""
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (content[:7], content[7:]))


def in_members(content: bytes) -> bytes:
    """Compress with gzip in two members."""
    return gzip.compress(content[:7], 1) + gzip.compress(content[7:], 1)


PACKINGS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": in_members, "zstd": in_frames}
PACKETS = st.lists(
    st.tuples(
        st.integers(10**9, 2**32 * 10**9 - 1),
        st.binary(max_size=300) | st.integers(0, 128).map(lambda size: HEADER_LIKE[:size]),
        st.integers(0, 70_000),
    ),
    max_size=30,
)


def pack(files: Files, kind: str, order: str, packets: Sequence[tuple[int, bytes, int]]) -> tuple[list[Any], bytes]:
    """Return packets and a file that holds them."""
    frames = [files.frame(time_ns, data, len(data) + cut) for time_ns, data, cut in packets]
    return frames, getattr(files.packing, kind)(frames, order)


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    packing=st.sampled_from(sorted(PACKINGS)),
    packets=PACKETS,
    window_bytes=st.integers(512, 8_192),
)
def test_what_was_packed_comes_back(
    capture_files: Files,
    form: tuple[str, str],
    packing: str,
    packets: list[tuple[int, bytes, int]],
    window_bytes: int,
) -> None:
    """Times, bytes and lengths are those of the file, in any format, compression and size of the buffer."""
    frames, content = pack(capture_files, *form, packets)
    assert (frames, []) == capture_files.read_bytes(PACKINGS[packing](content), window_bytes)


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(FORMATS), packets=PACKETS.filter(bool), window_bytes=st.integers(512, 8_192), data=st.data()
)
def test_a_cut_file_is_read_to_its_last_whole_record(
    capture_files: Files,
    form: tuple[str, str],
    packets: list[tuple[int, bytes, int]],
    window_bytes: int,
    data: st.DataObject,
) -> None:
    """The trouble names the byte where the cut record begins; between two records nothing is amiss."""
    frames, content = pack(capture_files, *form, packets)
    ends = [len(pack(capture_files, *form, packets[:count])[1]) for count in range(len(packets) + 1)]
    cut = data.draw(st.integers(4, len(content)), label="cut")
    read, troubles = capture_files.read_bytes(content[:cut], window_bytes)
    whole = sum(end <= cut for end in ends[1:])
    assert frames[:whole] == read
    starts = [0, *ends]
    if form[0] == "pcapng":
        starts.append(ends[1] - len(capture_files.packing.enhanced(frames[0], form[1])))  # behind the interface
    begins = max(start for start in starts if start <= cut)
    where = f"ends in the middle of a record that begins at byte {begins:,}; {whole:,} whole packets were read"
    assert ([] if begins == cut else [f"{capture_files.scratch} {where}"]) == troubles


@settings(max_examples=100, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    packing=st.sampled_from(["gzip", "zstd"]),
    packets=PACKETS.filter(bool),
    data=st.data(),
)
def test_a_cut_compressed_file_gives_its_beginning_and_a_trouble(
    capture_files: Files,
    form: tuple[str, str],
    packing: str,
    packets: list[tuple[int, bytes, int]],
    data: st.DataObject,
) -> None:
    """The trouble says how many whole packets there were."""
    frames, content = pack(capture_files, *form, packets)
    packed = PACKINGS[packing](content)
    read, troubles = capture_files.read_bytes(packed[: data.draw(st.integers(4, len(packed) - 1), label="cut")])
    assert frames[: len(read)] == read
    assert 1 == len(troubles)
    assert f" of what its {packing} data hold" in troubles[0]
    assert f"{len(read)} whole packets were read" in troubles[0]


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from(["pcap <", "pcap >", "pcapng <", "pcapng >", "gzip", "zstd", ""]),
    garbage=st.binary(max_size=2_000),
    window_bytes=st.integers(64, 4_096),
)
def test_garbage_ends_in_words(capture_files: Files, start: str, garbage: bytes, window_bytes: int) -> None:
    """Any bytes behind any beginning: troubles or `NotACapture`, and no more packets than there are bytes for."""
    beginning = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "zstd": b"\x28\xb5\x2f\xfd\x04\0", "": b""}.get(start)
    if beginning is None:
        kind, order = start.split()
        beginning = getattr(capture_files.packing, kind)([], order)
    try:
        read, _ = capture_files.read_bytes(beginning + garbage, window_bytes)
    except NotACapture:
        assert start in {"", "gzip", "zstd"}
    else:
        assert sum(len(frame.data) + 16 for frame in read) <= len(garbage)


@settings(max_examples=200, deadline=None)
@given(form=st.sampled_from(FORMATS), packets=PACKETS.filter(bool), data=st.data(), window_bytes=st.integers(64, 4_096))
def test_flipped_bytes_end_in_words(
    capture_files: Files,
    form: tuple[str, str],
    packets: list[tuple[int, bytes, int]],
    data: st.DataObject,
    window_bytes: int,
) -> None:
    """Lengths, types and options may be anything: what is read is never more than the file holds."""
    content = bytearray(pack(capture_files, *form, packets)[1])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    read, _ = capture_files.read_bytes(bytes(content), window_bytes)
    assert sum(len(frame.data) + 16 for frame in read) <= len(content)


@pytest.mark.parametrize("write", [partial(wrpcap, nano=True), wrpcap, wrpcapng])
def test_what_scapy_wrote_comes_back(capture_files: Files, write: Callable[[str, list[Ether]], None]) -> None:
    """A writer that shares no code with the reader."""
    packets = [Ether(bytes([n]) * (n + 14)) for n in range(200)]
    for n, packet in enumerate(packets):
        packet.time = EDecimal(NOW_NS + n * 1_000) / 10**9
    write(str(capture_files.scratch), packets)
    frames = [capture_files.frame(NOW_NS + n * 1_000, bytes([n]) * (n + 14), n + 14) for n in range(200)]
    assert (frames, []) == capture_files.read(capture_files.scratch)


def test_batches_are_bounded(capture_files: Files) -> None:
    """A window of many small packets is given out in portions, each with its own stretch of the buffer."""
    frames = [capture_files.frame(NOW_NS, b"%d" % n, 9) for n in range(BATCH_PACKETS + 10)]
    capture_files.scratch.write_bytes(capture_files.packing.pcap(frames))
    source = FileSource([capture_files.scratch])
    read = [(len(batch), len(batch.data), capture_files.frames_of(batch)) for batch in source.batches()]
    assert [BATCH_PACKETS, 10] == [count for count, *_ in read]
    assert frames == [frame for *_, part in read for frame in part]
    assert 10 * 5 + 9 * 16 == read[1][1]


def test_files_follow_one_another(capture_files: Files, tmp_path: Path) -> None:
    """One that ends too early does not keep the next from being read."""
    frames = [capture_files.frame(NOW_NS + n, b"x" * n, n) for n in range(9)]
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(capture_files.packing.pcap(frames[:5])[:-1])
    second.write_bytes(gzip.compress(capture_files.packing.pcapng(frames[5:], ">")))
    read, troubles = capture_files.read(first, second)
    assert frames[:4] + frames[5:] == read
    assert [f"{first} ends in the middle of a record that begins at byte 94; 4 whole packets were read"] == troubles


def test_a_pipe_is_read_as_well(capture_files: Files, tmp_path: Path) -> None:
    """What another program writes need not be stored first."""
    frames = [capture_files.frame(NOW_NS + n, b"x" * n, n) for n in range(500)]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(capture_files.packing.pcap(frames),))
    writer.start()
    assert (frames, []) == capture_files.read(pipe)
    writer.join()


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_packet_larger_than_the_window_is_left_out(capture_files: Files, kind: str) -> None:
    """Those around it are read, and it is told."""
    frames = [capture_files.frame(NOW_NS, bytes(size), size) for size in (10, 3_000, 20, 1_020, 30)]
    read, troubles = capture_files.read_bytes(getattr(capture_files.packing, kind)(frames), 1_024)
    assert [frames[0], frames[2], frames[4]] == read
    assert [f"{capture_files.scratch}: 2 records larger than 1,024 bytes were left out"] == troubles


def test_a_large_record_that_is_cut_is_told(capture_files: Files) -> None:
    """It claims 256 MiB, which is allowed, and nothing that it claims is allocated."""
    frame = capture_files.frame(NOW_NS, b"x", 1)
    claim = bytes(8) + (256 << 20).to_bytes(4, "little") * 2
    content = capture_files.packing.pcap([frame, frame]) + claim + bytes(9_000)
    read, troubles = capture_files.read_bytes(content, 1_024)
    assert [frame, frame] == read
    where = "ends in the middle of a record that begins at byte 58; 2 whole packets were read"
    assert [f"{capture_files.scratch} {where}"] == troubles


def test_corruption_stops_a_file_and_says_where(capture_files: Files) -> None:
    """A record that nobody could have written ends the reading, at its place in the file, not in the window."""
    frames = [capture_files.frame(NOW_NS + n, b"x" * 100, 100) for n in range(100)]
    content = capture_files.packing.pcap(frames) + bytes(8) + b"\xff" * 8 + bytes(9_000)
    read, troubles = capture_files.read_bytes(content, 1_024)
    assert frames == read
    assert 1 == len(troubles)
    assert "is corrupt at byte 11,624, or in the record before: a record would hold 4,294,967,295 bytes" in troubles[0]
    assert troubles[0].endswith("up to there 100 whole packets were read")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"\xd4\xc3", "it has only 2 bytes"),
        (b"GET / HTTP/1.1\r\n", "it begins with 47455420"),
        (b"\xfd7zXZ\0\0", "it is compressed with xz"),
        (b"WIRESTMP", "it is a segment of a wirestamp journal"),
        (gzip.compress(b"some text"), "it begins with 736f6d65 in gzip"),
        (zstandard.ZstdCompressor().compress(b""), "it is empty in zstd"),
    ],
)
def test_what_is_no_capture_is_refused_before_anything_is_read(capture_files: Files, content: bytes, told: str) -> None:
    """The error names the file, what it is and what was expected."""
    capture_files.scratch.write_bytes(content)
    with pytest.raises(NotACapture) as error:
        FileSource([capture_files.scratch])
    assert f"{capture_files.scratch} cannot be read at byte 0: {told}; expected pcap or pcapng" in str(error.value)


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """A folder, and a file that is not there."""
    for path, told in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(NotACapture, match=told):
            FileSource([path])


def test_memory_is_bounded_by_the_window(capture_files: Files) -> None:
    """A batch's arrays lie in the one buffer of the source, whatever the file's size."""
    frames = [capture_files.frame(NOW_NS, bytes(1_000), 1_000) for _ in range(300)]
    capture_files.scratch.write_bytes(capture_files.packing.pcap(frames))
    source = FileSource([capture_files.scratch], 10_000)
    for batch in source.batches():
        assert np.shares_memory(batch.data, source._window)
        assert len(batch.data) <= 10_000
