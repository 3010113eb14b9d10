"""The flow table: which connection a segment belongs to."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.streams.flows import REORDER_NS, Flows, Found

CLIENT = 0x0A000001 << 16
FIN, SYN, RST, ACK = 1, 2, 4, 16
SYN_ACK = SYN | ACK
Made = Any  # a class of conftest.py, which cannot be imported


@pytest.fixture
def flows() -> Flows:
    """An empty table."""
    return Flows()


def find(flows: Flows, tcp: Made, *packets: Made) -> Found:
    """Find the connections of some packets."""
    return flows.find(tcp.segments_of(packets))


def test_both_directions_are_one_connection(flows: Flows, tcp: Made) -> None:
    """Side 0 is the lower endpoint, whoever speaks first."""
    found = find(flows, tcp, tcp.sent(1, 5), tcp.sent(0, 9), tcp.sent(1, 5, tunnel=7))
    assert [1, 0, 1] == found.side.tolist()
    assert found.slot[0] == found.slot[1] != found.slot[2]
    assert [(int(found.slot[0]), 0), (int(found.slot[2]), 2)] == found.opened
    assert 2 == len(flows)


def test_known_connections_do_not_begin_again(flows: Flows, tcp: Made) -> None:
    """The next batch finds the same slots."""
    first, second = (find(flows, tcp, tcp.sent(0, 9), tcp.sent(0, 9, client=5)) for _ in range(2))
    assert first.slot.tolist() == second.slot.tolist()
    assert [] == second.opened


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=40))
def test_colliding_hashes_are_told_apart(tcp: Made, flows_of: list[tuple[int, int, int]]) -> None:
    """With one hash for all flows, each key still has its own connection."""
    flows = Flows()
    flows._factors = [np.uint64(0)] * 3
    packets = [tcp.sent(0, 1, client=client, server=100 + server, tunnel=tunnel) for tunnel, client, server in flows_of]
    for part in (packets[:20], packets[20:]):
        for sent, slot in zip(part, find(flows, tcp, *part).slot.tolist() if part else [], strict=True):
            assert (sent.tunnel, sent.client, sent.server) == (flows.tunnel[slot], flows.low[slot], flows.high[slot])
    assert len(set(flows_of)) == len(flows)


def test_thousands_of_connections_fit(flows: Flows, tcp: Made) -> None:
    """The table grows, and finds all of them again."""
    packets = [tcp.sent(0, 1, client=client) for client in range(5_000)]
    slots = find(flows, tcp, *packets).slot
    assert 5_000 == len(set(slots.tolist())) == len(flows)
    assert slots.tolist() == find(flows, tcp, *packets).slot.tolist()


def test_consecutive_ports_do_not_collide_often(tcp: Made) -> None:
    """Whatever the factors: an entry lies close to where its hash points."""
    for _ in range(30):
        flows = Flows()
        find(flows, tcp, *(tcp.sent(0, 1, client=CLIENT + port, tunnel=4242) for port in range(1_000)))
        live = np.flatnonzero(flows._live)
        hashes = flows._hash(flows.tunnel[live], flows.low[live], flows.high[live])
        wanted = (hashes >> np.uint64(flows._shift)).astype(np.int64)
        places = np.flatnonzero(flows._table >= 0)
        at = places[np.argsort(flows._table[places])]
        assert np.mean((at - wanted) % len(flows._table)) < 2


def connections(tcp: Made, packets: list[Made], batch: int) -> list[int]:
    """Return which connection each packet belongs to, counted from 0 in the order in which they began."""
    flows, numbers, told, count = Flows(), dict[int, int](), [], 0
    for at in range(0, len(packets), batch):
        found = find(flows, tcp, *packets[at : at + batch])
        for slot, _ in found.opened:
            numbers[slot], count = count, count + 1
        told += [numbers[slot] for slot in found.slot.tolist()]
        for slot, _ in found.replaced:
            flows.release(np.array([slot]))
    return told


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        # Sent again, and answered twice.
        ([(0, 10, 0, SYN), (0, 10, 0, SYN), (1, 50, 11, SYN_ACK), (1, 50, 11, SYN_ACK), (0, 11, 51, ACK)], [0] * 5),
        # The ports are used again: the old connection's packets before the SYN stay its own.
        ([(0, 10, 0, SYN), (0, 11, 0, FIN), (0, 90, 0, SYN), (1, 77, 91, SYN_ACK), (0, 91, 78, ACK)], [0, 0, 1, 1, 1]),
        ([(0, 10, 0, SYN), (0, 20, 0, SYN), (0, 30, 0, SYN), (0, 31, 0, ACK)], [0, 1, 2, 2]),
        # The capture missed the new SYN, but not what answers it.
        ([(0, 10, 0, SYN), (1, 50, 11, SYN_ACK), (1, 99, 91, SYN_ACK)], [0, 0, 1]),
        # The answer came first, or acknowledges data that came with the SYN.
        ([(1, 50, 11, SYN_ACK), (0, 10, 0, SYN), (0, 11, 51, ACK)], [0] * 3),
        ([(0, 10, 0, SYN), (1, 50, 400, SYN_ACK)], [0] * 2),
        # A SYN in mid-stream is another connection, but soon after the first packet the mirror may have swapped them.
        ([(0, 11, 51, ACK), (0, 10, 0, SYN)], [0] * 2),
        ([(0, 11, 51, ACK), (0, 10, 0, SYN, REORDER_NS + 1)], [0, 1]),
    ],
)
def test_which_syn_begins_a_connection(tcp: Made, packets: list[Made], expected: list[int], batch: int) -> None:
    """A SYN of another first number does; the batches' cuts change nothing."""
    sent = [tcp.sent(side, seq, 0, ack, flags=flags, time_ns=sum(time)) for side, seq, ack, flags, *time in packets]
    assert expected == connections(tcp, sent, batch)


def test_other_flows_are_not_disturbed_by_a_new_connection(tcp: Made) -> None:
    """Only the packets of that flow move, also when several flows begin anew."""
    packets = []
    for number in range(4):
        for client in range(1, 6):
            flags = SYN if client % 2 else ACK
            packets += [tcp.sent(0, 10 * number, flags=flags, client=client), tcp.sent(0, 1, client=client)]
    whole = connections(tcp, packets, len(packets))
    assert whole == connections(tcp, packets, 1)
    assert 3 * 4 + 2 == len(set(whole))


def test_a_flood_of_syns_is_forgotten_first(tcp: Made) -> None:
    """Then closed connections, then idle ones."""
    flows = Flows(capacity=16)
    living = [tcp.sent(0, 1, client=client, time_ns=client) for client in range(1, 9)]
    closed = [tcp.sent(0, 1, client=client, flags=RST, time_ns=50) for client in (11, 12)]
    closed += [tcp.sent(side, 1, client=13, flags=FIN | ACK, time_ns=50) for side in (0, 1)]
    flood = [tcp.sent(0, 1, client=client, flags=SYN, time_ns=client) for client in range(100, 106)]
    find(flows, tcp, *flood, *living, *closed)
    assert 17 == len(flows)
    assert {100, 101, 102} == set(flows.low[flows.make_room()].tolist())
    find(flows, tcp, *(tcp.sent(0, 1, client=client, time_ns=60) for client in range(21, 29)))
    assert {103, 104, 105, 11, 12, 13, 1, 2} == set(flows.low[flows.make_room()].tolist())
    assert 14 == len(flows)
    assert not len(flows.make_room())
    assert [] == find(flows, tcp, *(tcp.sent(0, 1, client=client) for client in range(3, 9))).opened


def test_a_closed_half_is_not_closed(tcp: Made) -> None:
    """A FIN of one side alone ends nothing."""
    flows = Flows(capacity=1)
    half = [tcp.sent(0, 1, client=1, flags=FIN | ACK, time_ns=9) for _ in range(2)]
    find(flows, tcp, *half, tcp.sent(0, 1, client=2, time_ns=1))
    assert {2} <= set(flows.low[flows.make_room()].tolist())
