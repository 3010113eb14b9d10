"""The live source: an AF_PACKET socket whose packets the kernel writes into memory that it shares with us.

Owns the socket and the ring (TPACKET_V3, Documentation/networking/packet_mmap.rst). Linux only; needs CAP_NET_RAW.
Filter and ring are in place before the socket is bound, so the first packet is already a filtered one. On loopback only
the incoming copy of each packet is taken.
"""

import ctypes
import errno
import mmap
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import numpy as np

from capture.errors import CannotCapture, SourceLost
from capture.live import bpf, interfaces
from capture.live.blocks import Blocks
from capture.packets import Batch

# linux/if_packet.h, asm-generic/socket.h, linux/net_tstamp.h
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _TIMESTAMP = 1, 5, 6, 10, 17
_FANOUT, _FANOUT_DATA, _IGNORE_OUTGOING = 18, 22, 23
_TPACKET_V3, _FANOUT_CBPF, _MEMBER_PROMISCUOUS = 2, 6, 1
_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _SO_TIMESTAMPING = 26, 27, 37
_RX_SOFTWARE, _RAW_HARDWARE = 1 << 3, 1 << 6
_ETH_P_ALL: Final = 3
_RING_REQUEST: Final = struct.Struct("=7I")  # tpacket_req3
_STATISTICS_V3: Final = struct.Struct("=3I")  # tpacket_stats_v3
_MEMBERSHIP: Final = struct.Struct("=iHH8s")  # packet_mreq

MIN_BLOCK_BYTES: Final = 256 << 10  # segmentation offload makes frames of up to 64 KiB
_FRAME_BYTES: Final = 2048  # must divide the block; V3 packs packets without regard to it
_SHARE: Final = 4  # a batch takes at most this part of the ring, so that the kernel always has the rest
_FLUSH_MS: Final = 40  # after this the kernel hands over a block that is not full
_PATIENCE_S: Final = 0.1  # how long `batches` waits before it yields an empty batch
_DOWN_PATIENCE_S: Final = 10.0  # how long an interface may be down


@dataclass(frozen=True, slots=True)
class Counters:
    """What the kernel counted since the ring was opened.

    Attributes:
        packets: passed the filter, those dropped included.
        drops: of these had no room in the ring.
        freezes: how often the ring was full.
    """

    packets: int = 0
    drops: int = 0
    freezes: int = 0


class Ring:
    """A capture that runs until it is closed; a context manager and a `capture.packets.Source`.

    Args:
        interface: its name.
        filter: a BPF program (`capture.live.bpf`); None for every packet.
        fanout: a number from 0 to 65535, shared by the sockets among which this interface's packets are to be dealt
            out by connection; None for a socket that gets all.
        vxlan_ports: UDP ports of the tunnels in which `fanout` tells connections apart.
        hardware: have the NIC stamp packets by its own clock, where it can.
        block_bytes: size of a block, a power of two, at least 256 KiB. A batch is at least one block: the default makes
            them so large that the cost of numpy's calls hardly counts (`benchmarks/ring.py`).
        blocks: how many there are.
        promiscuous: take also packets for other machines, as a switch's mirror port sends them; those of a cloud's
            mirror are for this one.

    Attributes:
        troubles: what a person must know so far, in words: drops, the interface going down and up.

    Raises:
        CannotCapture: no such interface, it is down, the right is missing, or the kernel refuses; in words.
    """

    def __init__(
        self,
        interface: str,
        *,
        filter: bytes | None = None,  # noqa: A002 - the field's word
        fanout: int | None = None,
        vxlan_ports: tuple[int, ...] = bpf.VXLAN_PORTS,
        hardware: bool = False,
        block_bytes: int = 4 << 20,
        blocks: int = 16,
        promiscuous: bool = False,
    ) -> None:
        if block_bytes < MIN_BLOCK_BYTES or block_bytes & (block_bytes - 1):
            raise CannotCapture(
                f"a block of {block_bytes} bytes: a power of two from {MIN_BLOCK_BYTES} on was expected"
            )
        self.interface = interface
        self.troubles: list[str] = []
        self._program = filter
        self._fanout = fanout
        self._vxlan_ports = vxlan_ports
        self._index = interfaces.index_of(interface)
        self._socket = _open()
        try:
            self._stamp(hardware=hardware)
            self._map(block_bytes, blocks)
            self._bind(promiscuous=promiscuous)
        except OSError as error:
            self._socket.close()
            raise CannotCapture(_reason(error, interface, block_bytes * blocks)) from error
        except CannotCapture:
            self._socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)
        self._most = max(1, blocks // _SHARE)
        self._next = 0  # the block that the kernel hands over next
        self._held = 0  # how many from there on are the consumer's
        self._counters = Counters()
        self._down_since_s: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop capturing. A batch that is still held stays readable."""
        if self._socket.fileno() < 0:
            return
        self.drops()
        self._attach(bpf.NOTHING)  # while a batch is held, the memory map keeps the kernel's side of the socket alive
        self._socket.close()
        del self._blocks
        with suppress(BufferError):  # a batch is held: the map goes with it
            self._memory.close()

    def fileno(self) -> int:
        """Return the socket's descriptor: readable when a block is ready."""
        return self._socket.fileno()

    def batches(self) -> Iterator[Batch]:
        """Yield the packets of the blocks that are ready, without end; an empty batch after 0.1 s without any.

        A batch's buffer is the ring itself: it is valid until the next one is asked for.

        Raises:
            SourceLost: the interface went away, or was down for ten seconds.
        """
        while True:
            yield self.take(_PATIENCE_S)

    def take(self, timeout_s: float) -> Batch:
        """Give back the blocks of the batch before, then return the packets of those that are ready.

        Args:
            timeout_s: how long to wait for a block; 0 for not at all.

        Returns:
            An empty batch when none became ready.

        Raises:
            SourceLost: the interface went away, or was down for ten seconds.
        """
        self._blocks.give_back(self._next, self._held)
        self._next = (self._next + self._held) % self._blocks.count
        self._held = self._blocks.ready(self._next, self._most)
        if not self._held:
            self._wait(timeout_s)
            self._held = self._blocks.ready(self._next, self._most)
        return self._blocks.packets(self._next, self._held) if self._held else self._blocks.empty

    def drops(self) -> Counters:
        """Return what the kernel counted so far; its own counters begin anew at each reading."""
        raw = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _STATISTICS_V3.size)
        packets, drops, freezes = _STATISTICS_V3.unpack(raw)
        so_far = self._counters
        self._counters = Counters(so_far.packets + packets, so_far.drops + drops, so_far.freezes + freezes)
        if drops:
            self._report_drops()
        return self._counters

    def _report_drops(self) -> None:
        mark = "packets dropped"
        self.troubles[:] = [trouble for trouble in self.troubles if mark not in trouble]
        counters = self._counters
        self.troubles.append(
            f"{counters.drops:,} of {counters.packets:,} {mark}: the ring on {self.interface} was full"
        )

    def _stamp(self, *, hardware: bool) -> None:
        # Without this a packet is stamped when it is written into the ring, later than when it arrived.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE)
        if hardware:
            if not interfaces.stamp_in_hardware(self._socket, self.interface):
                self.troubles.append(f"{self.interface} stamps only some packets in hardware")
            self._socket.setsockopt(_SOL_PACKET, _TIMESTAMP, _RAW_HARDWARE)

    def _map(self, block_bytes: int, blocks: int) -> None:
        sock = self._socket
        sock.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        size = block_bytes * blocks
        frames = size // _FRAME_BYTES
        request = _RING_REQUEST.pack(block_bytes, blocks, _FRAME_BYTES, frames, _FLUSH_MS, 0, 0)
        sock.setsockopt(_SOL_PACKET, _RX_RING, request)
        self._memory = mmap.mmap(sock.fileno(), size)
        ethernet = interfaces.has_ethernet(sock, self.interface)
        self._blocks = Blocks(np.frombuffer(self._memory, np.uint8), block_bytes, ethernet=ethernet)

    def _bind(self, *, promiscuous: bool) -> None:
        sock = self._socket
        if not interfaces.is_up(sock, self.interface):
            raise CannotCapture(f"{self.interface} is down; set it up with: ip link set {self.interface} up")
        if interfaces.is_loopback(sock, self.interface):
            sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        # A socket joins its group only after it is bound; what came in between would be seen by two.
        self._attach(self._program if self._fanout is None else bpf.NOTHING)
        sock.bind((self.interface, _ETH_P_ALL))
        if promiscuous:
            membership = _MEMBERSHIP.pack(self._index, _MEMBER_PROMISCUOUS, 0, b"")
            sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        if self._fanout is not None:
            sock.setsockopt(_SOL_PACKET, _FANOUT, self._fanout | _FANOUT_CBPF << 16)
            self._load(_SOL_PACKET, _FANOUT_DATA, bpf.fanout_program(self._vxlan_ports))
            self._attach(self._program)

    def _attach(self, program: bytes | None) -> None:
        if program is not None:
            self._load(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        elif self._fanout is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def _load(self, level: int, option: int, program: bytes) -> None:
        code = ctypes.create_string_buffer(program, len(program))
        fprog = struct.pack("@HP", len(program) // bpf.INSTRUCTION.size, ctypes.addressof(code))
        self._socket.setsockopt(level, option, fprog)

    def _wait(self, timeout_s: float) -> None:
        events = self._poll.poll(timeout_s * 1000)
        if any(event & select.POLLERR for _, event in events):
            failure = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if self._down_since_s is None and failure:
                self._down_since_s = time.monotonic()
        if self._down_since_s is not None:
            self._look_after_link(time.monotonic() - self._down_since_s)

    def _look_after_link(self, down_s: float) -> None:
        """The kernel goes on capturing when an interface comes up again; what it had is handed over by then."""
        if not interfaces.exists(self._index):
            if down_s * 1000 > 3 * _FLUSH_MS:
                raise SourceLost(f"{self.interface} went away")
        elif interfaces.is_up(self._socket, self.interface):
            self.troubles.append(f"{self.interface} was down for {down_s:.1f} s")
            self._down_since_s = None
        elif down_s > _DOWN_PATIENCE_S:
            raise SourceLost(f"{self.interface} has been down for {down_s:.0f} s")


def _open() -> socket.socket:
    if sys.platform != "linux":
        raise CannotCapture("a live capture needs Linux; on any system captured files can be read")
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0: nothing comes before it is bound
    except PermissionError:
        raise CannotCapture(
            "no right to capture: run as root, or give the right CAP_NET_RAW, "
            "with AmbientCapabilities=CAP_NET_RAW in a unit or setcap cap_net_raw+ep on the interpreter"
        ) from None


def _reason(error: OSError, interface: str, ring_bytes: int) -> str:
    if error.errno == errno.ENOMEM:
        return f"no memory for a ring of {ring_bytes >> 20} MiB on {interface}: take fewer or smaller blocks"
    return f"the kernel refuses to capture on {interface}: {error.strerror}"
