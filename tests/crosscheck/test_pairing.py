"""Ends that are the same however they are written, and which connections between them are possible."""

import pytest

from crosscheck.model import Span, TraderConnection, WireConnection
from crosscheck.pairing import Candidate, candidates, endpoint

LOCAL, REMOTE = "10.0.0.1:40000", "10.0.0.2:443"


def paired(ours: list[Span | None], theirs: list[Span | None], *, clock: bool = True) -> dict[int, list[int]]:
    """Return which captured connections the trader's may be, when all are between the same ends."""
    trader = [TraderConnection(n, LOCAL, REMOTE, span[0], span[1]) for n, span in enumerate(ours, 1) if span]
    wire = [WireConnection(n, REMOTE, LOCAL, 0) for n in range(1, len(theirs) + 1)]
    found = candidates(
        trader,
        wire,
        lambda one: (one.opened_ns, one.closed_ns or 1 << 60) if clock else None,
        lambda one: theirs[one.number - 1],
    )
    return {number: [option.number for option in options] for number, options in found.items()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.0.0.1:443", "::ffff:10.0.0.1:443"),
        ("[2001:db8::1]:443", "2001:DB8:0:0::1:443"),
        ("fe80::1%eth0:9", "[fe80::1]:9"),
    ],
)
def test_an_end_compares_however_it_is_written(one: str, other: str) -> None:
    """Brackets, zones, capitals, zeros, and IPv4 on a socket of both families."""
    assert endpoint(one) == endpoint(other)


@pytest.mark.parametrize("text", ["10.0.0.1", "nowhere:1", "10.0.0.1:http"])
def test_what_is_no_end_is_refused(text: str) -> None:
    """A journal that says so is wrong."""
    with pytest.raises(ValueError, match=r"invalid literal|does not appear"):
        endpoint(text)


@pytest.mark.parametrize(("a", "b", "inbound", "outbound"), [(REMOTE, LOCAL, 14, 15), (LOCAL, REMOTE, 15, 14)])
def test_the_streams_are_named_as_the_trader_sees_them(a: str, b: str, inbound: int, outbound: int) -> None:
    """Whichever side the capture met first."""
    trader = [TraderConnection(1, LOCAL, REMOTE, 0, None)]
    found = candidates(trader, [WireConnection(7, a, b, 0)], lambda _: None, lambda _: (0, 1))
    assert {1: [Candidate(7, inbound, outbound, contested=False)]} == found


def test_a_connection_of_other_ends_or_without_packets_is_none() -> None:
    """Nor is one from another time."""
    other = WireConnection(1, "10.0.0.2:444", LOCAL, 0)
    assert {} == candidates([TraderConnection(1, LOCAL, REMOTE, 0, None)], [other], lambda _: None, lambda _: (0, 1))
    assert {} == paired([(0, 10)], [None])
    assert {} == paired([(0, 10)], [(11, 20)])


def test_time_tells_connections_apart() -> None:
    """Where it does not, all that overlap remain."""
    assert {1: [1], 2: [2]} == paired([(0, 10), (20, 30)], [(0, 11), (19, 40)])
    assert {1: [1, 2], 2: [2]} == paired([(0, 25), (26, 30)], [(0, 11), (19, 40)])
    assert {2: [1]} == paired([(0, 10), (20, 30)], [(19, 40)])


def test_without_a_clock_order_tells_when_nothing_is_missing() -> None:
    """One too few, or two at once, and all remain."""
    assert {1: [2], 2: [1]} == paired([(0, 10), (20, 30)], [(95, 99), (50, 60)], clock=False)
    assert {1: [1], 2: [1]} == paired([(0, 10), (20, 30)], [(50, 60)], clock=False)
    assert {1: [1, 2], 2: [1, 2]} == paired([(0, 10), (20, 30)], [(50, 60), (55, 70)], clock=False)
    assert {1: [1, 2], 2: [1, 2]} == paired([(0, 10), (5, 30)], [(50, 60), (61, 70)], clock=False)


def test_a_connection_that_others_may_be_is_contested() -> None:
    """Its stamps must prove it."""
    trader = [TraderConnection(1, LOCAL, REMOTE, 0, None), TraderConnection(2, LOCAL, REMOTE, 0, None)]
    found = candidates(trader, [WireConnection(1, REMOTE, LOCAL, 0)], lambda _: None, lambda _: (0, 1))
    assert [True, True] == [option.contested for options in found.values() for option in options]
