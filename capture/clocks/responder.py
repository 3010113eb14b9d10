"""The trader's side of the clock probes: answers each with the stamp of its arrival. Runs in a process of its own.

A responder is open to a network, so it does little: it answers well-formed probes (`probe` has the format) with a
datagram of the same size, from addresses that are allowed, up to a rate for each host, and keeps a bounded number of
hosts and sessions, the least recently heard forgotten first. What it does not answer is counted by reason. Unless told
otherwise it answers loopback, link-local and private addresses only.

A session's numbers must grow: a second reply to one number would make the T3 that is told for it ambiguous, so copies
and stragglers stay unanswered, and the probe counts as lost.

`Responder` is the protocol and reads no clock; `serve` is its shell.
"""

import contextlib
import ipaddress
import select
import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from capture.clocks import udp_stamps
from capture.clocks.probe import DATAGRAM, MAGIC, PROBE, REPLY, VERSION, parse
from capture.errors import CannotCapture
from journal.layout import ABSENT

DEFAULT_PORT = 9460  # not assigned by IANA
PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",  # RFC 1122, 1918, 3927
        "100.64.0.0/10",  # RFC 6598: what overlay networks use
        "::1/128", "fc00::/7", "fe80::/10",  # RFC 4291, 4193
    )
)  # fmt: skip

MAX_RATE = 1000.0  # probes per second and host
_BURST = 1000.0
_MAX_HOSTS = 256
_MAX_SESSIONS = 256
_SECOND = 1_000_000_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class ResponderCounts:
    """What became of the datagrams that came.

    Attributes:
        answered: replies handed to the network.
        malformed: no probes of this version.
        refused: from addresses that are not allowed.
        limited: beyond a host's rate.
        stale: copies of a probe, or overtaken by a later one.
        unsent: replies that the network refused.
    """

    answered: int = 0
    malformed: int = 0
    refused: int = 0
    limited: int = 0
    stale: int = 0
    unsent: int = 0


@dataclass(slots=True)
class _Host:
    allowed: bool
    at_ns: int
    tokens: float = _BURST


@dataclass(slots=True)
class _Session:
    number: int = 0
    t3: int = ABSENT


class Responder:
    """The responder's side of the protocol.

    Args:
        allow: the networks whose probes are answered.

    Attributes:
        counts: what became of the datagrams.
    """

    def __init__(self, allow: Sequence[Network] = PRIVATE) -> None:
        self.counts = ResponderCounts()
        self._allow = allow
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._sessions: OrderedDict[int, _Session] = OrderedDict()

    def reply(self, data: bytes, host: str, t2_ns: int, now_ns: int) -> bytes | None:
        """Return the reply to a datagram, None when it gets none.

        Args:
            data: the datagram.
            host: the address that it came from.
            t2_ns: when it arrived, ns.
            now_ns: the same clock, read before the reply is sent: its T3 until `departed` knows better.
        """
        fields = parse(data, PROBE)
        if fields is None:
            self.counts.malformed += 1
            return None
        if not self._admit(host, now_ns):
            return None
        session_id, number, *_ = fields
        session = self._sessions.setdefault(session_id, _Session())
        self._sessions.move_to_end(session_id)
        if len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        if number <= session.number:
            self.counts.stale += 1
            return None
        previous, t3 = session.number, session.t3
        session.number, session.t3 = number, now_ns
        return DATAGRAM.pack(MAGIC, VERSION, REPLY, 0, session_id, number, t2_ns, previous, t3)

    def departed(self, data: bytes, t3_ns: int) -> None:
        """Take the transmit stamp of a reply.

        Args:
            data: the reply as it was sent.
            t3_ns: the stamp, ns.
        """
        fields = parse(data, REPLY)
        if fields is not None and (session := self._sessions.get(fields[0])) and session.number == fields[1]:
            session.t3 = t3_ns

    def _admit(self, name: str, now_ns: int) -> bool:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(self._is_allowed(name), now_ns)
            if len(self._hosts) > _MAX_HOSTS:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(name)
        if not host.allowed:
            self.counts.refused += 1
            return False
        since_s = max(0, now_ns - host.at_ns) / _SECOND  # the clock may be set back
        host.tokens, host.at_ns = min(_BURST, host.tokens + MAX_RATE * since_s), now_ns
        if host.tokens < 1:
            self.counts.limited += 1
            return False
        host.tokens -= 1
        return True

    def _is_allowed(self, name: str) -> bool:
        address = ipaddress.ip_address(name)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._allow)


def serve(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    allow: Sequence[Network] = PRIVATE,
    on_bound: Callable[[str, int], None] = lambda _host, _port: None,
) -> ResponderCounts:
    """Answer probes until SIGTERM or SIGINT; to be called in a process's main thread.

    Args:
        host: the address to answer at. Replies leave from the address that the route prefers: on a machine with
            several, name the one that the monitor asks.
        port: the UDP port, 0 for any free one.
        allow: the networks whose probes are answered.
        on_bound: called with address and port when probes can come.

    Returns:
        What became of the datagrams.

    Raises:
        CannotCapture: the address or the port cannot be had.
    """
    responder = Responder(allow)
    with _bound(host, port) as sock, _signalled() as stop:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(stop, select.POLLIN)
        on_bound(*sock.getsockname()[:2])
        while all(ready != stop.fileno() for ready, _ in poll.poll()):
            _answer(sock, responder)
    return responder.counts


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotCapture(f"the responder has no address {host} to answer at: {error}") from error
    try:
        sock.settimeout(0)
        udp_stamps.enable(sock)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise CannotCapture(f"the responder cannot answer at {host} port {port}: {error}") from error
    return sock


def _answer(sock: socket.socket, responder: Responder) -> None:
    """Answer one datagram, with what is known of departures: on most links also of this very reply."""
    _take_departures(sock, responder)
    try:
        data, t2_ns, peer = udp_stamps.receive(sock, DATAGRAM.size + 1)
    except OSError:  # nothing there: what woke us was a departure
        return
    now_ns = time.time_ns()
    reply = responder.reply(data, peer[0], now_ns if t2_ns == ABSENT else t2_ns, now_ns)
    if reply is None:
        return
    try:
        sock.sendto(reply, peer)
        responder.counts.answered += 1
    except OSError:
        responder.counts.unsent += 1
    _take_departures(sock, responder)


def _take_departures(sock: socket.socket, responder: Responder) -> None:
    for data, t3_ns in udp_stamps.departures(sock, DATAGRAM.size):
        responder.departed(data, t3_ns)


@contextlib.contextmanager
def _signalled() -> Iterator[socket.socket]:
    """Yield a socket that becomes readable at SIGTERM or SIGINT."""
    wake, woken = socket.socketpair()
    with wake, woken:
        wake.settimeout(0)
        before = {number: signal.signal(number, _keep_going) for number in (signal.SIGTERM, signal.SIGINT)}
        woken_before = signal.set_wakeup_fd(wake.fileno())
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, handler in before.items():
                signal.signal(number, handler)


def _keep_going(_number: int, _frame: FrameType | None) -> None:
    """Let the wakeup descriptor tell the loop, which then ends between two probes."""
