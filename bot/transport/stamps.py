"""Kernel timestamps of TCP sockets: asking for them, reading them, keeping them switched on.

All software stamps are ns of CLOCK_REALTIME; a NIC's own stamp is its own clock. The numbers are those of the kernel's
`linux/net_tstamp.h` and `linux/errqueue.h`, which Python 3.11 does not name. Protocol:
https://docs.kernel.org/networking/timestamping.html
"""

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

from journal.layout import ABSENT, TxEvent

SO_TIMESTAMPING = 37
MSG_ERRQUEUE = 0x2000
MSG_EOR = 0x80

_TX_HARDWARE, _TX_SOFTWARE, _RX_HARDWARE, _RX_SOFTWARE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_SOFTWARE, _RAW_HARDWARE = 1 << 4, 1 << 6
_OPT_ID, _TX_SCHED, _TX_ACK, _OPT_TSONLY, _OPT_ID_TCP = 1 << 7, 1 << 8, 1 << 9, 1 << 11, 1 << 16

_RECEIVE = _RX_SOFTWARE | _RX_HARDWARE | _SOFTWARE | _RAW_HARDWARE
_TRANSMIT = _TX_SOFTWARE | _TX_HARDWARE | _TX_SCHED | _TX_ACK | _OPT_ID | _OPT_ID_TCP | _OPT_TSONLY

_TIMESTAMPS = struct.Struct("=6q")  # three timespecs: software, unused, raw hardware
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # errno, origin, type, code, pad, info, data
_ORIGIN_TIMESTAMPING = 4
_ERROR_LEVELS = {(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)}

ANCILLARY_BYTES = 256
_SECOND = 1_000_000_000
_WARM_UP_PAUSE_S = 0.005  # between attempts

Ancillary = list[tuple[int, int, bytes]]


def enable(sock: socket.socket) -> bool:
    """Ask the kernel for RX and TX stamps; after connect and before the first byte, so that ids are stream offsets.

    Returns:
        Whether the kernel will stamp; without it everything works and the stamps are absent.
    """
    if sys.platform != "linux":
        return False
    for flags in (_RECEIVE | _TRANSMIT, _RECEIVE | _TRANSMIT & ~_OPT_ID_TCP):  # OPT_ID_TCP: Linux 6.2
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
            return True
    return False


def receive_stamps(ancillary: Ancillary) -> tuple[int, int]:
    """Return (kernel_rx, nic_rx) of the last byte that a `recvmsg` returned, ns, ABSENT where there is none."""
    for level, kind, data in ancillary:
        if kind == SO_TIMESTAMPING and level == socket.SOL_SOCKET:
            seconds, nanos, _, _, nic_seconds, nic_nanos = _TIMESTAMPS.unpack_from(data)
            return (
                seconds * _SECOND + nanos if seconds else ABSENT,
                nic_seconds * _SECOND + nic_nanos if nic_seconds else ABSENT,
            )
    return ABSENT, ABSENT


def transmit_stamps(sock: socket.socket) -> Iterator[tuple[int, int, int]]:
    """Drain the socket's error queue.

    Yields:
        (event, offset, time): a `TxEvent`, the stream offset of the stamped byte modulo 2³², ns.
    """
    recvmsg = sock.recvmsg
    while True:
        try:
            _, ancillary, _, _ = recvmsg(0, 512, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:  # empty; an error of the connection itself comes with the next read
            return
        stamp = _one_transmit_stamp(ancillary)
        if stamp is not None:
            yield stamp


def _one_transmit_stamp(ancillary: Ancillary) -> tuple[int, int, int] | None:
    times: tuple[int, ...] | None = None
    event = offset = -1
    for level, kind, data in ancillary:
        if kind == SO_TIMESTAMPING and level == socket.SOL_SOCKET:
            times = _TIMESTAMPS.unpack_from(data)
        elif (level, kind) in _ERROR_LEVELS:
            _, origin, _, _, _, info, identifier = _EXTENDED_ERROR.unpack_from(data)
            if origin == _ORIGIN_TIMESTAMPING:
                event, offset = info, identifier
    if times is None or event < 0:
        return None
    if times[0]:
        return event, offset, times[0] * _SECOND + times[1]
    return (TxEvent.NIC, offset, times[4] * _SECOND + times[5]) if times[4] else None


class StampKeeper:
    """Keeps the kernel's stamping switched on.

    The kernel turns stamping on with the first socket that asks, and does so lazily: up to 429 first messages had no
    stamp. A loopback datagram socket that asks, and is held until it has received one stamped datagram, and on until
    the process ends, leaves none without.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(_WARM_UP_PAUSE_S)
        self.supported = False
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, _RECEIVE)
                self.supported = True

    def warm_up(self, attempts: int = 200) -> bool:
        """Send datagrams to itself until one comes back stamped; blocks for a second at most.

        Returns:
            Whether the kernel stamps.
        """
        for _ in range(attempts if self.supported else 0):
            self._socket.sendto(b"warm", self._socket.getsockname())
            with contextlib.suppress(TimeoutError):  # the pause: the kernel switches on in a work item of its own
                while receive_stamps(self._socket.recvmsg(16, ANCILLARY_BYTES)[1])[0] == ABSENT:
                    pass
                return True
        return False

    def close(self) -> None:
        """Let go; stamping may switch off."""
        self._socket.close()


def force_receive_buffer(sock: socket.socket, size_bytes: int) -> int:
    """Fix the socket's receive buffer, above the system's limit where the process may.

    Its size bounds what can be queued, and so what one read must be able to take; stamps in the error queue count
    against it as well.

    Returns:
        The size that the kernel granted, bytes.
    """
    granted: Any
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes // 2)  # the kernel doubles it
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if granted < size_bytes:
        with contextlib.suppress(OSError, AttributeError):  # CAP_NET_ADMIN
            sock.setsockopt(socket.SOL_SOCKET, 33, size_bytes // 2)  # SO_RCVBUFFORCE
            granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return int(granted)
