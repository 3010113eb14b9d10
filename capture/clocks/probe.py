"""Clock probes: what travels between monitor and trader, and the monitor's side of it.

A probe and its reply have the same size, so a responder amplifies nothing. All fields are big-endian:

    4s magic "WSCP" | u8 version | u8 kind: 1 probe, 2 reply | u16 0 | u64 session | u64 number
    | i64 T2 | u64 number of the previous reply | i64 T3 of the previous reply

Of a probe the last three are zero. A session is a random number, so that a reply to somebody else, or to an agent that
ran before, is not taken for an answer; probes count from 1. T1 and T4 are the monitor's and never travel. T3 of a reply
is known only after it left, so the next reply of the session brings it; 0 numbers none.

θ = monitor clock − trader clock obeys θ ≥ T1 − T2 and θ ≤ T4 − T3 as long as T1 and T3 are not later than the true
departures, T2 and T4 not earlier than the true arrivals; `udp_stamps` says why its stamps are so.

`Prober` is the protocol and reads no clock; `ProbeSocket` is its shell in the agent's loop.
"""

import math
import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from capture.clocks import udp_stamps
from capture.errors import CannotCapture
from journal.layout import ABSENT

DATAGRAM: struct.Struct = struct.Struct("!4sBBHQQqQq")
MAGIC = b"WSCP"
VERSION = 1
PROBE, REPLY = 1, 2

ProbeRow = tuple[int, int, int, int, int]  # number, T1, T2, T3, T4: `journal.wire.PROBE` behind its seal

_PATIENCE_S = 2.0
_MIN_PATIENCE = 4  # probes
_SECOND = 1_000_000_000
_READS = 64  # in one turn


@dataclass(slots=True)
class ProbeCounts:
    """What became of the probes.

    Attributes:
        sent: probes made.
        answered: probes whose reply came in time.
        lost: probes given up without a reply.
        late: replies to probes that had been given up.
        duplicated: further replies to an answered probe.
        malformed: datagrams that are no reply of this session.
        refused: errors of the network, such as a port where nobody listens.
    """

    sent: int = 0
    answered: int = 0
    lost: int = 0
    late: int = 0
    duplicated: int = 0
    malformed: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Stamps:
    t1: int
    t2: int = ABSENT
    t3: int = ABSENT
    t4: int = ABSENT
    answered: bool = False


class Prober:
    """The monitor's side of the protocol: makes probes, understands replies, gives rows.

    A probe is waited for until a fixed number of later ones was sent, so state is bounded and needs no clock.

    Args:
        session: 64 random bits.
        interval_ns: mean time between probes.
        uniform: gives random numbers in [0, 1). Each pause is drawn from half to one and a half intervals, so that
            probes do not beat with anything periodic.

    Attributes:
        counts: what became of the probes.
    """

    def __init__(self, session: int, interval_ns: int, uniform: Callable[[], float]) -> None:
        self.counts = ProbeCounts()
        self._session = session
        self._interval_ns = interval_ns
        self._uniform = uniform
        self._patience = max(_MIN_PATIENCE, math.ceil(_PATIENCE_S * _SECOND / interval_ns))
        self._due_ns: int | None = None
        self._open: dict[int, _Stamps] = {}  # by number, in the order of numbers
        self._lost: dict[int, None] = {}  # the latest numbers given up without a reply
        self._rows: list[ProbeRow] = []

    def next_send_time(self, now_ns: int) -> int:
        """Return when the next probe is due, ns; a clock that was set back makes it due now."""
        if self._due_ns is None or self._due_ns > now_ns + 2 * self._interval_ns:
            return now_ns
        return self._due_ns

    def datagram(self, now_ns: int) -> bytes:
        """Return the next probe.

        Args:
            now_ns: the monitor's clock, read just before the send: T1 until `departed` knows better.
        """
        self.counts.sent += 1
        number = self.counts.sent
        self._open[number] = _Stamps(now_ns)
        self._due_ns = now_ns + round(self._interval_ns * (0.5 + self._uniform()))
        self._close()
        return DATAGRAM.pack(MAGIC, VERSION, PROBE, 0, self._session, number, 0, 0, 0)

    def departed(self, data: bytes, t1_ns: int) -> None:
        """Take the transmit stamp of a probe; before its reply, else it comes too late to matter.

        Args:
            data: the probe as it was sent.
            t1_ns: the stamp, ns of the monitor's clock.
        """
        fields = parse(data, PROBE)
        if fields is not None and fields[0] == self._session and (stamps := self._open.get(fields[1])):
            stamps.t1 = t1_ns

    def on_reply(self, data: bytes, t4_ns: int) -> None:
        """Take a datagram that came; one that is no answer is counted and nothing else.

        Args:
            data: the datagram.
            t4_ns: when it arrived, ns of the monitor's clock.
        """
        fields = parse(data, REPLY)
        if fields is None or fields[0] != self._session or not 0 < fields[1] <= self.counts.sent:
            self.counts.malformed += 1
            return
        _, number, t2, previous, t3 = fields
        if (left := self._open.get(previous)) is not None and left.t3 == ABSENT:
            left.t3 = t3
        stamps = self._open.get(number)
        if stamps is not None and not stamps.answered:
            stamps.t2, stamps.t4, stamps.answered = t2, t4_ns, True
            self.counts.answered += 1
        elif number in self._lost:
            self.counts.late += 1
        else:
            self.counts.duplicated += 1
        self._close()

    def take_rows(self) -> list[ProbeRow]:
        """Return the answered probes that nothing more is to be learnt of, in the order of their numbers."""
        rows, self._rows = self._rows, []
        return rows

    def finish(self) -> list[ProbeRow]:
        """Give up what is open and return all rows that are left."""
        while self._open:
            self._close_first()
        return self.take_rows()

    def _close(self) -> None:
        while self._open:
            number = next(iter(self._open))
            stamps = self._open[number]
            if number + self._patience > self.counts.sent and not (stamps.answered and stamps.t3 != ABSENT):
                return
            self._close_first()

    def _close_first(self) -> None:
        number = next(iter(self._open))
        stamps = self._open.pop(number)
        if stamps.answered:
            self._rows.append((number, stamps.t1, stamps.t2, stamps.t3, stamps.t4))
            return
        self.counts.lost += 1
        self._lost[number] = None
        if len(self._lost) > 2 * self._patience:
            del self._lost[next(iter(self._lost))]


def parse(data: bytes, kind: int) -> tuple[int, int, int, int, int] | None:
    """Return session, number, T2, previous number and its T3 of a well-formed datagram of this kind, else None."""
    if len(data) != DATAGRAM.size:
        return None
    magic, version, found, reserved, *fields = DATAGRAM.unpack(data)
    if (magic, version, found, reserved) != (MAGIC, VERSION, kind, 0):
        return None
    session, number, t2, previous, t3 = fields
    return session, number, t2, previous, t3


class ProbeSocket:
    """A prober with its socket, for a loop that polls. It never blocks.

    Poll `fileno()` for POLLIN; POLLERR, which poll always reports, says that transmit stamps are there, and
    `on_readable` fetches those too. What the network refuses is counted; the next probe tries again.

    Args:
        host, port: the responder's.
        rate: probes per second in the mean.

    Raises:
        CannotCapture: the host has no address, or the machine no way to it.
    """

    def __init__(self, host: str, port: int, *, rate: float = 20.0) -> None:
        self._prober = Prober(secrets.randbits(64), round(_SECOND / rate), secrets.SystemRandom().random)
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise CannotCapture(f"the clock responder {host} port {port} has no address: {error}") from error
        try:
            self._socket.settimeout(0)
            self.stamped = udp_stamps.enable(self._socket)
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise CannotCapture(f"the clock responder {host} port {port} cannot be reached: {error}") from error

    @property
    def counts(self) -> dict[str, int]:
        """What became of the probes, by the names of `ProbeCounts`."""
        return asdict(self._prober.counts)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._socket.fileno()

    def on_timer(self, now_ns: int) -> int:
        """Send a probe if one is due.

        Args:
            now_ns: CLOCK_REALTIME, ns.

        Returns:
            How long until the next one is due, ns.
        """
        if self._prober.next_send_time(now_ns) <= now_ns:
            now_ns = time.time_ns()
            try:
                self._socket.send(self._prober.datagram(now_ns))
            except OSError:  # also a refusal of the probe before
                self._prober.counts.refused += 1
            self._take_departures()
        return max(0, self._prober.next_send_time(now_ns) - now_ns)

    def on_readable(self) -> list[ProbeRow]:
        """Read what came; also when nothing did, for rows that time has closed.

        Returns:
            Rows for the journal, in the order of their numbers.
        """
        self._take_departures()  # a probe's stamp is in its queue before the reply can be
        for _ in range(_READS):
            try:
                data, t4_ns, _ = udp_stamps.receive(self._socket, DATAGRAM.size + 1)
            except BlockingIOError:
                break
            except OSError:
                self._prober.counts.refused += 1
                break
            self._prober.on_reply(data, time.time_ns() if t4_ns == ABSENT else t4_ns)
        return self._prober.take_rows()

    def finish(self) -> list[ProbeRow]:
        """Return the rows of the last probes; no more will be sent."""
        return self.on_readable() + self._prober.finish()

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()

    def _take_departures(self) -> None:
        for data, t1_ns in udp_stamps.departures(self._socket, DATAGRAM.size):
            self._prober.departed(data, t1_ns)
