"""TCP options: timestamps of a batch, SACK blocks of a segment."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.streams.options import NO_TIMESTAMP, repeats, sack_blocks, timestamps

SACK = bytes([1, 1, 5, 18]) + b"".join(edge.to_bytes(4) for edge in (100, 200, 4_294_967_000, 50))


def test_timestamps_of_a_batch(tcp: Any) -> None:  # noqa: ANN401 - a class of conftest.py, which cannot be imported
    """Each segment has its own TSval, or none."""
    sent = [tcp.sent(0, 1, tsval=value) for value in (7, None, 2**32 - 1, 0)]
    assert [7, NO_TIMESTAMP, 2**32 - 1, 0] == timestamps(tcp.segments_of(sent)).tolist()


def test_a_batch_without_options(tcp: Any) -> None:  # noqa: ANN401 - the same
    """No byte of options anywhere is no error."""
    assert [NO_TIMESTAMP] == timestamps(tcp.segments_of([tcp.sent(0, 1)])).tolist()


def test_options_that_only_look_like_timestamps(tcp: Any) -> None:  # noqa: ANN401 - the same
    """Twelve bytes of something else are not read as timestamps, nor fewer than twelve."""
    segments = tcp.segments_of([tcp.sent(0, 1, sack=((1, 2),)), tcp.sent(0, 1, tsval=5)])
    short = replace(segments, options_size=np.array([12, 11], np.uint16))
    assert [NO_TIMESTAMP, NO_TIMESTAMP] == timestamps(short).tolist()


@pytest.mark.parametrize("tsval", [None, 7])
@pytest.mark.parametrize("base", [0, 2**32 - 50])
@pytest.mark.parametrize(
    ("ack", "sack", "told"),
    [
        (500, ((100, 200),), True),
        (200, ((100, 200), (600, 700)), True),
        (199, ((100, 200),), False),
        (500, ((620, 640), (600, 700)), True),
        (500, ((600, 700), (600, 700), (900, 901)), True),
        (500, ((599, 640), (600, 700)), False),
        (500, ((620, 701), (600, 700)), False),
        (500, ((600, 700), (800, 900)), False),
        (500, ((600, 700), (100, 200)), False),
        (500, (), False),
    ],
)
def test_who_says_that_bytes_came_once_more(
    tcp: Any,  # noqa: ANN401 - the same
    tsval: int | None,
    base: int,
    ack: int,
    sack: tuple[tuple[int, int], ...],
    *,
    told: bool,
) -> None:
    """The first block at or below the acknowledgement, or in the second block; also over the wrap, among others."""
    blocks = tuple((left + base, right + base) for left, right in sack)
    other = tcp.sent(0, 1, tsval=tsval)
    segments = tcp.segments_of([other, tcp.sent(1, 1, 0, (ack + base) % 2**32, tsval=tsval, sack=blocks), other])
    assert [1] * told == repeats(segments, timestamps(segments)).tolist()


def test_a_cut_sack_says_nothing(tcp: Any) -> None:  # noqa: ANN401 - the same
    """Nor does a batch in which nothing is long enough."""
    segments = tcp.segments_of([tcp.sent(1, 1, 0, 500, tsval=1, sack=((620, 640), (600, 700)))])
    for size in range(int(segments.options_size[0]) + 1):
        short = replace(segments, options_size=np.array([size], np.uint16))
        assert [0] * (size == 32) == repeats(short, timestamps(short)).tolist()
    assert [] == repeats(tcp.segments_of([tcp.sent(0, 1)]), np.array([NO_TIMESTAMP])).tolist()


def test_sack_blocks_behind_other_options() -> None:
    """Blocks are found behind NOPs and timestamps."""
    options = b"\x01\x01\x08\x0a" + bytes(8) + SACK
    data = np.frombuffer(b"??" + options, np.uint8)
    assert [(100, 200), (4_294_967_000, 50)] == sack_blocks(data, 2, len(options))


def test_truncated_sack_is_not_there() -> None:
    """An option that is cut short has no blocks."""
    assert [] == sack_blocks(np.frombuffer(SACK, np.uint8), 0, len(SACK) - 1)


def test_sack_behind_the_end_of_options_is_padding() -> None:
    """Nothing is read behind an end-of-options."""
    data = np.frombuffer(b"\x00" + SACK, np.uint8)
    assert [] == sack_blocks(data, 0, len(data))


@given(st.binary(max_size=40))
def test_any_options_are_no_error(options: bytes) -> None:
    """Whatever bytes come, blocks are pairs of 32-bit numbers."""
    blocks = sack_blocks(np.frombuffer(options, np.uint8), 0, len(options))
    edge: Callable[[int], bool] = range(2**32).__contains__
    assert all(edge(left) and edge(right) for left, right in blocks)
