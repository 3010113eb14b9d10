"""The TCP options that tell packets apart: timestamps and selective acknowledgements. Pure.

Options may be cut short or be anything at all; what is not whole is not there.
"""

from typing import Final

import numpy as np

from capture.packets import Bytes, Int64, Segments

_END, _NOP, _SACK, _TIMESTAMPS = 0, 1, 5, 8  # RFC 9293, section 3.1; RFC 2018; RFC 7323
_ALIGNED_TIMESTAMPS: Final = 0x0101080A  # two NOPs, then the option: RFC 7323, appendix A

NO_TIMESTAMP: Final = -1


def timestamps(segments: Segments) -> Int64:
    """Return the TSval of every segment, shape (m,), int64; NO_TIMESTAMP where there is none.

    Only the layout that RFC 7323 recommends is read, two NOPs and the option first: every common system sends that in
    all segments but SYNs, which need no telling apart by it.
    """
    values = np.full(len(segments), NO_TIMESTAMP, np.int64)
    if len(segments.data) < 8:
        return values
    # Big-endian words at any byte: one gather instead of four.
    words = np.ndarray((len(segments.data) - 3,), ">u4", segments.data, strides=(1,))
    there = np.flatnonzero(segments.options_size >= 12)
    at = segments.options[there]
    aligned = words[at] == _ALIGNED_TIMESTAMPS
    if not aligned.all():
        there, at = there[aligned], at[aligned]
    values[there] = words[at + 4]
    return values


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
