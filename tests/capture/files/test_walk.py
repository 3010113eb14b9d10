"""The walk in stretches finds what a plain walk finds, however misleading the bytes are."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capture.files import walk as walking
from capture.files.pcap import PcapReader
from capture.files.pcapng import PcapngReader
from capture.files.records import SLACK_BYTES
from capture.files.walk import Chain, first_in_each_row, walk
from capture.packets import Bytes, Int64

Files = Any
NOW_NS = 1_700_000_000 * 10**9
LURES = [b"\x00\xf1\x53\x65\0\0\0\0\x08\0\0\0\x08\0\0\0", b"\x06\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0"]


def plain_walk(content: bytes, begin: int, end: int, chain: Chain) -> tuple[list[int], int]:
    """Follow the chain as its definition says."""
    starts, at = [], begin
    while at + chain.header_bytes <= end:
        starts.append(at)
        (length,) = struct.unpack_from(chain.order + "I", content, at + chain.length_at)
        at += max(length, chain.shortest) + chain.overhead
    return starts, at


def walked(content: bytes, begin: int, chain: Chain) -> tuple[list[int], int]:
    """Follow the chain as the readers do."""
    starts, after = walk(np.frombuffer(content + bytes(SLACK_BYTES), np.uint8), begin, len(content), chain)
    return starts.tolist(), after


def guessing(choose: Callable[[Int64], Int64]) -> Chain:
    """A chain of bare lengths, of which guesses are made up."""

    def guess(data: Bytes, begins: Int64, reach: int) -> Int64:
        del data
        return np.where(choose(begins) < begins + reach, choose(begins), -1)

    return Chain(header_bytes=4, length_at=0, overhead=0, shortest=4, order="<", guess=guess)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walk even small windows in stretches."""
    monkeypatch.setattr(walking, "_PROBED", 2)
    monkeypatch.setattr(walking, "_WORTHWHILE", 8)
    monkeypatch.setattr(walking, "_STRETCHES", 16)


@pytest.mark.usefixtures("eager")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 3, 60, 61, 700]) | st.integers(0, 2_000), min_size=20, max_size=300),
    order=st.sampled_from("<>"),
    kind=st.sampled_from(["pcap", "pcapng"]),
    lure=st.sampled_from(LURES),
    data=st.data(),
)
def test_records_that_hold_records(
    capture_files: Files, sizes: list[int], order: str, kind: str, lure: bytes, data: st.DataObject
) -> None:
    """Payloads that are captures themselves mislead the guesses, never the result."""
    frames = [capture_files.frame(NOW_NS, (lure * (size // 16 + 1))[:size], size) for size in sizes]
    content = getattr(capture_files.packing, kind)(frames, order)
    content = content[: len(content) - data.draw(st.integers(0, 40), label="cut")]
    if kind == "pcap":
        pcap = PcapReader(content[:4])
        pcap._seconds = 1_700_000_000
        begin, chain = 24, pcap._chain
    else:
        begin, chain = 0, Chain(12, 4, 0, 12, order, PcapngReader()._guess)
    assert plain_walk(content, begin, len(content), chain) == walked(content, begin, chain)


@pytest.mark.usefixtures("eager")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=50, max_size=500), seed=st.integers(0, 2**32), shift=st.integers(0, 3)
)
def test_wild_guesses_and_wild_lengths(lengths: list[int], seed: int, shift: int) -> None:
    """Wherever the guesses lead: records that begin inside one another, of lengths that are none."""
    content = bytes(shift) + struct.pack(f"<{len(lengths)}I", *lengths)
    chain = guessing(lambda begins: begins + np.random.default_rng(seed + int(begins[0])).integers(0, 300, len(begins)))
    assert plain_walk(content, 0, len(content), chain) == walked(content, 0, chain)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("shift", [0, 4, 1_000])
def test_a_record_over_many_stretches(shift: int) -> None:
    """Stretches that lie wholly inside a record have no record, whatever is guessed in them."""
    small = struct.pack("<I", 8) + b"\x08\0\0\0"
    content = small * 200 + struct.pack("<I", 1_600) + b"\x08\0\0\0" * 399 + small * 200
    chain = guessing(lambda begins: begins + shift)
    expected = [*range(0, 1_600, 8), *range(1_600, 1_601), *range(3_200, 4_800, 8)]
    assert (expected, 4_800) == walked(content, 0, chain)


def test_an_absurd_length_ends_the_walk() -> None:
    """The record counts, and the next would begin far behind the end."""
    content = struct.pack("<I", 8) * 2 + struct.pack("<I", 0xFFFFFFF0) + bytes(5_000)
    assert ([0, 8], 8 + 0xFFFFFFF0) == walked(content, 0, guessing(lambda begins: begins))


def test_nothing_is_walked_where_there_is_no_header() -> None:
    """A window shorter than a header has no record."""
    assert ([], 3) == walked(bytes(5), 3, guessing(lambda begins: begins))


def test_the_first_of_each_row() -> None:
    """Rows without any have −1."""
    assert [7, -1, 5] == first_in_each_row(np.array([0, 0, 2, 2]), np.array([7, 8, 5, 4]), 3).tolist()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_the_guesses_are_right_on_usual_captures(
    capture_files: Files, kind: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stretch of packets of random bytes and mixed sizes is walked record by record."""
    rng = np.random.default_rng(3)
    frames = [
        capture_files.frame(NOW_NS + n, rng.bytes(size), size)
        for n, size in enumerate(rng.choice([66, 120, 400, 1_514, 9_000], 4_000).tolist())
    ]
    content = getattr(capture_files.packing, kind)(frames, order)
    followed = []
    plainly = walking._follow

    def follow(*given_arguments: object) -> tuple[Int64, int]:
        followed.append(plainly(*given_arguments))  # type: ignore[arg-type]
        return followed[-1]

    monkeypatch.setattr(walking, "_follow", follow)
    reader = PcapReader(content[:4]) if kind == "pcap" else PcapngReader()
    window = np.frombuffer(content + bytes(SLACK_BYTES), np.uint8)
    packets = reader.read(window, 0, len(content)).packets
    assert packets is not None
    assert 4_000 == len(packets)
    assert [64, 1] == [len(starts) for starts, _ in followed]
