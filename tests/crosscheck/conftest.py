"""A simulator with known truth: one world, seen by a trader and by a capture whose clock differs by θ.

Moments are ns after `START_NS` of the trader's clock, when a packet passes the tap.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
import pytest

from crosscheck.model import TraderConnection, TraderSide, WireConnection, WireSide
from journal.layout import ABSENT, RECEIVED, SENT, TRANSMITTED, StampFlag, TxEvent
from journal.wire import LOSS, PACKET, PROBE, LossCause, PacketFlag, TcpFlag

START_NS = 1_700_000_000_000_000_000
THETA_NS = 123_456_789
MS = 1_000_000
SECOND = 1000 * MS
LOCAL, REMOTE = "10.0.0.1:40000", "10.0.0.2:443"
WRAP = 2**33
RTO_NS = 200 * MS


class Fate(Enum):
    """What befell a packet, or its copy."""

    SEEN = auto()
    COPIED = auto()  # the mirror delivered it twice
    AGAIN = auto()  # sent again before an acknowledgement was seen
    AGAIN_ACKED = auto()  # sent again after one
    LATE = auto()
    RESENT = auto()  # lost by the network, sent again
    MIRROR_RESENT = auto()  # lost by the mirror, sent again all the same
    MIRROR = auto()  # lost by the mirror
    UNKNOWN = auto()  # never seen, and given up
    OPEN = auto()  # never seen, nothing decided yet


_HOLE = {
    Fate.LATE: LossCause.REORDERED,
    Fate.RESENT: LossCause.NETWORK,
    Fate.MIRROR_RESENT: LossCause.MIRROR,
    Fate.MIRROR: LossCause.MIRROR,
    Fate.UNKNOWN: LossCause.UNKNOWN,
}
# Flags of each row that the capture writes, and how much later than the original it comes.
_ROWS = {
    Fate.SEEN: [(PacketFlag.FIRST, 0)],
    Fate.COPIED: [(PacketFlag.FIRST, 0), (PacketFlag.SEEN | PacketFlag.COPY, 1000)],
    Fate.AGAIN: [(PacketFlag.FIRST, 0), (PacketFlag.SEEN | PacketFlag.UNACKED, RTO_NS)],
    Fate.AGAIN_ACKED: [(PacketFlag.FIRST, 0), (PacketFlag.SEEN, RTO_NS)],
    Fate.LATE: [(PacketFlag.FIRST | PacketFlag.LATE, MS)],
    Fate.RESENT: [(PacketFlag.FIRST | PacketFlag.RESENT, RTO_NS)],
    Fate.MIRROR_RESENT: [(PacketFlag.FIRST | PacketFlag.RESENT | PacketFlag.ACKED, RTO_NS)],
}
MATCHABLE = {Fate.SEEN, Fate.COPIED, Fate.AGAIN, Fate.AGAIN_ACKED, Fate.LATE}


@dataclass
class SimStream:
    """One direction of a connection.

    Attributes:
        numbers: its streams in the capture, one a tunnel.
        isn: position of its SYN.
        off: offset of the next byte.
    """

    world: "World"
    conn: int
    inbound: bool
    numbers: list[int]
    isn: int
    off: int = 0

    def packet(self, at_ns: int, *sizes: int, lead: int = 0, fate: Fate = Fate.SEEN) -> None:
        """Carry `lead` bytes of no message or of one that goes on, then whole messages of these sizes."""
        size = lead + sum(sizes)
        ids = [self._rows(number, at_ns, size, fate) for number in self.numbers]
        last = self.off + size - 1
        self.off += lead
        for message in sizes:
            self.off += message
            arrival = at_ns + (RTO_NS if fate in {Fate.RESENT, Fate.AGAIN} else 0)
            stamp = self.world.receive if self.inbound else self.world.send
            stamp(self, arrival if self.inbound else at_ns, self.off - 1, message, own=self.off - 1 == last)
            second = self.inbound and fate == Fate.AGAIN
            known = fate in MATCHABLE or (self.inbound and fate == Fate.RESENT)
            self.world.truth[self.inbound].append({row + second for row in ids if known})

    def _rows(self, number: int, at_ns: int, size: int, fate: Fate) -> int:
        position = self.isn + 1 + self.off
        times = [at_ns + later for _, later in _ROWS.get(fate, [])]
        for (flags, _), time in zip(_ROWS.get(fate, []), times, strict=True):
            self.world.wire_row(time, position, number, size, TcpFlag.ACK | TcpFlag.PSH, flags)
        if fate in _HOLE:
            closed = times[0] if times else at_ns + MS
            self.world.losses.append((at_ns, closed, position, number, size, _HOLE[fate]))
        return len(self.world.rows) - len(times)


@dataclass
class World:
    """Everything that happened, as the trader and the capture wrote it down."""

    theta_ns: int = THETA_NS
    rows: list[tuple[int, ...]] = field(default_factory=list)
    losses: list[tuple[int, ...]] = field(default_factory=list)
    received: list[tuple[int, ...]] = field(default_factory=list)
    sent: list[tuple[int, ...]] = field(default_factory=list)
    transmitted: list[tuple[int, ...]] = field(default_factory=list)
    connections: list[TraderConnection] = field(default_factory=list)
    captured: list[WireConnection] = field(default_factory=list)
    truth: dict[bool, list[set[int]]] = field(default_factory=lambda: {True: [], False: []})

    def connect(
        self,
        at_ns: int = 0,
        closed_ns: int | None = None,
        *,
        local: str = LOCAL,
        remote: str = REMOTE,
        tunnels: tuple[int, ...] = (0,),
        isn: int = WRAP - 500,
        syn: bool = True,
    ) -> tuple[SimStream, SimStream]:
        """Open a connection; return what the trader receives and what it sends. The trader is side b."""
        number = len(self.connections) + 1
        closed = None if closed_ns is None else START_NS + closed_ns
        self.connections.append(TraderConnection(number, local, remote, START_NS + at_ns, closed))
        first = len(self.captured) + 1
        wires = range(first, first + len(tunnels))
        self.captured += [WireConnection(n, remote, local, tunnel) for n, tunnel in zip(wires, tunnels, strict=True)]
        streams = (
            SimStream(self, number, inbound=True, numbers=[2 * wire for wire in wires], isn=isn),
            SimStream(self, number, inbound=False, numbers=[2 * wire + 1 for wire in wires], isn=isn - 77_777),
        )
        for stream in streams if syn else ():
            for wire in stream.numbers:
                self.wire_row(at_ns - MS, stream.isn, wire, 0, TcpFlag.SYN, 0)
        return streams

    def wire_row(self, at_ns: int, position: int, stream: int, size: int, tcp: int, flags: int) -> None:
        """Let the capture see a packet."""
        self.rows.append((at_ns, position, stream, size, tcp, flags))

    def receive(self, stream: SimStream, at_ns: int, off: int, size: int, *, own: bool) -> None:
        """Let the trader stamp a message: the kernel 2 µs behind the tap, the read 10 µs."""
        now = START_NS + at_ns
        flags = 0 if own else StampFlag.RX_SHARED
        trace = len(self.received) + 1
        hops = (ABSENT, ABSENT, now + 2000, now + 10_000, now + 20_000)
        self.received.append((0, trace, off, 0, stream.conn, 1, size, 1, flags, *hops))

    def send(self, stream: SimStream, at_ns: int, off: int, size: int, *, own: bool) -> None:
        """Let the trader send a message: written 20 µs before the tap, scheduled 5 µs before it."""
        del own
        now = START_NS + at_ns
        order = len(self.sent) + 1
        hops = (now - 40_000, now - 30_000, now - 20_000, now + 9000)
        self.sent.append((0, 1000 + order, off, order, stream.conn, 1, size, 2, 0, *hops))
        for event, time in ((TxEvent.SCHED, now - 5000), (TxEvent.DRIVER, now - 1000)):
            self.transmitted.append((0, off, stream.conn, event, time))

    def trader_side(self) -> TraderSide:
        """Return the trader's journal."""
        return TraderSide(
            np.array(self.received, RECEIVED),
            np.array(self.sent, SENT),
            np.array(self.transmitted, TRANSMITTED),
            self.connections,
        )

    def wire_side(self, from_ns: int = -SECOND, until_ns: int = 1 << 60, **changes: object) -> WireSide:
        """Return the capture's journal if it saw these moments only; rows that exist are numbered in `self.place`."""
        kept = [n for n, row in enumerate(self.rows) if from_ns <= row[0] < until_ns]
        kept.sort(key=lambda n: self.rows[n][0])
        self.place = {n: place for place, n in enumerate(kept)}
        packets = np.zeros(len(kept), PACKET)
        for place, name in enumerate(("time", "position", "stream", "size", "tcp", "flags")):
            packets[name] = [self.rows[n][place] for n in kept]
        seen: set[tuple[int, int]] = set()
        for row in packets:
            byte = int(row["stream"]), int(row["position"])
            if row["size"] and byte not in seen:
                row["flags"] |= PacketFlag.FIRST  # what passed before the capture began is not known to it
                row["flags"] &= ~(PacketFlag.SEEN | PacketFlag.COPY | PacketFlag.UNACKED)
            seen.add(byte)
        packets["time"] += START_NS + self.theta_ns
        packets["frame"] = packets["size"] + 66
        losses = np.zeros(len(self.losses), LOSS)
        for place, name in enumerate(("opened", "closed", "position", "stream", "size", "cause")):
            losses[name] = [hole[place] for hole in self.losses]
        losses = losses[(losses["opened"] >= from_ns) & (losses["closed"] < until_ns)]
        for stream in np.unique(packets["stream"]):
            self._wrap(packets, losses, stream)
        sides = {"probes": self._probes(), "connections": self.captured} | changes
        return WireSide(packets, losses, **sides)

    def right(self, packet: np.ndarray, *, inbound: bool) -> np.ndarray:
        """Tell of each message whether this is its packet; `packet` is -1 where none was found."""
        truth = self.truth[inbound]
        places = [{self.place[row] for row in rows if row in self.place} for rows in truth]
        return np.array([found in rows for found, rows in zip(packet.tolist(), places, strict=True)], bool)

    def _wrap(self, packets: np.ndarray, losses: np.ndarray, stream: int) -> None:
        """Count positions from the first that was seen, as the capture does: it lies in [2³², 2³³)."""
        mine, holes = packets["stream"] == stream, losses["stream"] == stream
        first = int(packets["position"][mine][0])
        shift = np.uint64(first - (first % 2**32 + 2**32))
        packets["position"][mine] -= shift
        losses["position"][holes] -= shift

    def _probes(self) -> np.ndarray:
        """Return a probe each 50 ms, 5 µs each way, as long as anything happened."""
        moments = [row[0] for row in self.rows] or [0]
        t1 = np.arange(min(moments) - SECOND, max(moments) + SECOND, 50 * MS) + START_NS
        probes = np.zeros(len(t1), PROBE)
        probes["number"] = np.arange(len(t1))
        for name, clock, later in (
            ("t1", self.theta_ns, 0),
            ("t2", 0, 5000),
            ("t3", 0, 9000),
            ("t4", self.theta_ns, 14_000),
        ):
            probes[name] = t1 + clock + later
        return probes


@pytest.fixture
def world() -> World:
    """A world in which nothing has happened yet."""
    return World()


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """Makes worlds, for tests that need several."""
    return World


@pytest.fixture(scope="session")
def fate() -> dict[str, Fate]:
    """What can befall a packet, by its name."""
    return dict(Fate.__members__)
