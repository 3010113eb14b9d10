"""A TPACKET_V3 ring's memory: which blocks are ours, and the packets in them as a batch. No I/O.

A block belongs to the kernel until it sets TP_STATUS_USER in the block's status, and again from when we write 0 there.
Its packets are a chain: each header holds the distance to the next. All fields are in the machine's byte order.
Layouts: `struct tpacket_block_desc` and `struct tpacket3_hdr` of the kernel's `linux/if_packet.h`.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from capture.packets import Batch, Bytes, Int64, LinkType

_STATUS, _PACKETS, _FIRST = 8, 12, 16  # where a block's u32 fields are
_STATUS_KERNEL, _STATUS_USER = 0, 1

# Headers begin at multiples of 8 bytes (V3_ALIGNMENT in the kernel's net/packet/af_packet.c).
_ALIGNMENT: Final = 8
_HEADER: Final = np.dtype(
    [
        ("next", "=u4"), ("sec", "=u4"), ("nsec", "=u4"), ("snaplen", "=u4"), ("len", "=u4"), ("status", "=u4"),
        ("mac", "=u2"), ("net", "=u2"), ("rxhash", "=u4"), ("vlan_tci", "=u4"), ("vlan_tpid", "=u2"), ("spare", "=u2"),
    ]
)  # fmt: skip
_VLAN_VALID, _RAW_HARDWARE = 1 << 4, 1 << 31  # bits of a packet's status


class Blocks:
    """Blocks in a ring's memory.

    Args:
        memory: the ring, uint8, shape (blocks * block_bytes,), 8-byte aligned.
        block_bytes: size of a block, a multiple of 8.
        ethernet: whether packets begin with an Ethernet header; else batches show them from their IP header on.
    """

    def __init__(self, memory: Bytes, block_bytes: int, *, ethernet: bool) -> None:
        assert memory.size % block_bytes == 0
        assert block_bytes % _ALIGNMENT == 0
        self.count = memory.size // block_bytes
        self._memory = memory
        self._words = memory.data.cast("I")
        self._block_words = block_bytes // 4
        self._status = self._field(_STATUS, block_bytes)
        # Overlapping windows, one from each place where a header may begin: taking some copies whole headers.
        windows = (memory.size - _HEADER.itemsize) // _ALIGNMENT + 1
        self._windows = np.ndarray((windows,), f"V{_HEADER.itemsize}", memory, strides=(_ALIGNMENT,))
        self._from_network = not ethernet
        self._link = np.uint16(LinkType.ETHERNET if ethernet else LinkType.RAW)
        self.empty = self._batch(np.empty(0, np.int64))

    def ready(self, first: int, most: int) -> int:
        """Count the blocks from `first` on, at most `most`, that the kernel has handed over."""
        for ahead in range(most):
            if not self._status[(first + ahead) % self.count] & _STATUS_USER:
                return ahead
        return most

    def packets(self, first: int, count: int) -> Batch:
        """Return the packets of `count` blocks from `first` on; they stay in the ring's memory."""
        chain: list[int] = []
        words, append = self._words, chain.append
        for ahead in range(count):
            block = (first + ahead) % self.count * self._block_words
            at = block + words[block + _FIRST // 4] // 4
            for _ in range(words[block + _PACKETS // 4]):
                append(at)
                at += words[at] // 4
        return self._batch(np.array(chain, np.int64) * 4)

    def give_back(self, first: int, count: int) -> None:
        """Let the kernel have `count` blocks from `first` on."""
        for ahead in range(count):
            self._status[(first + ahead) % self.count] = _STATUS_KERNEL

    def _field(self, offset: int, block_bytes: int) -> npt.NDArray[np.uint32]:
        return np.ndarray((self.count,), np.uint32, self._memory, offset, (block_bytes,))

    def _batch(self, at: Int64) -> Batch:
        """Read the headers at some byte offsets, shape (n,)."""
        header = self._windows[at // _ALIGNMENT].view(_HEADER)
        status = header["status"]
        skipped = (header["net"] - header["mac"]).astype(np.int64) * self._from_network
        return Batch(
            data=self._memory,
            start=at + header["mac"] + skipped,
            caplen=np.maximum(header["snaplen"] - skipped, 0),
            wirelen=header["len"] - skipped,
            time_ns=header["sec"].astype(np.int64) * 1_000_000_000 + header["nsec"],
            link=np.broadcast_to(self._link, at.shape),
            hardware=(status & _RAW_HARDWARE) != 0,
            vlan=np.where(status & _VLAN_VALID, header["vlan_tci"], 0).astype(np.uint16),
        )
