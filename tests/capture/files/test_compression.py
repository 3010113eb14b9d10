"""A compressed file read as what was compressed, as far as it goes."""

import gzip
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.files.compression import ByteStream

PACK = {"gzip": gzip.compress, "zstd": lambda content: zstandard.ZstdCompressor().compress(content), "": bytes}
SKIPPABLE = b"\x5f\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"any"


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is overwritten again and again."""
    return tmp_path_factory.mktemp("compression") / "file"


def read(path: Path, content: bytes, sizes: list[int] | None = None) -> tuple[bytes, str, str]:
    """Read a file with some content in steps of some sizes, and then to its end; also what it was and why it ended."""
    path.write_bytes(content)
    out = b""
    with ByteStream(path) as stream:
        for size in [*(sizes or []), 1 << 20]:
            room = bytearray(size)
            filled = stream.fill(memoryview(room))
            out += room[:filled]
            if filled < size:
                break
        return out, stream.packing, stream.ended


@settings(deadline=None)
@given(
    parts=st.lists(st.binary(max_size=500), min_size=1, max_size=4),
    packing=st.sampled_from(sorted(PACK)),
    sizes=st.lists(st.integers(1, 100), max_size=20),
)
def test_parts_follow_one_another(scratch: Path, parts: list[bytes], packing: str, sizes: list[int]) -> None:
    """Members of gzip and frames of zstd, read in any steps."""
    packed = b"".join(PACK[packing](part) for part in parts)
    assert (b"".join(parts), packing if packed else "", "") == read(scratch, packed, sizes)


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=500), packing=st.sampled_from(["gzip", "zstd"]), data=st.data())
def test_a_cut_ends_the_stream(scratch: Path, content: bytes, packing: str, data: st.DataObject) -> None:
    """What comes before it is given; that something is missing is always told."""
    packed = PACK[packing](content)
    out, _, ended = read(scratch, packed[: data.draw(st.integers(4, len(packed) - 1))])
    assert content[: len(out)] == out
    assert f"the {packing} data are incomplete" == ended


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=500), packing=st.sampled_from(["gzip", "zstd"]), garbage=st.binary())
def test_garbage_behind_the_end_is_told(scratch: Path, content: bytes, packing: str, garbage: bytes) -> None:
    """Nothing of it is given."""
    out, _, ended = read(scratch, PACK[packing](content) + b"garbage" + garbage)
    assert content == out
    assert ended.startswith(f"the {packing} data are ")


def test_damage_is_told(scratch: Path) -> None:
    """The check at the end of a gzip member finds a changed byte."""
    packed = bytearray(gzip.compress(bytes(range(256)), 0))
    packed[100] ^= 1
    assert read(scratch, bytes(packed))[2].startswith("the gzip data are damaged (")


def test_padding_and_skippable_frames_are_nothing(scratch: Path) -> None:
    """Tapes pad gzip with zeros; zstd has frames that carry no data, also in front (RFC 8878, section 3.1.2)."""
    assert (b"ab", "gzip", "") == read(scratch, gzip.compress(b"a") + bytes(2_000) + gzip.compress(b"b") + bytes(9))
    frames = SKIPPABLE + PACK["zstd"](b"a") + SKIPPABLE + PACK["zstd"](b"b") + SKIPPABLE
    assert (b"ab", "zstd", "") == read(scratch, frames)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_bomb_does_not_fill_the_memory(scratch: Path, packing: str) -> None:
    """256 MiB of zeros are unpacked piece by piece."""
    whole, zeros = 1 << 28, bytes(1 << 20)
    if packing == "zstd":
        packer = zstandard.ZstdCompressor().compressobj()
        pieces = [packer.compress(zeros) for _ in range(whole >> 20)]
        scratch.write_bytes(b"".join(pieces) + packer.flush())
    else:
        scratch.write_bytes(gzip.compress(zeros, 1) * (whole >> 20))
    room = bytearray(1 << 20)
    tracemalloc.start()
    try:
        with ByteStream(scratch) as stream:
            assert whole == sum(iter(lambda: stream.fill(memoryview(room)), 0))
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


def test_what_cannot_be_read_further_is_told() -> None:
    """A file whose reading fails ends there: of a process's own memory, the first page is never there."""
    with ByteStream(Path("/proc/self/mem")) as stream:
        assert 0 == stream.fill(memoryview(bytearray(9)))
        assert "Input/output error" == stream.ended
