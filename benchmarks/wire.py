"""The one clock of the benchmark: packets of the exchange's port on loopback, stamped by the kernel.

Owns the AF_PACKET socket. Bound to ETH_P_IP it sees every packet once, on its way in, with the time at which the sender
handed it over; so tick and order are stamped alike. Nobody sleeps on the socket, so a packet wakes no one in the middle
of what is measured: the owner calls `drain` now and then. Needs CAP_NET_RAW.
"""

import ctypes
import socket
import struct
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

PACKET = np.dtype(
    [("time_ns", np.int64), ("client_port", np.uint16), ("from_client", np.bool_), ("payload_bytes", np.uint32)]
)
Packets = npt.NDArray[np.void]  # of dtype PACKET

ETH_P_IP = 0x0800
SO_ATTACH_FILTER, SO_TIMESTAMPNS = 26, 35
SOL_PACKET, PACKET_STATISTICS = 263, 6
HEADER_BYTES = 128  # Ethernet 14, IPv4 up to 60, and the first 20 of TCP: all that is looked at
BUFFER_BYTES = 8 << 20


class CaptureError(Exception):
    """The capture cannot run here, or lost packets."""


def tcp_packet(frame: bytes, port: int) -> tuple[int, bool, int] | None:
    """Read what the benchmark needs from the headers of an Ethernet frame.

    Args:
        frame: at least the Ethernet, IPv4 and TCP headers.
        port: the exchange's TCP port.

    Returns:
        The client's port, whether the client sent it, and its payload in bytes; None for a packet without payload.
        Layout: RFC 791 section 3.1, RFC 9293 section 3.1.
    """
    ip_bytes = (frame[14] & 0xF) * 4
    tcp = 14 + ip_bytes
    total_bytes, source, destination = struct.unpack_from("!16xH", frame)[0], *struct.unpack_from("!HH", frame, tcp)
    payload_bytes = total_bytes - ip_bytes - (frame[tcp + 12] >> 4) * 4
    if payload_bytes <= 0:
        return None
    from_client = destination == port
    return source if from_client else destination, from_client, payload_bytes


def port_filter(port: int) -> bytes:
    """Return a classic BPF program (`man 4 bpf`) that keeps the headers of IPv4 TCP packets from or to a port."""
    instructions = [
        (0x28, 0, 0, 12),  # ldh [12]: EtherType
        (0x15, 0, 8, ETH_P_IP),
        (0x30, 0, 0, 23),  # ldb [23]: protocol
        (0x15, 0, 6, socket.IPPROTO_TCP),
        (0xB1, 0, 0, 14),  # ldx 4 * ([14] & 0xf): size of the IP header
        (0x48, 0, 0, 14),  # ldh [x + 14]: source port
        (0x15, 2, 0, port),
        (0x48, 0, 0, 16),  # ldh [x + 16]: destination port
        (0x15, 0, 1, port),
        (0x06, 0, 0, HEADER_BYTES),
        (0x06, 0, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)


class Capture:
    """All packets with payload between an exchange and its clients, from construction to `close`.

    Args:
        port: the exchange's TCP port on 127.0.0.1.

    Raises:
        CaptureError: the process lacks CAP_NET_RAW.
    """

    def __init__(self, port: int) -> None:
        try:
            # Protocol 0: nothing arrives before the filter is in place and the socket is bound.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except PermissionError as error:
            raise CaptureError(
                "capturing on loopback needs CAP_NET_RAW: run as root, or give this Python the capability"
            ) from error
        program = port_filter(port)
        buffer = ctypes.create_string_buffer(program)
        fprog = struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(("lo", ETH_P_IP))
        self._port = port
        self._rows: list[tuple[int, int, bool, int]] = []
        self._dropped = 0

    def drain(self) -> None:
        """Take what has arrived, without waiting."""
        while True:
            try:
                frame, ancillary, _, _ = self._socket.recvmsg(HEADER_BYTES, 64)
            except BlockingIOError:
                break
            packet = tcp_packet(frame, self._port)
            if packet is not None:
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                self._rows.append((seconds * 1_000_000_000 + nanoseconds, *packet))
        self._dropped += struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]

    def packets(self) -> Packets:
        """Return what was taken so far, by time.

        Raises:
            CaptureError: the kernel dropped packets, so ticks and orders can no longer be paired.
        """
        if self._dropped:
            raise CaptureError(f"the capture lost {self._dropped} packets: the machine is too busy to measure")
        return np.sort(np.array(self._rows, dtype=PACKET), order="time_ns", kind="stable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()
