"""The TCP options that tell packets apart: timestamps and selective acknowledgements. Pure.

Options may be cut short or be anything at all; what is not whole is not there.
"""

from typing import Final

import numpy as np

from capture.packets import U32, Bytes, Int64, Mask, Segments

_END, _NOP, _SACK, _TIMESTAMPS = 0, 1, 5, 8  # RFC 9293, section 3.1; RFC 2018; RFC 7323
_ALIGNED_TIMESTAMPS: Final = 0x0101080A  # two NOPs, then the option: RFC 7323, appendix A
_ALIGNED_SACK: Final = 0x010105  # likewise, and then its length: a header of two bytes, and eight for each block

NO_TIMESTAMP: Final = -1


def timestamps(segments: Segments) -> Int64:
    """Return the TSval of every segment, shape (m,), int64; NO_TIMESTAMP where there is none.

    Only the layout that RFC 7323 recommends is read, two NOPs and the option first: every common system sends that in
    all segments but SYNs, which need no telling apart by it.
    """
    values = np.full(len(segments), NO_TIMESTAMP, np.int64)
    if len(segments.data) < 8:
        return values
    words = _words(segments.data)
    there = np.flatnonzero(segments.options_size >= 12)
    at = segments.options[there]
    aligned = words[at] == _ALIGNED_TIMESTAMPS
    if not aligned.all():
        there, at = there[aligned], at[aligned]
    values[there] = words[at + 4]
    return values


def repeats(segments: Segments, tsval: Int64) -> Int64:
    """Return the segments which say that their sender got bytes once more: D-SACK (RFC 2883, section 4), ascending.

    The first block of their SACK option ends at or below what they acknowledge, or lies in the second block. Only the
    layout of all common systems is read, two NOPs and the option first, or behind timestamps.

    Args:
        segments: a batch, shape (m,).
        tsval: its `timestamps`.
    """
    timed = tsval != NO_TIMESTAMP
    some = np.flatnonzero(segments.options_size >= np.where(timed, np.uint16(24), np.uint16(12)))
    if not len(some):
        return some
    words = _words(segments.data)
    at = segments.options[some] + 12 * timed[some]
    head = words[at]
    length = (head & 0xFF).astype(np.int64)
    room = segments.options[some] + segments.options_size[some] - at
    told = (head >> 8 == _ALIGNED_SACK) & (length >= 10) & (length + 2 <= room)
    some, at, length = some[told], at[told], length[told]
    left, right = words[at + 4], words[at + 8]
    below = _reaches(segments.ack[some], right)
    two = np.flatnonzero(length >= 18)
    at = at[two]
    below[two] |= _reaches(left[two], words[at + 12]) & _reaches(words[at + 16], right[two])
    told_of: Int64 = some[below]
    return told_of


def _words(data: Bytes) -> U32:
    """Return the big-endian words at every byte but the last three: one gather instead of four."""
    return np.ndarray((len(data) - 3,), ">u4", data, strides=(1,))


def _reaches(number: U32, other: U32) -> Mask:
    """Tell which sequence numbers are at or behind others (RFC 9293, section 3.4)."""
    reaches: Mask = (number.astype(np.uint32) - other.astype(np.uint32)).view(np.int32) >= 0
    return reaches


def sack_blocks(data: Bytes, start: int, size: int) -> list[tuple[int, int]]:
    """Return the blocks of a segment's SACK option (RFC 2018, section 3).

    Args:
        data: a buffer.
        start: where the options begin in it.
        size: bytes of them.

    Returns:
        Left and right edge of each block, as sequence numbers.
    """
    options = data[start : start + size].tobytes()
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            break
        if options[at] == _SACK:
            edges = [int.from_bytes(options[edge : edge + 4]) for edge in range(at + 2, at + length - 3, 4)]
            return list(zip(edges[::2], edges[1::2], strict=False))
        at += length
    return []
