"""Kernel timestamps of UDP sockets, chosen so that each errs to the safe side only.

Probes bound the difference of two clocks by `departure ≤ arrival`, so a departure must never be stamped too late and an
arrival never too early. Software stamps, ns of CLOCK_REALTIME, satisfy that:

- The driver takes the transmit stamp immediately before it hands the packet to the hardware; on veth and loopback
  before the packet enters the receiver's queue. The clock read before the send is earlier still, and so what remains
  when there is no stamp. The clock after the send is no bound: on veth and loopback the packet has arrived by then.
- The receive stamp is taken when the packet enters the network stack, after the hardware received it. The clock after
  the read is later still, and so what remains when there is no stamp: the kernel turns stamping on a moment after the
  first socket asked, and only then.

The kernel returns each stamped datagram whole, so a stamp is attributed by what the datagram says. Its own counter
(SOF_TIMESTAMPING_OPT_ID) is not used: a failed send makes kernels before 6.9 skip a number, and a departure attributed
to an earlier datagram would be a false bound.

A NIC's hardware stamps are of a third clock and not asked for. Protocol and numbers:
https://docs.kernel.org/networking/timestamping.html, `linux/net_tstamp.h`, `linux/errqueue.h`.
"""

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

from journal.layout import ABSENT

_SO_TIMESTAMPING = 37  # not named by Python 3.11; also the type of the control message
_MSG_ERRQUEUE = 0x2000
_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE = 1 << 1, 1 << 3, 1 << 4

_TIMESTAMPS = struct.Struct("=6q")  # three timespecs: software, unused, raw hardware
_ANCILLARY_BYTES = 256
_LOOPED_BYTES = 512  # link, network and transport header in front of a short datagram
_SECOND = 1_000_000_000

Ancillary = list[tuple[int, int, bytes]]


def enable(sock: socket.socket) -> bool:
    """Ask the kernel for software stamps of what the socket receives and sends.

    Returns:
        Whether the kernel will stamp; without it everything works, and the stamps are absent.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _TX_SOFTWARE | _RX_SOFTWARE | _SOFTWARE)
            return True
    return False


def software_stamp(ancillary: Ancillary) -> int:
    """Return the software stamp among control messages, ns of CLOCK_REALTIME, or ABSENT."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPING) and len(data) >= _TIMESTAMPS.size:
            seconds, nanos, *_ = _TIMESTAMPS.unpack_from(data)
            return seconds * _SECOND + nanos if seconds else ABSENT
    return ABSENT


def receive(sock: socket.socket, size: int) -> tuple[bytes, int, Any]:
    """Receive one datagram.

    Args:
        sock: where `enable` was called, non-blocking or not.
        size: bytes of it to keep.

    Returns:
        (data, time, peer): what came, the kernel's receive stamp in ns or ABSENT, and the socket address of its sender.

    Raises:
        OSError: there is none, or the network reports an error.
    """
    data, ancillary, _, peer = sock.recvmsg(size, _ANCILLARY_BYTES)
    return data, software_stamp(ancillary), peer


def departures(sock: socket.socket, size: int) -> Iterator[tuple[bytes, int]]:
    """Drain the socket's error queue, where sent datagrams come back with their transmit stamps.

    Args:
        sock: where `enable` was called.
        size: bytes of every datagram that the socket sends.

    Yields:
        (data, time): a datagram as it was sent, and the kernel's transmit stamp, ns.
    """
    while True:
        try:
            packet, ancillary, _, _ = sock.recvmsg(_LOOPED_BYTES, _ANCILLARY_BYTES, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:  # empty; an error of the network comes with the next send or read
            return
        time_ns = software_stamp(ancillary)
        if time_ns != ABSENT and len(packet) >= size:
            yield packet[-size:], time_ns
