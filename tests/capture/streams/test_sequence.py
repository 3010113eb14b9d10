"""Sequence numbers to positions: the vectorised guess against the rule, segment by segment."""

from typing import NamedTuple

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from capture.streams.sequence import WINDOW, WORD, follow, group, signed


class Step(NamedTuple):
    """One segment."""

    stream: int
    ahead: int  # from the end of the one before
    length: int
    counted: bool = True


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 3),
        st.one_of(st.just(0), st.integers(-70_000, 70_000), st.integers(-WORD, WORD)),
        st.integers(0, 65_536),
        st.sampled_from([True] * 9 + [False]),
    ),
    min_size=1,
    max_size=60,
)


def by_rule(numbers: list[int], steps: list[Step], mark: int) -> tuple[list[tuple[int, int, bool]], int]:
    """Return start, mark before and whether it is stray for each segment of a stream, and the mark behind the last."""
    told, doubtful = [], None
    for number, step in zip(numbers, steps, strict=True):
        ahead = (number - mark) % WORD
        ahead -= WORD if ahead >= WORD // 2 else 0
        stray = step.counted and not -WINDOW < ahead < WINDOW
        if stray and doubtful is not None and min((number - doubtful) % WORD, (doubtful - number) % WORD) < WINDOW:
            ahead, stray = (number - mark) % WORD, False
        told.append((mark + ahead, mark, stray))
        if step.counted:
            doubtful = number if stray else None
            mark = mark if stray else max(mark, mark + ahead + step.length)
    return told, mark


@given(STEPS, st.integers(0, WORD - 1), st.integers(1, 60))
@example([Step(0, 0, 65_536)] * 60, WORD - 100_000, 60)
@example([Step(0, 0, 0), Step(0, WORD // 2, 0), Step(0, -WORD // 2, 10), Step(0, 0, 10)], 5, 60)
@example([Step(0, 0, 0), Step(0, WORD // 2, 0), Step(0, 5, 0), Step(0, 0, 10)], 5, 3)
def test_positions_follow_the_rule(steps: list[Step], begin: int, cut: int) -> None:
    """The positions of a batch, cut anywhere, are those of the sequential rule."""
    at = dict.fromkeys(range(4), begin)
    numbers = []
    for step in steps:
        numbers.append((at[step.stream] + step.ahead) % WORD)
        at[step.stream] = numbers[-1] + step.length
    expected: dict[int, tuple[list[tuple[int, int, bool]], int]] = {}
    for stream in range(4):
        mine = [index for index, step in enumerate(steps) if step.stream == stream]
        expected[stream] = by_rule([numbers[it] for it in mine], [steps[it] for it in mine], WORD + begin)
    marks, strays = np.full(4, WORD + begin, np.int64), dict[int, int]()
    told: dict[int, list[tuple[int, int, bool]]] = {stream: [] for stream in range(4)}
    for part in (slice(0, cut), slice(cut, None)):
        if not steps[part]:
            continue
        groups = group(np.array([step.stream for step in steps[part]], np.int64))
        order = groups.order
        trail = follow(
            np.array(numbers[part], np.uint32)[order],
            np.array([step.length for step in steps[part]], np.int64)[order],
            np.array([step.counted for step in steps[part]])[order],
            groups,
            marks[groups.keys],
            strays,
        )
        marks[groups.keys] = trail.marks
        stray = trail.stray if trail.stray is not None else np.zeros(len(order), np.bool_)
        for key, start, before, lost in zip(
            np.repeat(groups.keys, groups.counts).tolist(),
            trail.start.tolist(), trail.before.tolist(), stray.tolist(), strict=True,
        ):  # fmt: skip
            told[key].append((start, before, lost))
    assert [expected[stream][0] for stream in range(4)] == [told[stream] for stream in range(4)]
    assert [expected[stream][1] for stream in range(4)] == marks.tolist()


def test_a_batch_covers_more_than_half_the_number_space() -> None:
    """65,536 frames of 64 KB are 4 GiB: positions go on."""
    count, size = 65_536, 65_536
    numbers = (np.arange(count, dtype=np.int64) * size + 4_000_000_000).astype(np.uint32)
    groups = group(np.zeros(count, np.int64))
    begin = np.array([WORD + 4_000_000_000])
    trail = follow(numbers, np.full(count, size, np.int64), None, groups, begin, {})
    assert trail.stray is None
    assert begin[0] + count * size == trail.marks[0]
    assert np.array_equal(trail.start, trail.before)


@given(st.lists(st.sampled_from([0, 1, 65_535, 65_536, 65_537, 2**31, 2**32 - 1]), min_size=1, max_size=50))
def test_groups_keep_the_order_of_arrival(keys: list[int]) -> None:
    """Keys ascend, and equal ones stay in order, also where they need more than 16 bits."""
    groups = group(np.array(keys, np.int64))
    assert sorted(range(len(keys)), key=keys.__getitem__) == groups.order.tolist()
    assert sorted(set(keys)) == groups.keys.tolist()
    assert [keys.count(key) for key in sorted(set(keys))] == groups.counts.tolist()


def test_a_difference_of_counters_is_the_smaller_way_round() -> None:
    """Also over the end of the counter."""
    assert [1, -1, 2, -(2**15)] == [signed(2 - 1, 16), signed(1 - 2, 16), signed(1 - 65_535, 16), signed(2**15, 16)]
