"""Network interfaces as Linux tells of them: which there are, whether one is up, what its packets begin with.

Owns the ioctls; every function takes a socket, whose network namespace it asks.
"""

import ctypes
import errno
import fcntl
import socket
import struct
from typing import Final

from capture.errors import CannotCapture

_SIOCGIFFLAGS, _SIOCGIFHWADDR, _SIOCSHWTSTAMP = 0x8913, 0x8927, 0x89B0  # linux/sockios.h
_SIOCETHTOOL, _GET_TS_INFO = 0x8946, 0x41  # linux/sockios.h, linux/ethtool.h
_REQUEST: Final = struct.Struct("16s24s")  # struct ifreq: name, union
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h; loopback packets begin with an Ethernet header
_TX_OFF, _FILTER_NONE, _FILTER_ALL = 0, 0, 1  # linux/net_tstamp.h


def index_of(interface: str) -> int:
    """Return an interface's index.

    Raises:
        CannotCapture: there is none of that name; the message names those that there are.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise CannotCapture(f"there is no network interface {interface!r}; there are: {names or 'none'}") from None


def exists(index: int) -> bool:
    """Tell whether an interface of this index is still there."""
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True


def is_up(sock: socket.socket, interface: str) -> bool:
    """Tell whether an interface is there and set up."""
    try:
        return bool(_flags(sock, interface) & _IFF_UP)
    except OSError:
        return False


def is_loopback(sock: socket.socket, interface: str) -> bool:
    """Tell whether an interface is the machine's loopback, which shows each packet on its way out and on its way in."""
    return bool(_flags(sock, interface) & _IFF_LOOPBACK)


def has_ethernet(sock: socket.socket, interface: str) -> bool:
    """Tell whether an interface's packets begin with an Ethernet header."""
    (hardware_type,) = struct.unpack_from("=H", _ask(sock, _SIOCGIFHWADDR, interface))
    return hardware_type in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK)


def stamp_in_hardware(sock: socket.socket, interface: str) -> bool:
    """Ask the NIC to stamp every packet that it receives (Documentation/networking/timestamping.rst, section 3.1).

    Returns:
        Whether it stamps all of them; False if it can stamp some kinds only.

    Raises:
        CannotCapture: it has no clock for this, or the right to switch it on is missing.
    """
    config = ctypes.create_string_buffer(struct.pack("=iii", 0, _TX_OFF, _FILTER_ALL))
    union = struct.pack("@P", ctypes.addressof(config))
    try:
        fcntl.ioctl(sock, _SIOCSHWTSTAMP, _REQUEST.pack(interface.encode(), union))
    except PermissionError:
        raise CannotCapture(f"hardware stamps on {interface} need CAP_NET_ADMIN to be switched on") from None
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ERANGE, errno.EINVAL):
            raise CannotCapture(f"{interface} cannot stamp received packets in hardware") from None
        raise
    (_, _, granted) = struct.unpack_from("=iii", config.raw)
    if granted == _FILTER_NONE:
        raise CannotCapture(f"{interface} cannot stamp received packets in hardware")
    return bool(granted == _FILTER_ALL)


def clock_of(sock: socket.socket, interface: str) -> int:
    """Return the number of a NIC's hardware clock, `N` of `/dev/ptpN` (`struct ethtool_ts_info`).

    Raises:
        CannotCapture: it has none.
    """
    info = ctypes.create_string_buffer(struct.pack("=I40x", _GET_TS_INFO))
    try:
        fcntl.ioctl(sock, _SIOCETHTOOL, _REQUEST.pack(interface.encode(), struct.pack("@P", ctypes.addressof(info))))
        (index,) = struct.unpack_from("=i", info.raw, 8)
    except OSError:
        index = -1
    if index < 0:
        raise CannotCapture(f"{interface} has no hardware clock")
    return int(index)


def _flags(sock: socket.socket, interface: str) -> int:
    (flags,) = struct.unpack_from("=H", _ask(sock, _SIOCGIFFLAGS, interface))
    return int(flags)


def _ask(sock: socket.socket, request: int, interface: str) -> bytes:
    answer = fcntl.ioctl(sock, request, _REQUEST.pack(interface.encode(), b""))
    return bytes(_REQUEST.unpack(answer)[1])
