"""Finding the records of a file when each one tells where the next begins. Pure, exact, many times faster than a loop.

A chain of records can only be followed record by record, and a step in Python takes 0.3 µs. So the window is cut into
stretches, a record start is guessed in each, and all chains are followed in lock-step, one numpy operation for a step
of all. Then the chains are verified from the first on: a stretch whose guess is not exactly where the chain before it
ended is walked anew, from there. So the result never depends on a guess; wrong guesses only cost the time of the loop.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from capture.files.records import overlapping
from capture.packets import Bytes, Int64

_PROBED: Final = 64  # records walked one by one to learn how large they are
_WORTHWHILE: Final = 2_048  # records from which on guessing costs less than it saves
_STRETCHES: Final = 256  # enough to hide the cost of a numpy call, few enough to make guessing cheap
_REACH_BYTES: Final = 512  # how far into a stretch to look for a record at first
_REACH_GROWTH: Final = 4  # and how much further then, where none was found
_STEPS_UNCHECKED: Final = 8  # steps between two looks whether all chains have ended

Guess = Callable[[Bytes, Int64, int], Int64]


@dataclass(frozen=True, slots=True)
class Chain:
    """How the records of a format lie one behind the other.

    Attributes:
        header_bytes: how many bytes of a record must be there for it to count.
        length_at: where in the header its length stands, an unsigned 32-bit number.
        overhead: bytes of a record that its length does not count.
        shortest: the least length; what is less counts as that, so that each step leads on.
        order: byte order of the length, "<" or ">".
        guess: called with `data`, positions of shape (n,) and a number of bytes, returns for each position the first
            in that many bytes from there on where a record probably begins, or −1.
    """

    header_bytes: int
    length_at: int
    overhead: int
    shortest: int
    order: str
    guess: Guess


def walk(data: Bytes, begin: int, end: int, chain: Chain) -> tuple[Int64, int]:
    """Follow a chain of records through a window.

    Args:
        data: the window, with `SLACK_BYTES` behind `end`.
        begin: where the first record begins.
        end: where the bytes end.
        chain: how the records lie.

    Returns:
        Where each record begins whose header is there, shape (n,), ascending; the last may be incomplete otherwise.
        And where the record after the last would begin, which may be behind `end`.
    """
    limit = end - chain.header_bytes + 1
    probe, after = _follow(data, begin, limit, chain, _PROBED)
    if after < limit:
        expected = (limit - after) * len(probe) // (after - begin)
        if expected < _WORTHWHILE:
            rest, after = _follow(data, after, limit, chain)
        else:
            rest = _walk_in_stretches(data, after, limit, chain)
            _, after = _follow(data, int(rest[-1]), limit, chain)
        probe = np.concatenate((probe, rest))
    return probe, after


def _follow(data: Bytes, at: int, limit: int, chain: Chain, most: int = 1 << 62) -> tuple[Int64, int]:
    """Return the starts of at most so many records before `limit`, and where the next one begins."""
    starts: list[int] = []
    unpack = struct.Struct(chain.order + "I").unpack_from
    lengths, overhead, shortest = data.data[chain.length_at :], chain.overhead, chain.shortest
    while at < limit and len(starts) < most:
        starts.append(at)
        at += max(unpack(lengths, at)[0], shortest) + overhead
    return np.array(starts, np.int64), at


def _walk_in_stretches(data: Bytes, begin: int, limit: int, chain: Chain) -> Int64:
    """Return the start of every record from `begin`, where one begins, to before `limit`."""
    stride = (limit - begin) // _STRETCHES & ~3  # where records are aligned, stretches are as well
    bounds = begin + stride * np.arange(1, _STRETCHES + 1)
    entries = np.concatenate(([begin], _guess_entries(data, bounds[:-1], stride, chain)))
    bounds[-1] = limit
    rows = _step_together(data, entries, bounds, chain)
    inside = rows < bounds
    counts = inside.sum(axis=0)
    exits = rows[counts, np.arange(_STRETCHES)]
    if (entries[1:] == exits[:-1]).all():
        return rows.T[inside.T]
    pieces = []
    entry = begin
    for stretch in range(_STRETCHES):
        if entries[stretch] == entry:
            pieces.append(rows[: counts[stretch], stretch])
            entry = int(exits[stretch])
        else:
            piece, after = _follow(data, entry, int(bounds[stretch]), chain)
            pieces.append(piece)
            entry = min(after, limit)
    return np.concatenate(pieces)


def _guess_entries(data: Bytes, begins: Int64, stride: int, chain: Chain) -> Int64:
    """Guess the first record in each of some stretches of equal size; where none is found, the stretch's end."""
    entries = begins + stride
    missing = np.arange(len(begins))
    reach = min(_REACH_BYTES, stride)
    while len(missing):
        found = chain.guess(data, begins[missing], reach)
        entries[missing] = np.where(found < 0, entries[missing], found)
        missing = missing[found < 0]
        if reach == stride:
            break
        reach = min(reach * _REACH_GROWTH, stride)
    return entries


def _step_together(data: Bytes, entries: Int64, bounds: Int64, chain: Chain) -> Int64:
    """Follow the chains from all entries until each has left its stretch.

    Returns:
        Shape (steps, stretches): where each chain is at each step, at most at the last bound, where it stays.
    """
    lengths = overlapping(data[chain.length_at :], 4)
    number = np.dtype(chain.order + "u4")
    at, rows = entries, [entries]
    while (at < bounds).any():
        for _ in range(_STEPS_UNCHECKED):
            at = at + np.maximum(lengths[at].view(number), chain.shortest)
            at += chain.overhead
            np.minimum(at, bounds[-1], out=at)
            rows.append(at)
    return np.array(rows)


def first_in_each_row(rows: Int64, values: Int64, count: int) -> Int64:
    """Return the first value given for each row.

    Args:
        rows: number of the row of each value, ascending, shape (n,).
        values: shape (n,).
        count: how many rows there are.

    Returns:
        Shape (count,); −1 for a row without any.
    """
    firsts = np.full(count, -1, np.int64)
    firsts[rows[::-1]] = values[::-1]
    return firsts
