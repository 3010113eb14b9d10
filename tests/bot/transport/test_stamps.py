"""Kernel stamps: reading control messages as the kernel lays them out. The kernel itself is in tests/system."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.transport import stamps
from bot.transport.stamps import Ancillary, StampKeeper, receive_stamps, transmit_stamps
from journal.layout import ABSENT, TxEvent

IP_RECVERR, IPV6_RECVERR = 11, 25


def times(software_ns: int = 0, nic_ns: int = 0) -> tuple[int, int, bytes]:
    """Return the control message SCM_TIMESTAMPING: three timespecs, native order."""
    return (
        socket.SOL_SOCKET,
        stamps.SO_TIMESTAMPING,
        struct.pack("=6q", *divmod(software_ns, 10**9), 0, 0, *divmod(nic_ns, 10**9)),
    )


def error(info: int, data: int, origin: int = 4, level: int = socket.IPPROTO_IP) -> tuple[int, int, bytes]:
    """Return the control message that carries a `sock_extended_err`, with the offender's address behind it."""
    kind = IP_RECVERR if level == socket.IPPROTO_IP else IPV6_RECVERR
    return level, kind, struct.pack("=IBBBBII", errno.ENOMSG, origin, 0, 0, 0, info, data) + bytes(16)


class ErrorQueue:
    """A socket whose error queue holds these control messages."""

    def __init__(self, *queued: Ancillary) -> None:
        self._queued = list(queued)

    def recvmsg(self, size: int, room: int, flags: int) -> tuple[bytes, Ancillary, int, None]:
        """Return the next one as `socket.recvmsg` does."""
        assert (0, 0x2000, True) == (size, flags & 0x2000, room >= 128)
        if not self._queued:
            raise BlockingIOError
        return b"", self._queued.pop(0), 0, None


def drained(*queued: Ancillary) -> list[tuple[int, int, int]]:
    iterator: Iterator[tuple[int, int, int]] = transmit_stamps(ErrorQueue(*queued))  # type: ignore[arg-type]
    return list(iterator)


@given(software=st.integers(10**9, 2**62), nic=st.integers(10**9, 2**62))
def test_receive_stamps_are_exact(software: int, nic: int) -> None:
    """Nanoseconds of both clocks."""
    assert (software, nic) == receive_stamps([times(software, nic)])


def test_an_absent_receive_stamp_is_absent() -> None:
    """Never zero."""
    assert (ABSENT, ABSENT) == receive_stamps([])
    assert (5 * 10**9, ABSENT) == receive_stamps([times(5 * 10**9)])
    assert (ABSENT, 5 * 10**9) == receive_stamps([times(0, 5 * 10**9)])
    assert (ABSENT, ABSENT) == receive_stamps([times()])


def test_other_control_messages_are_passed_over() -> None:
    """A socket may carry more than it was asked for."""
    other = (socket.IPPROTO_IP, 8, b"\0" * 8)
    assert (10**9 + 7, ABSENT) == receive_stamps([other, times(10**9 + 7)])


@pytest.mark.parametrize("level", [socket.IPPROTO_IP, socket.IPPROTO_IPV6])
def test_the_three_events_of_a_send(level: int) -> None:
    """IPv4 and IPv6, whichever control message comes first."""
    queued = [
        [times(10**9 + 1), error(1, 99, level=level)],
        [error(0, 99, level=level), times(10**9 + 2)],
        [times(10**9 + 3), error(2, 99, level=level)],
    ]
    assert [(TxEvent.SCHED, 99, 10**9 + 1), (TxEvent.DRIVER, 99, 10**9 + 2), (TxEvent.ACK, 99, 10**9 + 3)] == drained(
        *queued
    )


def test_the_nics_own_stamp_is_an_event_of_its_own() -> None:
    """It is another clock's."""
    assert [(TxEvent.NIC, 7, 3 * 10**9)] == drained([times(0, 3 * 10**9), error(0, 7)])


def test_what_holds_no_stamp_gives_none() -> None:
    """An empty timespec, an ICMP error, a stamp without its offset; what follows them is still read."""
    good = [times(10**9), error(0, 5)]
    icmp = [times(10**9), error(0, 1, origin=2)]
    assert [(0, 5, 10**9)] == drained([times(), error(0, 1)], icmp, [times(10**9)], good)


def test_a_platform_without_stamps_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything works without them."""
    with socket.socket() as sock:
        monkeypatch.setattr("bot.transport.stamps.sys.platform", "darwin")
        assert not stamps.enable(sock)
        keeper = StampKeeper()
        assert (False, False) == (keeper.supported, keeper.warm_up())
        keeper.close()


class Refusing(socket.socket):
    """A socket on a kernel that knows fewer flags."""

    unknown = 0
    asked: list[int]

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        """Refuse what is unknown."""
        self.asked = [*getattr(self, "asked", []), value]
        if option == stamps.SO_TIMESTAMPING and value & self.unknown:
            raise OSError(errno.EINVAL, "Invalid argument")
        super().setsockopt(level, option, value)


def test_an_older_kernel_is_asked_for_less() -> None:
    """OPT_ID_TCP came with Linux 6.2; without it ids are stream offsets all the same when asked for before a byte."""
    with Refusing() as sock:
        sock.unknown = 1 << 16
        stamps.enable(sock)
        assert [True, False] == [bool(value & 1 << 16) for value in sock.asked]
        assert 1 == len({value & ~(1 << 16) for value in sock.asked})


def test_a_kernel_that_refuses_gives_no_stamps() -> None:
    """Without an exception."""
    with Refusing() as sock:
        sock.unknown = 0xFFFFFFFF
        assert not stamps.enable(sock)


def test_a_receive_buffer_is_at_least_what_the_system_allows() -> None:
    """And what was granted is returned."""
    with socket.socket() as sock:
        granted = stamps.force_receive_buffer(sock, 64 << 10)
        assert 64 << 10 == granted == sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
