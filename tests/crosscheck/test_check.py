"""Two journals of a simulated world: every match is the truth, and what is not known is called by its reason."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosscheck.check import CrossCheck, crosscheck
from crosscheck.model import Matches, Unmatched

MS = 1_000_000
SECOND = 1000 * MS
World = Any  # what conftest simulates
Streams = Any


def talk(streams: Streams, moments: Iterable[int], rng: np.random.Generator | None = None, size: int = 146) -> None:
    """Let a feed tell a message at each moment, and every third be answered by an order."""
    inbound, outbound = streams
    for number, at_ns in enumerate(moments):
        inbound.packet(int(at_ns), size if rng is None else int(rng.integers(90, 900)))
        if number % 3 == 0:
            outbound.packet(int(at_ns) + 100_000, size if rng is None else int(rng.integers(200, 260)))


def irregular(count: int, mean_ns: int = 20 * MS, seed: int = 1) -> np.ndarray:
    """Return moments with pauses of every length."""
    return np.random.default_rng(seed).exponential(mean_ns, count).cumsum().astype(np.int64)


def checked(world: World, **capture: object) -> CrossCheck:
    """Return the crosscheck of what the world's two journals hold, and see that no match is wrong."""
    wire = world.wire_side(**capture)
    found = crosscheck(world.trader_side(), wire)
    for inbound, matches in ((True, found.inbound), (False, found.outbound)):
        wrong = (matches.packet >= 0) & ~world.right(matches.packet, inbound=inbound)
        assert [] == np.flatnonzero(wrong).tolist()
        matched = matches.packet >= 0
        assert matched.tolist() == (matches.reason == Unmatched.MATCHED).tolist()
        assert wire.packets["time"][matches.packet[matched]].tolist() == matches.time[matched].tolist()
    return found


def reasons(matches: Matches) -> Counter[Unmatched]:
    return Counter(Unmatched(reason) for reason in matches.reason.tolist())


def test_every_message_has_its_packet_where_the_syn_was_seen(world: World) -> None:
    """Positions wrap at 2³² on the way, messages share packets or take several."""
    inbound, outbound = streams = world.connect()
    talk(streams, irregular(50), np.random.default_rng(2))
    inbound.packet(SECOND + 500 * MS, 100, 200, 300)
    inbound.packet(SECOND + 600 * MS, lead=1400)
    inbound.packet(SECOND + 601 * MS, 700)
    outbound.packet(SECOND + 700 * MS, 90, 91)
    found = checked(world)
    assert {Unmatched.MATCHED: 54} == reasons(found.inbound)
    assert {Unmatched.MATCHED: 19} == reasons(found.outbound)
    assert ([1], 0) == (found.pairs[0].wire, found.causality.refuted)


@pytest.mark.parametrize("equal", [True, False])
def test_a_capture_that_began_later_finds_the_first_sequence_numbers(world: World, *, equal: bool) -> None:
    """Pauses single out the truth, also where all messages have one size."""
    talk(world.connect(), irregular(300), None if equal else np.random.default_rng(3))
    found = checked(world, from_ns=SECOND)
    assert {Unmatched.MATCHED, Unmatched.BEFORE_CAPTURE} == set(reasons(found.inbound)) == set(reasons(found.outbound))
    assert found.inbound.matched > 200


def test_a_feed_that_never_pauses_is_ambiguous_in_mid_stream(world: World) -> None:
    """Every shift by one message fits as well; with its SYN the same feed is matched."""
    inbound, _ = world.connect()
    for number in range(2000):
        inbound.packet(number * MS, 146)
    assert {Unmatched.ISN_AMBIGUOUS: 2000} == reasons(checked(world, from_ns=SECOND).inbound)
    assert {Unmatched.MATCHED: 2000} == reasons(checked(world).inbound)


def test_without_probes_a_stream_without_syn_is_ambiguous(world: World) -> None:
    """Sizes alone prove nothing. With one clock no probe is needed."""
    talk(world.connect(), irregular(300), np.random.default_rng(3))
    none = world.wire_side().probes[:0]
    assert {Unmatched.ISN_AMBIGUOUS} == set(reasons(checked(world, from_ns=SECOND, probes=none).inbound))
    assert {Unmatched.MATCHED} == set(reasons(checked(world, probes=none).inbound))
    world.theta_ns = 0
    found = checked(world, from_ns=SECOND, probes=none, one_clock=True)
    assert Unmatched.ISN_AMBIGUOUS not in reasons(found.inbound)


def test_one_false_stamp_in_mid_stream_proves_no_rival(world: World) -> None:
    """The truth no longer fits every stamp, so nothing is matched; wrong would be worse."""
    talk(world.connect(), irregular(300))
    world.received[200] = (*world.received[200][:11], world.received[200][11] + 500 * MS, *world.received[200][12:])
    assert {Unmatched.ISN_AMBIGUOUS} == set(reasons(checked(world, from_ns=SECOND).inbound))


FATES = {
    "COPIED": (Unmatched.MATCHED, Unmatched.MATCHED),
    "AGAIN": (Unmatched.RESENT, Unmatched.MATCHED),
    "AGAIN_ACKED": (Unmatched.MATCHED, Unmatched.MATCHED),
    "LATE": (Unmatched.MATCHED, Unmatched.MATCHED),
    "RESENT": (Unmatched.NETWORK_LOST, Unmatched.NETWORK_LOST),
    "MIRROR_RESENT": (Unmatched.MIRROR_LOST, Unmatched.MIRROR_LOST),
    "MIRROR": (Unmatched.MIRROR_LOST, Unmatched.MIRROR_LOST),
    "UNKNOWN": (Unmatched.UNKNOWN_LOSS, Unmatched.UNKNOWN_LOSS),
    "OPEN": (Unmatched.UNKNOWN_LOSS, Unmatched.UNKNOWN_LOSS),
}


@pytest.mark.parametrize("name", FATES)
def test_every_fate_has_its_reason(world: World, fate: dict[str, Any], name: str) -> None:
    """What befell a packet is what its message is told."""
    for stream, reason in zip(world.connect(), FATES[name], strict=True):
        stream.packet(0, 100)
        stream.packet(10 * MS, 100, fate=fate[name])
        stream.packet(20 * MS, 100)
        matches = checked(world).inbound if stream.inbound else checked(world).outbound
        assert [0, reason, 0] == matches.reason.tolist()


def test_what_passed_outside_of_the_capture_is_called_so(world: World) -> None:
    """A capture that ended, or has not come so far yet; a stamp without an offset; a connection never seen."""
    talk(world.connect(), [0, 10 * MS, 20 * MS])
    unseen, _ = world.connect(remote="10.0.0.3:443")
    unseen.packet(0, 100)
    world.rows = [row for row in world.rows if row[2] < 4]
    world.truth[True][-1] = set()
    world.received.append((0, 9, 2**64 - 1, *world.received[0][3:]))
    world.truth[True].append(set())
    expected = [Unmatched.MATCHED, *[Unmatched.AFTER_CAPTURE] * 2, Unmatched.NO_CONNECTION, Unmatched.NO_OFFSET]
    assert expected == checked(world, until_ns=5 * MS).inbound.reason.tolist()


def test_a_port_that_is_used_again_makes_two_connections(world: World) -> None:
    """Each has its own packets: by the clock, or in their order when no clock is known."""
    talk(world.connect(0, 3 * SECOND), irregular(40))
    talk(world.connect(20 * SECOND, 30 * SECOND), irregular(40) + 20 * SECOND)
    wire = world.wire_side()
    for found in (checked(world), checked(world, probes=wire.probes[:0])):
        assert [[1], [2]] == [pair.wire for pair in found.pairs]
        assert {Unmatched.MATCHED: 80} == reasons(found.inbound)


def test_connections_that_follow_at_once_are_told_apart_by_their_stamps(world: World) -> None:
    """The clock alone leaves both; only one fits. Without a clock and with one of them missing, nothing is said."""
    talk(world.connect(0, None), irregular(40, MS), np.random.default_rng(1))
    talk(world.connect(100 * MS), irregular(40, MS, 2) + 100 * MS, np.random.default_rng(2))
    assert [[1], [2]] == [pair.wire for pair in checked(world).pairs]
    wire = world.wire_side()
    found = checked(world, probes=wire.probes[:0])
    assert {Unmatched.CONNECTION_AMBIGUOUS: 80} == reasons(found.inbound)
    found = checked(world, connections=world.captured[1:])
    assert {Unmatched.NO_CONNECTION: 40, Unmatched.MATCHED: 40} == reasons(found.inbound)


def test_two_tunnels_with_the_same_connection_leave_it_open_which_tap_is_meant(world: World) -> None:
    """Both fit. Where one of them carries another network with the same addresses, the stamps tell."""
    talk(world.connect(tunnels=(7, 8)), irregular(40))
    found = checked(world)
    assert {Unmatched.CONNECTION_AMBIGUOUS: 40} == reasons(found.inbound)
    other = world.connect(tunnels=(9,), local="10.9.9.9:1")
    talk(other, irregular(40, seed=5))
    world.connections.pop()
    world.captured = [world.captured[0], replace(world.captured[2], a="10.0.0.2:443", b="10.0.0.1:40000")]
    world.received, world.sent = world.received[:40], world.sent[:14]
    world.truth = {True: world.truth[True][:40], False: world.truth[False][:14]}
    assert {Unmatched.MATCHED: 40} == reasons(checked(world).inbound)


def test_a_connection_that_the_capture_met_anew_is_matched_in_both_parts(world: World) -> None:
    """After a long silence the capture has forgotten it; the second part has no SYN, so its first message stays out."""
    inbound, _ = world.connect()
    for at_ns in (0, 100 * MS):
        inbound.packet(at_ns, 146)
    world.captured.append(replace(world.captured[0], number=2))
    inbound.numbers = [4]
    for at_ns in irregular(100) + 5 * SECOND:
        inbound.packet(int(at_ns), 146)
    found = checked(world)
    assert [1, 2] == found.pairs[0].wire
    assert {Unmatched.MATCHED: 101, Unmatched.AFTER_CAPTURE: 1} == reasons(found.inbound)


@pytest.mark.parametrize("hop", ["written", "kernel_sched"])
def test_a_stamp_that_is_later_than_its_packet_is_the_only_violation(world: World, hop: str) -> None:
    """The interval stays as it was, and the message keeps its packet."""
    talk(world.connect(), irregular(60))
    before = checked(world)
    trader, wire = world.trader_side(), world.wire_side()
    if hop == "written":
        trader.sent["written"][7] += MS
    else:
        trader.transmitted["time"][14] += MS
    found = crosscheck(trader, wire)
    late = MS - {"written": 20_000, "kernel_sched": 5000}[hop]
    assert [(1008, 8, 7, hop)] == [(v.trace, v.order, v.row, v.hop) for v in found.causality.violations]
    assert late - 10_010 <= found.causality.violations[0].by_ns <= late
    assert (1, before.causality.unrefuted - 1) == (found.causality.refuted, found.causality.unrefuted)
    assert before.clock == found.clock
    assert before.outbound.packet.tolist() == found.outbound.packet.tolist()


def test_an_inbound_stamp_refutes_nothing(world: World) -> None:
    """The mirror's copy and the trader's own follow the same packet in either order."""
    talk(world.connect(), irregular(60))
    trader = world.trader_side()
    trader.received["kernel_rx"][5] -= MS
    found = crosscheck(trader, world.wire_side())
    assert ([], 0, 60) == (found.causality.violations, found.causality.refuted, found.causality.not_refutable)
    assert 40 == found.causality.unrefuted


def test_a_drift_of_twenty_ppm_accuses_nobody(world: World) -> None:
    """The capture's clock runs fast: θ is taken at the time of each packet."""
    talk(world.connect(), irregular(400, 100 * MS), np.random.default_rng(4))
    trader, wire = world.trader_side(), world.wire_side(from_ns=SECOND)
    start = wire.probes["t1"][0]
    for rows, name in ((wire.packets, "time"), (wire.probes, "t1"), (wire.probes, "t4")):
        rows[name] += ((rows[name] - start) // 1_000_000) * 20
    found = crosscheck(trader, wire)
    assert (0, 0) == (found.causality.refuted, reasons(found.inbound)[Unmatched.ISN_AMBIGUOUS])
    assert found.causality.unrefuted > 200


def test_empty_journals_are_checked(world: World) -> None:
    """Nothing is known, nothing is claimed, nothing fails."""
    found = crosscheck(world.trader_side(), world.wire_side())
    assert (0, 0, [], 0) == (
        len(found.inbound.time),
        found.outbound.matched,
        found.pairs,
        found.network.inbound.packets,
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_match_is_the_truth_or_none(
    make_world: Callable[[], World], fate: dict[str, Any], data: st.DataObject
) -> None:
    """Under every mixture of losses, copies, reordering and retransmission, with the capture begun at any moment."""
    world = make_world()
    fates = st.sampled_from([fate["SEEN"]] * 12 + list(fate.values()))
    sizes = st.sampled_from([146]) if data.draw(st.booleans()) else st.integers(60, 1400)
    gaps = st.sampled_from([50_000, MS, 4 * MS, 30 * MS, 300 * MS])
    packets = st.lists(st.tuples(gaps, st.lists(sizes, min_size=1, max_size=3), fates), min_size=1, max_size=60)
    for stream in world.connect():
        at_ns = 0
        for gap, messages, befallen in data.draw(packets):
            at_ns += gap
            stream.packet(at_ns, *messages, fate=befallen)
    checked(world, from_ns=data.draw(st.sampled_from([-SECOND, 0, 40 * MS, 200 * MS, SECOND])))


def test_a_packet_that_came_too_late_is_one_sent_again(world: World) -> None:
    """The mirror lost the last packet each way, and nothing followed it but its retransmission, 150 ms later."""
    inbound, outbound = streams = world.connect()
    talk(streams, irregular(30))
    inbound.packet(2 * SECOND, 146)
    outbound.packet(2 * SECOND + 20 * MS, 146)
    trader, wire = world.trader_side(), world.wire_side()
    before = crosscheck(trader, wire)
    wire.packets["time"][[before.inbound.packet[-1], before.outbound.packet[-1]]] += 150 * MS
    after = crosscheck(trader, wire)
    for whole, found in ((before.inbound, after.inbound), (before.outbound, after.outbound)):
        assert whole.matched - 1 == found.matched
        assert (Unmatched.TOO_LATE, -1) == (found.reason[-1], found.packet[-1])
