"""What the readers of capture files share: fields at any byte position, and what was found in a window. Pure.

A *window* is a stretch of a file in a buffer; a reader of one format finds the whole records in it and says where it
stopped and why. Behind the bytes that count a window has `SLACK_BYTES` more that may be read and mean nothing, so that
gathering a header never needs to ask whether it is complete.
"""

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from capture.packets import U16, Bytes, Int64

SLACK_BYTES: Final = 64
MAX_PACKET_BYTES: Final = 256 << 20  # a record that claims more is corrupt; libpcap's own limit is half of it


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets found in a window, at least one.

    Attributes:
        start: where each begins in the window, shape (n,), ascending.
        caplen, wirelen: bytes that are there, and that it had on the wire, shape (n,).
        time_ns: when it was captured, ns since 1970, shape (n,).
        link: its link type, shape (n,).
    """

    start: Int64
    caplen: Int64
    wirelen: Int64
    time_ns: Int64
    link: U16

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader found in a window, and where it stopped.

    Attributes:
        packets: the packets of the whole records before `resume`; None when there are none.
        resume: the first byte of the window that was not used, where the next record begins.
        wanted: bytes that the record at `resume` has, or needs at least to be read; it is incomplete unless `again`.
        fault: why nothing from `resume` on can be read, "" when it can.
        again: whether the window holds more to be read at `resume` as it is.
    """

    packets: Packets | None
    resume: int
    wanted: int = 0
    fault: str = ""
    again: bool = False


class Reader(Protocol):
    """What reads one format; it keeps what one window must tell the next."""

    def read(self, data: Bytes, begin: int, end: int) -> Found:
        """Find the packets in `data[begin:end]`; the first call begins with the first byte of the file."""

    def remarks(self) -> list[str]:
        """Return what a person must know of the packets read, each as the end of a sentence about the file."""


def overlapping(data: Bytes, size: int) -> npt.NDArray[np.void]:
    """View a buffer as opaque items of some bytes, one beginning at every byte.

    Void items have no alignment, so numpy gathers and scatters them by position with plain copies.

    Args:
        data: uint8, shape (bytes,), contiguous.
        size: bytes of an item.

    Returns:
        A view of dtype `V<size>`, shape (bytes − size + 1,), or (0,) when the buffer is shorter than an item.
    """
    return np.ndarray((max(len(data) - size + 1, 0),), np.dtype(f"V{size}"), buffer=data.data, strides=(1,))


def fields_at(data: Bytes, at: Int64, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Gather a header, or a number, from each of some positions.

    Args:
        data: uint8, shape (bytes,), contiguous.
        at: byte positions, shape (n,); each must have the dtype's size of bytes behind it.
        dtype: packed, with the byte order of the bytes.

    Returns:
        A copy, shape (n,).
    """
    return overlapping(data, dtype.itemsize)[at].view(dtype)
