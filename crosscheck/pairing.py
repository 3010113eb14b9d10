"""Which captured connections may be a trader's connection: the same two ends, at a time that the clocks allow."""

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from crosscheck.model import Span, TraderConnection, WireConnection

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A captured connection that may be a trader's own.

    Attributes:
        number: of the captured connection.
        inbound, outbound: its streams, as the trader sees them.
        contested: whether another connection may be it as well, on either side, so that its stamps must prove it.
    """

    number: int
    inbound: int
    outbound: int
    contested: bool


def endpoint(text: str) -> Endpoint:
    """Return an `address:port` in a form that compares: no brackets, no zone, IPv4 in IPv6 as IPv4 (RFC 4291, 2.5.5.2).

    Raises:
        ValueError: it is none.
    """
    host, _, port = text.rpartition(":")
    address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), int(port)


def candidates(
    trader: Iterable[TraderConnection],
    wire: Iterable[WireConnection],
    when_open: Callable[[TraderConnection], Span | None],
    when_seen: Callable[[WireConnection], Span | None],
) -> dict[int, list[Candidate]]:
    """Return the captured connections that may be each of the trader's.

    One pair of ends may have several connections on either side: a port is used again, two tunnels carry one network or
    two, the capture met a silent connection anew. Where the clocks are bound, only those remain that were seen while
    the trader's was open. Where they are not and the counts are equal, connections that followed one another are
    paired in their order; otherwise all remain, contested.

    Args:
        trader: the trader's connections.
        wire: the captured ones.
        when_open: tells when a trader's connection was open at the earliest and at the latest; None when unknown.
        when_seen: tells when a captured connection's first and last packet came; None when it has none.

    Returns:
        By the trader's number, shape (its candidates,); nothing for those without any.
    """
    ours: defaultdict[frozenset[Endpoint], list[TraderConnection]] = defaultdict(list)
    theirs: defaultdict[frozenset[Endpoint], list[WireConnection]] = defaultdict(list)
    for connection in trader:
        ours[frozenset((endpoint(connection.local), endpoint(connection.remote)))].append(connection)
    for seen in wire:
        theirs[frozenset((endpoint(seen.a), endpoint(seen.b)))].append(seen)
    found: dict[int, list[Candidate]] = {}
    for ends, connections in ours.items():
        seen_there = [(seen, span) for seen in theirs.get(ends, []) if (span := when_seen(seen)) is not None]
        possible = _possible(connections, seen_there, when_open)
        claims = [seen.number for options in possible.values() for seen in options]
        for connection in connections:
            options = possible[connection.number]
            found[connection.number] = [
                _candidate(connection, seen, contested=len(options) > 1 or claims.count(seen.number) > 1)
                for seen in options
            ]
    return {number: options for number, options in found.items() if options}


def _possible(
    ours: list[TraderConnection],
    theirs: list[tuple[WireConnection, Span]],
    when_open: Callable[[TraderConnection], Span | None],
) -> dict[int, list[WireConnection]]:
    """Return by the trader's number which connections between the same ends it may be."""
    spans = {connection.number: when_open(connection) for connection in ours}
    if len(ours) == len(theirs) > 1 and None in spans.values():
        theirs = sorted(theirs, key=lambda one: one[1])
        ours = sorted(ours, key=lambda one: one.opened_ns)
        if _in_turn([span for _, span in theirs]) and _in_turn([(one.opened_ns, one.closed_ns) for one in ours]):
            return {mine.number: [seen] for mine, (seen, _) in zip(ours, theirs, strict=True)}
    return {
        number: [seen for seen, seen_span in theirs if span is None or _overlap(span, seen_span)]
        for number, span in spans.items()
    }


def _in_turn(spans: list[tuple[int, int | None]] | list[Span]) -> bool:
    """Tell whether each of some spans ends before the next begins; the last may be open."""
    return all(last is not None and last <= spans[next_][0] for next_, (_, last) in enumerate(spans[:-1], 1))


def _overlap(one: Span, other: Span) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _candidate(mine: TraderConnection, seen: WireConnection, *, contested: bool) -> Candidate:
    sent_by = 0 if endpoint(seen.a) == endpoint(mine.local) else 1
    streams = 2 * seen.number
    return Candidate(seen.number, inbound=streams + 1 - sent_by, outbound=streams + sent_by, contested=contested)
