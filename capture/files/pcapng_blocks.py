"""What the blocks of a pcapng file hold. Pure.

Source: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/. A block is its type, its length, a body and its
length again, all in multiples of 4 bytes and in its section's byte order.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np

from capture.packets import U64, Int64

BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
MICROSECONDS: Final = 6  # if_tsresol of an interface that names none: 10⁻⁶ s
NANOSECONDS: Final = 9
PACKET_HEADER_BYTES: Final = 28  # of an enhanced or obsolete packet block
SIMPLE_HEADER_BYTES: Final = 12
TRAILER_BYTES: Final = 4


class BlockType(IntEnum):
    """What a block is; all others are skipped."""

    INTERFACE = 1
    OBSOLETE_PACKET = 2
    SIMPLE_PACKET = 3
    ENHANCED_PACKET = 6
    SECTION = 0x0A0D0D0A  # the same in both byte orders


LEAST_BYTES: Final = {
    BlockType.INTERFACE: 20,
    BlockType.OBSOLETE_PACKET: PACKET_HEADER_BYTES + TRAILER_BYTES,
    BlockType.SIMPLE_PACKET: SIMPLE_HEADER_BYTES + TRAILER_BYTES,
    BlockType.ENHANCED_PACKET: PACKET_HEADER_BYTES + TRAILER_BYTES,
    BlockType.SECTION: 28,
}


class Option(IntEnum):
    """Codes of the options that are read or written."""

    END = 0
    COMMENT = 1
    USER_APPLICATION = 4  # of a section
    RESOLUTION = 9  # of an interface: if_tsresol
    OFFSET = 14  # of an interface: if_tsoffset


def packet_header(order: str) -> np.dtype[Any]:
    """Return the layout of an enhanced packet block's header, 28 bytes, in a byte order ("<" or ">")."""
    names = ("type", "length", "interface", "time_high", "time_low", "caplen", "wirelen")
    return np.dtype([(name, order + "u4") for name in names])


@dataclass(frozen=True, slots=True)
class Interface:
    """What an interface description says.

    Attributes:
        link: link type.
        snaplen: bytes that are kept of a packet at most; 0 for all.
        resolution: if_tsresol: a time is a count of 10⁻ⁿ s, or of 2⁻ⁿ s with the upper bit set.
        offset_s: if_tsoffset: seconds to add to each time.
    """

    link: int
    snaplen: int
    resolution: int = MICROSECONDS
    offset_s: int = 0


def read_interface(block: bytes, order: str) -> Interface:
    """Read an interface description block.

    Args:
        block: the whole block, at least 20 bytes.
        order: its byte order, "<" or ">".

    Returns:
        What it says; an option that is cut, or has a wrong size, ends the options or counts as absent.
    """
    link, snaplen = struct.unpack_from(order + "H2xI", block, 8)
    resolution, offset_s = MICROSECONDS, 0
    at, end = 16, len(block) - TRAILER_BYTES
    while at + 4 <= end:
        code, size = struct.unpack_from(order + "HH", block, at)
        if code == Option.END or at + 4 + size > end:
            break
        if code == Option.RESOLUTION and size == 1:
            resolution = block[at + 4]
        elif code == Option.OFFSET and size == 8:
            (offset_s,) = struct.unpack_from(order + "q", block, at + 4)
        at += 4 + (size + 3 & ~3)
    return Interface(link, snaplen, resolution, offset_s)


def nanoseconds(ticks: U64, resolution: int) -> Int64:
    """Convert times to nanoseconds, rounded down, without an intermediate that overflows.

    Args:
        ticks: uint64, shape (n,).
        resolution: if_tsresol.

    Returns:
        ns, shape (n,); times that no 64 bits of nanoseconds hold (after the year 2262) wrap.
    """
    exponent = resolution & 0x7F
    if not resolution & 0x80:
        if exponent <= NANOSECONDS:
            return (ticks * np.uint64(10 ** (NANOSECONDS - exponent))).view(np.int64)
        divisor = 10 ** (exponent - NANOSECONDS)
        return (ticks // np.uint64(divisor)).view(np.int64) if divisor < 2**64 else np.zeros(len(ticks), np.int64)
    # The fraction of a second as a number of 2⁻⁶⁴ s, times 10⁹, in two halves of 32 bits.
    seconds = ticks >> np.uint64(exponent) if exponent < 64 else np.zeros_like(ticks)
    if exponent == 0:
        fraction = np.zeros_like(ticks)
    elif exponent <= 64:
        fraction = ticks << np.uint64(64 - exponent)
    else:
        fraction = ticks >> np.uint64(exponent - 64)
    billion, half = np.uint64(10**9), np.uint64(32)
    lower = (fraction & np.uint64(2**32 - 1)) * billion >> half
    return (seconds * billion + ((fraction >> half) * billion + lower >> half)).view(np.int64)
