"""Packets that are really lost between exchange and trader, both ways: what is sent again must not be taken for them.

Inbound, the mirror sees what reaches the trader, so a hole that is filled by a packet sent again is the network's loss.
Outbound, it sees what the trader sends, and the packets are lost behind it.
"""

from pathlib import Path

from crosscheck.model import Unmatched
from journal.wire import LossCause
from review.summary import summarise

from .frames import Ends, FirstBringers, read_frames
from .scene import Lossy
from .verdict import Verdict, is_sent_again, read_wire


def test_every_match_is_the_copy_of_the_packet_that_came_first(lossy: Lossy, tmp_path: Path) -> None:
    """The trader's own link tells which packet brought each byte first; its copy is the same frame, on the monitor."""
    run = lossy.run
    passing = read_frames(run.passed)
    copied_ns: dict[bytes, int] = {}
    for frame in run.frames:
        copied_ns.setdefault(frame.ethernet, frame.time_ns)
    matched = 0
    for said in Verdict(run.messages, run.frames, tmp_path / "again.pcap").messages(FirstBringers(passing)):
        if said.reason == Unmatched.MATCHED:
            assert copied_ns[passing[said.place].ethernet] == said.time_ns
            matched += 1
        else:
            assert said.inbound
            assert said.reason in (Unmatched.NETWORK_LOST, Unmatched.RESENT)
    assert matched >= 0.9 * len(run.messages.side.received)


def test_every_hole_has_its_cause(lossy: Lossy, tmp_path: Path) -> None:
    """The network's if its bytes were thrown away on their way in, else they came late; the mirror lost none."""
    run = lossy.run
    truth = FirstBringers(run.frames)
    thrown: dict[Ends, set[int]] = {stream: set() for stream in truth.first}
    for frame in lossy.lost:
        if frame.size:
            low = truth.off(frame.stream, frame.seq)
            thrown[frame.stream].update(range(low, low + frame.size))
    holes = list(Verdict(run.messages, run.frames, tmp_path / "again.pcap").holes(truth))
    for hole in holes:
        missing = set(range(hole.begin, hole.end))
        if hole.cause == LossCause.DUPLICATED:
            assert all(truth.times[hole.stream][hole.begin : hole.end] > 1)
        else:
            assert (missing if hole.cause == LossCause.NETWORK else set()) == missing & thrown[hole.stream]
    assert LossCause.NETWORK in {hole.cause for hole in holes}
    assert {hole.cause for hole in holes}.isdisjoint({LossCause.MIRROR, LossCause.UNKNOWN, LossCause.MISSED})
    assert {run.exchange} == {hole.stream[0] for hole in holes if hole.cause == LossCause.NETWORK}


def test_the_packets_sent_again_are_those(lossy: Lossy) -> None:
    """Those with bytes that came before, or had been thrown away before; a SYN or a FIN has none."""
    run = lossy.run
    truth = FirstBringers(run.frames)
    expected = set()
    for index, frame in enumerate(run.frames):
        if not frame.size:
            continue
        begin = truth.off(frame.stream, frame.seq)
        came = truth.first[frame.stream][begin : begin + frame.size].min() < index
        end = begin + frame.size
        spans = [
            (truth.off(lost.stream, lost.seq), lost.size)
            for lost in lossy.lost
            if lost.stream == frame.stream and lost.time_ns < frame.time_ns
        ]
        if came or any(low < end and begin < low + size for low, size in spans):
            expected.add(frame.time_ns)
    rows = read_wire(run.mirrored).packets
    found = rows[is_sent_again(rows) & (rows["size"] > 0)]
    assert set(found["time"].tolist()) <= expected
    # The rest came in their turn: what is lost at the end of a burst, inbound, shows no hole to whom is behind it.
    rest = [frame for frame in run.frames if frame.time_ns in expected - set(found["time"].tolist())]
    assert {frame.stream[0] for frame in rest} <= {run.exchange}
    assert len(rest) < 0.5 * len(expected)


def test_the_review_of_a_lossy_run(lossy: Lossy) -> None:
    """What the agent saw live: every order answered, no stamp contradicted, the losses where they belong."""
    review = summarise(lossy.run.trader, [lossy.run.monitor])
    wire = review.wire
    assert wire is not None
    assert wire.inbound is not None
    assert wire.outbound is not None
    assert review.orders >= 10
    assert 0 == review.unanswered
    assert (0, 0) == (wire.causality_violations, wire.order_violations)
    assert (0, 0) == (wire.mirror_lost, wire.inbound.unknown_lost)
    assert wire.network_lost == wire.inbound.network_lost >= 5
    assert 0 == wire.outbound.network_lost
    named = sum(sum(counts.values()) for counts in wire.unmatched.values())
    assert wire.unmatched_rx + wire.unmatched_tx == named
