"""Where on its stream a segment lies: 32-bit sequence numbers to 64-bit positions, a whole batch at once. Pure.

The *mark* of a stream is the highest position that it has reached. A number lies where it is nearest to the mark (the
comparison of RFC 9293, section 3.4, and RFC 1982). That rule is sequential: each segment may move the mark. So the
positions are first guessed by adding up the signed differences of neighbours, and the guess is verified: where every
segment lies less than half the number space from the mark as it was then, both rules give the same, by induction. The
rare stream where one does not is followed one segment at a time.

No TCP window exceeds 2³⁰ bytes (RFC 7323, section 2.3), so a number that is further than that from the mark is *stray*
(a forgery, an old duplicate) and changes nothing. When the next number agrees with a stray one, the capture missed that
much, and the mark follows.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from capture.packets import U32, Int64, Mask

Index = npt.NDArray[np.intp]

WINDOW: Final = 1 << 30  # bytes
WORD: Final = 1 << 32
ORIGIN: Final = WORD  # positions begin here, so that those before the first one seen are still positive


class Groups(NamedTuple):
    """Elements brought together by key, each group in the order of arrival.

    Attributes:
        order: index of each sorted element, shape (n,).
        starts, counts: where each group begins among the sorted elements, and its size, shape (groups,).
        keys: each group's key, ascending, shape (groups,).
    """

    order: Index
    starts: Index
    counts: Index
    keys: Int64

    def of(self, sorted_elements: Index) -> Index:
        """Return the groups in which some sorted elements lie."""
        groups: Index = np.searchsorted(self.starts, sorted_elements, side="right") - 1
        return groups


class Trail(NamedTuple):
    """Positions of segments, in the order of `Groups.order`; each array but `marks` has shape (n,).

    Attributes:
        start: position of the segment's number.
        before: the stream's mark as the segment came.
        stray: whether it is out of any window, so that it did not count; None when none is.
        marks: each group's mark after its last segment, shape (groups,).
    """

    start: Int64
    before: Int64
    stray: Mask | None
    marks: Int64


def group(keys: Int64) -> Groups:
    """Bring elements with equal keys together.

    Args:
        keys: from 0 to 2³² − 1, shape (n,); n ≥ 1.
    """
    # numpy sorts 16-bit integers by radix, seven times as fast as wider ones by merging.
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    if int(keys.max()) >> 16:
        upper = (keys >> 16).astype(np.uint16)
        order = order[np.argsort(upper[order], kind="stable")]
    ordered = keys[order]
    starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
    counts = np.diff(starts, append=len(keys))
    return Groups(order, starts, counts, ordered[starts])


def follow(
    numbers: U32, lengths: Int64 | None, counted: Mask | None, groups: Groups, marks: Int64, strays: dict[int, int]
) -> Trail:
    """Return the positions of a batch's segments.

    Args:
        numbers: sequence numbers, sorted as `groups`, shape (n,).
        lengths: how much of the number space each takes, shape (n,); None where none takes any.
        counted: which of them may move the mark, shape (n,); None for all.
        groups: the streams.
        marks: each stream's mark before the batch, shape (groups,).
        strays: the last stray number by stream (key of `groups`), kept up to date for the next batch.
    """
    chain = numbers
    if counted is not None:
        # A number that does not count may be anything (a reset's): it stands where its neighbour stood.
        chain = numbers.copy()
        idle = np.flatnonzero(~counted)
        chain[idle] = numbers[idle - 1]
        first = np.flatnonzero(~counted[groups.starts])
        chain[groups.starts[first]] = marks[first].astype(np.uint32)
    start, before, reached = _guess(chain, lengths, counted, groups, marks)
    wild = np.abs(start - before) >= WINDOW
    if counted is not None:
        wild &= counted
        start[idle] = before[idle] + (numbers[idle] - before[idle].astype(np.uint32)).astype(np.int32)
    known = strays and not strays.keys().isdisjoint(groups.keys.tolist())
    if not known and not wild.any():
        return Trail(start, before, None, reached)
    stray = np.zeros(len(numbers), np.bool_)
    suspects = set(groups.of(np.flatnonzero(wild)).tolist())
    if known:
        suspects.update(np.flatnonzero(np.isin(groups.keys, list(strays))).tolist())
    for number in suspects:
        part = slice(groups.starts[number], groups.starts[number] + groups.counts[number])
        trail = _step(
            numbers[part],
            None if lengths is None else lengths[part],
            None if counted is None else counted[part],
            int(marks[number]),
            int(groups.keys[number]),
            strays,
        )
        start[part], before[part], stray[part], reached[number] = trail
    return Trail(start, before, stray, reached)


def _guess(
    numbers: U32, lengths: Int64 | None, counted: Mask | None, groups: Groups, marks: Int64
) -> tuple[Int64, Int64, Int64]:
    """Return `start`, `before` and `marks` of a `Trail`, right where `start` is near `before`.

    The running maximum of all streams is one pass: each stream's positions are moved into a range of their own, above
    those of the streams before it.
    """
    starts, counts = groups.starts, groups.counts
    steps = np.empty(len(numbers), np.int64)
    steps[1:] = (numbers[1:] - numbers[:-1]).view(np.int32)
    steps[starts] = (numbers[starts] - marks.astype(np.uint32)).view(np.int32)
    # A step is at most 2³¹, so a group of `counts` needs `counts` × 2³¹ to either side.
    origins = (2 * starts + counts) << 31
    key = np.cumsum(steps)
    key += np.repeat(origins - (key[starts] - steps[starts]), counts)
    reach = key + lengths if lengths is not None else key.copy()
    if counted is not None:
        np.copyto(reach, np.repeat(origins, counts), where=~counted)
    reach[starts] = np.maximum(reach[starts], origins)
    np.maximum.accumulate(reach, out=reach)
    before = np.empty_like(reach)
    before[1:] = reach[:-1]
    before[starts] = origins
    shift = marks - origins
    shifts = np.repeat(shift, counts)
    key += shifts
    before += shifts
    return key, before, reach[starts + counts - 1] + shift


def _step(
    numbers: U32, lengths: Int64 | None, counted: Mask | None, mark: int, key: int, strays: dict[int, int]
) -> tuple[list[int], list[int], list[bool], int]:
    """Follow one stream segment by segment; return its start, before, stray and mark."""
    size = len(numbers)
    taken = lengths.tolist() if lengths is not None else [0] * size
    counts = counted.tolist() if counted is not None else [True] * size
    starts, before, stray = [], [], []
    for number, length, counting in zip(numbers.tolist(), taken, counts, strict=True):
        ahead = signed(number - mark, 32)
        lost = counting and abs(ahead) >= WINDOW
        if lost and key in strays and abs(signed(number - strays[key], 32)) < WINDOW:
            ahead, lost = (number - mark) % WORD, False
        starts.append(mark + ahead)
        before.append(mark)
        stray.append(lost)
        if lost:
            strays[key] = number
        elif counting:
            strays.pop(key, None)
            mark = max(mark, mark + ahead + length)
    return starts, before, stray, mark


def signed(difference: int, bits: int) -> int:
    """Return a difference of two counters of some bits as the smaller way round: negative when it went back."""
    half = 1 << bits - 1
    return (difference + half) % (2 * half) - half
