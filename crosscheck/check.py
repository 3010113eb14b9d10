"""The whole crosscheck: rows of two journals in, a column beside each of the trader's rows out. Pure arrays."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from crosscheck.causality import Translation, check_causality, kernel_sched, own_kernel_rx
from crosscheck.clock import ClockEstimate, estimate_clock
from crosscheck.isn import MIRROR_DELAY_NS, Evidence, Fit, Sightings, find_origin
from crosscheck.match import Found, combine, match_stream, nothing_found
from crosscheck.model import (
    Causality,
    Clock,
    Column,
    Index,
    Matches,
    NetworkFigures,
    Pair,
    Rows,
    Span,
    TraderConnection,
    TraderSide,
    Unmatched,
    WireConnection,
    WireSide,
)
from crosscheck.network import network_figures
from crosscheck.pairing import candidates
from crosscheck.streams import Grouped, captured_stream
from journal.layout import ABSENT
from journal.wire import PacketFlag

_FOREVER: Final = 2**63 - 1
_LATE_NS: Final = 100_000_000  # as long as the capture waits for what the mirror may have delayed


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """What two journals say together.

    Attributes:
        inbound, outbound: the packets of the messages, beside the rows of `TraderSide.received` and `.sent`.
        clock: the bounds of θ, monitor clock − trader clock.
        causality: stamps against the wire.
        network: volume and losses of the paired connections.
        pairs: which captured connections each of the trader's is.
    """

    inbound: Matches
    outbound: Matches
    clock: ClockEstimate
    causality: Causality
    network: NetworkFigures
    pairs: list[Pair]


def crosscheck(trader: TraderSide, wire: WireSide) -> CrossCheck:
    """Find the packet of every message, and test every stamp that a packet can refute.

    Either journal may still grow: rows that are missing at its end leave messages AFTER_CAPTURE, or holes unknown.

    Args:
        trader: the trader's journal.
        wire: the capture's journal.
    """
    clock = ClockEstimate.one_clock() if wire.one_clock else estimate_clock(wire.probes)
    scheduled = kernel_sched(trader.sent, trader.transmitted)
    matching = _Matching(trader, wire, clock, scheduled)
    for connection in trader.connections:
        matching.match(connection)
    inbound, outbound = matching.matches()
    causality = check_causality(trader.sent, scheduled, outbound, wire, clock)
    return CrossCheck(
        inbound,
        outbound,
        clock,
        replace(causality, not_refutable=causality.not_refutable + len(trader.received)),
        network_figures(wire.packets, wire.losses, matching.inbound.streams, matching.outbound.streams),
        matching.pairs,
    )


class _Direction:
    """The messages of one direction, and what has been found of them.

    Args:
        rows: rows `journal.layout.RECEIVED` or `SENT`.
        when: their own times nearest to the wire, ns of the trader's clock, or ABSENT.
        passed: by when their packets had passed, likewise.
        inbound: whether the trader received them.
    """

    def __init__(self, rows: Rows, when: Column, passed: Column, *, inbound: bool) -> None:
        self.inbound = inbound
        self.streams: list[int] = []
        self.off = rows["off"].astype(np.int64)  # one that is none is 2⁶³ or more
        self._when = when
        self._passed = passed
        self._by_connection = Grouped(rows["conn"])
        self._packet = np.full(len(rows), -1, np.intp)
        self._reason = np.where(self.off < 0, Unmatched.NO_OFFSET, Unmatched.NO_CONNECTION).astype(np.uint8)

    def messages(self, connection: int) -> Index:
        """Return where the messages of a connection are that have an offset."""
        places = self._by_connection.places(connection)
        return places[self.off[places] >= 0]

    def evidence(self, messages: Index, translation: Translation) -> Evidence:
        """Return those of some messages whose time on the monitor's clock is bounded."""
        earliest, latest = translation.on_wire(self._when[messages])
        bounded = np.flatnonzero(earliest != ABSENT)
        return Evidence(self.off[messages], earliest, latest).take(bounded).widened(MIRROR_DELAY_NS)

    def settle(self, messages: Index, found: list[Found], otherwise: Unmatched) -> None:
        """Keep what captured connections say of some messages, or the reason why none of them can."""
        if found:
            self._packet[messages], self._reason[messages] = combine(found)
        else:
            self._reason[messages] = otherwise

    def matches(self, packets: Rows, translation: Translation) -> Matches:
        """Return the findings, without the packets that came too late to be what the trader's stamps are of.

        Where the mirror lost a packet that nothing followed, the capture takes its retransmission for the original; its
        sender waited for 200 ms at least, in Linux, before it sent again.
        """
        time = np.full(len(self._packet), ABSENT, np.int64)
        matched = self._packet >= 0
        time[matched] = packets["time"][self._packet[matched]]
        matched[matched] = (packets["flags"][self._packet[matched]] & PacketFlag.HARDWARE) == 0
        _, latest = translation.on_wire(self._passed)
        late = matched & (latest != ABSENT) & (time > latest + _LATE_NS)
        time[late], self._packet[late], self._reason[late] = ABSENT, -1, Unmatched.TOO_LATE
        return Matches(time, self._packet, self._reason)


class _Matching:
    """Matches connection by connection, so that it takes the memory of one of them."""

    def __init__(self, trader: TraderSide, wire: WireSide, clock: Clock, scheduled: Column) -> None:
        self._wire = wire
        known_ns = wire.packets["time"][:1] if wire.one_clock else wire.probes["t1"]
        self._translation = Translation(clock, known_ns)
        self._packets_of = Grouped(wire.packets["stream"])
        self._holes_of = Grouped(wire.losses["stream"])
        leaves = np.where(scheduled != ABSENT, scheduled, trader.sent["written"])
        self.inbound = _Direction(
            trader.received, own_kernel_rx(trader.received), trader.received["read"], inbound=True
        )
        self.outbound = _Direction(trader.sent, leaves, scheduled, inbound=False)
        self.pairs: list[Pair] = []
        self._candidates = candidates(trader.connections, wire.connections, self._when_open, self._when_seen)

    def matches(self) -> tuple[Matches, Matches]:
        """Return the findings, inbound and outbound."""
        packets, translation = self._wire.packets, self._translation
        return self.inbound.matches(packets, translation), self.outbound.matches(packets, translation)

    def match(self, connection: TraderConnection) -> None:
        """Find the packets of a connection's messages, both ways.

        A contested candidate counts when most stamps fit its packets. No more than most is asked: a stamp that does not
        fit may be false, and its message must keep its packet to be refuted by it.
        """
        directions = (self.inbound, self.outbound)
        messages = [direction.messages(connection.number) for direction in directions]
        accepted: list[int] = []
        found: list[list[Found]] = [[], []]
        otherwise = Unmatched.NO_CONNECTION
        for option in self._candidates.get(connection.number, []):
            streams = (option.inbound, option.outbound)
            both = [
                self._follow(*one, contested=option.contested)
                for one in zip(directions, streams, messages, strict=True)
            ]
            agreement = sum(fit.fits - fit.misfits for _, fit in both)
            if option.contested and agreement <= 0:
                if not agreement:
                    otherwise = Unmatched.CONNECTION_AMBIGUOUS
                continue
            accepted.append(option.number)
            for direction, stream, results, (result, _) in zip(directions, streams, found, both, strict=True):
                direction.streams.append(stream)
                results.append(result)
        for direction, rows, results in zip(directions, messages, found, strict=True):
            direction.settle(rows, results, otherwise)
        self.pairs.append(Pair(connection.number, accepted))

    def _follow(self, direction: _Direction, number: int, messages: Index, *, contested: bool) -> tuple[Found, Fit]:
        """Return the packets of some messages if a captured stream carried them, and how well their times agree.

        Times are asked only where they decide: which connection it is, or where its stream begins.
        """
        packets = self._packets_of.places(number)
        if not len(packets):
            return nothing_found(len(messages), Unmatched.NO_CONNECTION), Fit(0, 0, 0)
        stream = captured_stream(self._wire.packets, packets, self._wire.losses, self._holes_of.places(number))
        sightings = Sightings(stream)
        told = stream.isn is not None and not contested
        evidence = direction.evidence(messages[:0] if told else messages, self._translation)
        origin = find_origin(stream, sightings, evidence)
        if origin is None:
            return nothing_found(len(messages), Unmatched.ISN_AMBIGUOUS), Fit(0, 0, 0)
        found = match_stream(stream, origin, direction.off[messages], inbound=direction.inbound)
        return found, sightings.fit(origin.base, evidence)

    def _when_open(self, connection: TraderConnection) -> Span | None:
        opened = self._translation.roughly(connection.opened_ns)
        if opened is None:
            return None
        closed = None if connection.closed_ns is None else self._translation.roughly(connection.closed_ns)
        return opened[0], closed[1] if closed else _FOREVER

    def _when_seen(self, connection: WireConnection) -> Span | None:
        rows = np.concatenate([self._packets_of.places(2 * connection.number + side) for side in (0, 1)])
        time = self._wire.packets["time"][rows]
        return (int(time.min()), int(time.max())) if len(rows) else None
