"""The arrays that walk through the agent: a batch of captured packets, and the TCP segments found in it. Pure.

Everything is struct-of-arrays: one numpy array a field, one element a packet, in the order of arrival.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


class LinkType(IntEnum):
    """What a packet begins with; values of the pcap formats (https://www.tcpdump.org/linktypes.html)."""

    NULL = 0  # BSD loopback
    ETHERNET = 1
    RAW_BSD = 12
    RAW_OPENBSD = 14
    RAW = 101  # IPv4 or IPv6
    LOOP = 108  # OpenBSD loopback
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


@dataclass(frozen=True, slots=True)
class Batch:
    """Some captured packets in one buffer, which may be reused once the next batch is asked for.

    Attributes:
        data: the buffer, shape (bytes,).
        start: where each packet begins in it, shape (n,).
        caplen: bytes of it that are there, shape (n,).
        wirelen: bytes that it had on the wire, shape (n,); ≥ caplen.
        time_ns: when it was captured, ns of CLOCK_REALTIME, or of the NIC's clock where `hardware`, shape (n,).
        link: its `LinkType`, or a number that is none, shape (n,).
        hardware: whether the NIC stamped it, shape (n,).
        vlan: the 802.1Q tag control information that the kernel stripped, 0 for none, shape (n,).
    """

    data: Bytes
    start: Int64
    caplen: Int64
    wirelen: Int64
    time_ns: Int64
    link: U16
    hardware: Mask
    vlan: U16

    def __len__(self) -> int:
        return len(self.start)


class Source(Protocol):
    """Where packets come from: a ring, or files.

    Attributes:
        troubles: what a person must know of the source so far, in words: a truncated tail, drops.
    """

    troubles: list[str]

    def batches(self) -> Iterator[Batch]:
        """Yield the packets, in order."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The TCP segments found in a batch, in order of arrival; each array has shape (m,).

    Attributes:
        data: the buffer that `payload` and `options` index: the batch's, or a longer copy of it.
        packet: index of its packet in the batch.
        time_ns: when that packet was captured.
        tunnel: the innermost tunnel's identifier (VNI, GRE key, ERSPAN session), 0 without a tunnel.
        source, target: its endpoints, `address << 16 | port`: an IPv4 address as a number, an IPv6 address as 2³² plus
            its number in the decoder's address table (`Decoder.address`).
        seq, ack: sequence and acknowledgement number.
        flags: `TcpFlag` bits as sent.
        window: as sent, unscaled.
        ip_id: identification of the IPv4 header, 0 for IPv6.
        size: payload bytes on the wire, from the headers' lengths.
        payload: where the payload begins in `data`.
        captured: payload bytes that are there.
        options: where the TCP options begin in `data`.
        options_size: bytes of them that are there.
        frame: bytes of the whole packet on the wire.
        hardware: whether the NIC stamped it.
    """

    data: Bytes
    packet: Int64
    time_ns: Int64
    tunnel: U32
    source: U64
    target: U64
    seq: U32
    ack: U32
    flags: U16
    window: U16
    ip_id: U16
    size: U32
    payload: Int64
    captured: U32
    options: Int64
    options_size: U16
    frame: U32
    hardware: Mask

    def __len__(self) -> int:
        return len(self.packet)
