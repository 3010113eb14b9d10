"""A mirror that loses, delays and doubles packets: a wrong match is worse than none, and every loss has its cause.

One run is captured whole. Copies of the file are damaged by a seeded generator, and read as any other capture. What is
true of a damaged file follows from the whole one, byte by byte: which packet first brought a byte, and when, if at
all, that packet's first copy is in the damaged file.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from crosscheck.model import Unmatched
from journal.wire import LossCause

from .frames import ACK, FIN, RST, SYN, Ends, FirstBringers, Frame, repeated
from .scene import Lossy, Recorded
from .verdict import Said, Verdict, is_copy

MS = 1_000_000
REORDER_NS = 100 * MS  # how long the capture waits for the original of what was acknowledged
NO_HOLE = -1
WIRESTAMP = [sys.executable, "-m", "wirestamp"]


@dataclass(frozen=True)
class Damage:
    """What a mirror does to packets.

    Attributes:
        lost, doubled, delayed: shares of them.
        bursts: how often up to 40 packets in a row are lost.
        cut: the share of the file at its beginning that is missing.
    """

    lost: float = 0.0
    doubled: float = 0.0
    delayed: float = 0.0
    bursts: int = 0
    cut: float = 0.0

    def apply(self, frames: list[Frame], seed: int) -> list[tuple[Frame, int]]:
        """Return the packets that arrive, in order of arrival, each with its place in the whole file."""
        dice = random.Random(seed)
        lost = {index for index in range(len(frames)) if dice.random() < self.lost}
        for _ in range(self.bursts):
            first = dice.randrange(len(frames) // 10, len(frames))
            lost.update(range(first, first + dice.randint(5, 40)))
        lost.update(range(int(self.cut * len(frames))))
        arrived = []
        for index, frame in enumerate(frames):
            if index in lost:
                continue
            delay_ns = dice.randint(MS // 10, 4 * MS) if dice.random() < self.delayed else 0
            arrived.append((frame._replace(time_ns=frame.time_ns + delay_ns), index))
            if dice.random() < self.doubled:
                again_ns = frame.time_ns + delay_ns + dice.randint(1_000, MS)
                arrived.append((frame._replace(time_ns=again_ns), index))
        return sorted(arrived, key=lambda one: one[0].time_ns)


class Arrived:
    """A damaged file, what is true of it, and what is said of it.

    Args:
        run: the whole run.
        path: where the file goes.
        damage, seed: what is done to it.
        lost: what the network lost, of both directions.

    Attributes:
        truth: which packet of the whole file first brought each byte.
        arrived: the damaged file's packets, each with its place in the whole one.
        whole: the whole file's packets.
        first_ns: when the first copy of a packet arrived, by its place in the whole file.
        verdict: what is said.
    """

    def __init__(self, run: Recorded, path: Path, damage: Damage, seed: int, lost: Sequence[Frame] = ()) -> None:
        self.path = path
        self._lost = {frame.ethernet for frame in lost}
        self.whole = run.frames
        self.truth = FirstBringers(run.frames)
        self.arrived = damage.apply(run.frames, seed)
        self.first_ns: dict[int, int] = {}
        for frame, place in self.arrived:
            self.first_ns.setdefault(place, frame.time_ns)
        self.verdict = Verdict(run.messages, [frame for frame, _ in self.arrived], path)

    def wrong(self) -> list[Said]:
        """Return the messages that were matched to anything but the first copy of their packet, by one fault alone."""
        return [said for said in self._mismatched() if not self._two_faults(said)]

    def excused(self) -> set[int]:
        """Return the packets for whose messages two faults together led to a wrong match."""
        return {said.place for said in self._mismatched() if self._two_faults(said)}

    def _mismatched(self) -> list[Said]:
        matched = (said for said in self.verdict.messages(self.truth) if said.reason == Unmatched.MATCHED)
        return [said for said in matched if self.first_ns.get(said.place) != said.time_ns]

    def _two_faults(self, said: Said) -> bool:
        """Tell whether the mirror lost a packet that the network lost too, or whose receiver's word of it it lost too.

        When that is the last of a burst, what is sent again is the first that the capture sees of it, and only the
        receiver's word that it had the bytes before gives that away.
        """
        original = self.whole[said.place]
        hidden = self.first_ns.get(said.place) != original.time_ns
        return hidden and (original.ethernet in self._lost or not self._answered(original))

    def _answered(self, original: Frame) -> bool:
        """Tell whether it arrived that the receiver had all bytes of a packet once more."""
        begin = self.truth.off(original.stream, original.seq)
        for place in self.first_ns:
            answer = self.whole[place]
            span = repeated(answer) if answer.stream == original.stream[::-1] else None
            if span is not None:
                low, high = (self.truth.off(original.stream, number) for number in span)
                if low <= begin and begin + original.size <= high:
                    return True
        return False

    def outcome(self) -> tuple[Counter[Unmatched], Counter[Unmatched]]:
        """Return what became of the messages whose packet arrived, and of the others, if their stream's SYN did."""
        begun = {frame.stream for frame, _ in self.arrived if frame.flags & SYN}
        there: Counter[Unmatched] = Counter()
        gone: Counter[Unmatched] = Counter()
        for said in self.verdict.messages(self.truth):
            if said.stream in begun:
                (there if said.place in self.first_ns else gone)[said.reason] += 1
        return there, gone

    def causes(self) -> dict[Ends, np.ndarray]:
        """Return of each stream what is said of each byte: a `LossCause`, or NO_HOLE."""
        causes = {stream: np.full(len(first), NO_HOLE) for stream, first in self.truth.first.items()}
        for hole in self.verdict.holes(self.truth):
            if hole.cause not in (LossCause.DUPLICATED, LossCause.MISSED):
                causes[hole.stream][hole.begin : hole.end] = hole.cause
        return causes

    def doubles(self) -> tuple[set[int], set[int]]:
        """Return when packets that take sequence numbers arrived once more: those sent once; all sent again."""
        once: set[int] = set()
        again: set[int] = set()
        for frame, place in self.arrived:
            if frame.size or frame.flags & (FIN | SYN):
                begin = self.truth.off(frame.stream, frame.seq)
                sent_again = frame.size and self.truth.times[frame.stream][begin : begin + frame.size].max() > 1
                if sent_again:
                    again.add(frame.time_ns)
                elif frame.time_ns != self.first_ns[place]:
                    once.add(frame.time_ns)
        return once, again


class Expected:
    """What is true of the bytes of a stream of a damaged file.

    A byte is missing when its packet is, and can be told to be once the receiver's acknowledgement has been seen. It
    came late when its sender had already shown that there is more.

    Args:
        file: the damaged file.
        stream: its ends.

    Attributes:
        cause: each byte's `LossCause`, or NO_HOLE.
        known: whether the capture can tell it.
    """

    def __init__(self, file: Arrived, stream: Ends) -> None:
        self._truth, self._stream = file.truth, stream
        first = file.truth.first[stream]
        self.cause = np.full(len(first), NO_HOLE)
        self.known = np.zeros(len(first), np.bool_)
        self._walk([one for one in file.arrived if one[0].stream == stream], first)
        gone = ~np.isin(first, list(file.first_ns))
        self.cause[gone] = LossCause.MIRROR
        last_ns = file.arrived[-1][0].time_ns - REORDER_NS
        acks = [frame for frame, _ in file.arrived if frame.stream == stream[::-1] and frame.flags & ACK]
        acked = max((self._off(frame.ack) for frame in acks if frame.time_ns < last_ns), default=0)
        self.known[acked:] &= ~gone[acked:]

    def _walk(self, arrived: list[tuple[Frame, int]], first: np.ndarray) -> None:
        """Find the bytes that came late, and those before the first packet, of which nothing is known."""
        if not arrived:
            return
        mark = 0 if arrived[0][0].flags & SYN else self._off(arrived[0][0].seq)
        self.known[mark:] = True
        came = np.zeros(len(first), np.bool_)
        for frame, place in arrived:
            low = self._off(frame.seq)
            if frame.size:
                bytes_ = np.arange(low, low + frame.size)
                late = ~came[bytes_] & (first[bytes_] == place) & (bytes_ < mark)
                self.cause[bytes_[late]] = LossCause.REORDERED
                came[bytes_] = True
            if not frame.flags & (SYN | RST):
                mark = max(mark, low + frame.size)

    def _off(self, number: int) -> int:
        return self._truth.off(self._stream, number)


LIGHT, HEAVY = Damage(0.01, 0.01, 0.01), Damage(0.1, 0.1, 0.1)
DAMAGES = {
    "nothing": Damage(),
    "lost": Damage(lost=0.01),
    "doubled": Damage(doubled=0.01),
    "delayed": Damage(delayed=0.01),
    "all": LIGHT,
    "tenth": HEAVY,
    "bursts": Damage(bursts=12),
    "bursts-and-all": replace(LIGHT, bursts=12),
}
HEADLESS = {f"headless-{name}": replace(DAMAGES[name], cut=0.2) for name in ("nothing", "all", "tenth")}
SEEDS = (1, 2, 3)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_match_is_wrong_and_what_arrived_is_matched(clean: Recorded, tmp_path: Path, damage: str, seed: int) -> None:
    """What did not arrive has a name. A stream of which the SYN is missing needs votes, and may have too few."""
    file = Arrived(clean, tmp_path / "damaged.pcap", DAMAGES[damage], seed)
    assert [] == file.wrong()
    there, gone = file.outcome()
    assert there[Unmatched.MATCHED] + there[Unmatched.RESENT] == there.total() > (1000 if damage == "nothing" else 0)
    assert there[Unmatched.MATCHED] >= 0.99 * there.total()
    assert gone.total() >= (30 if damage == "tenth" or "bursts" in damage else 0)
    assert set(gone) <= {Unmatched.MIRROR_LOST, Unmatched.UNKNOWN_LOSS, Unmatched.AFTER_CAPTURE}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_byte_is_accounted_for(clean: Recorded, tmp_path: Path, damage: str, seed: int) -> None:
    """Lost by the mirror, late, or neither: as it truly was, byte by byte; the network is never blamed."""
    file = Arrived(clean, tmp_path / "damaged.pcap", DAMAGES[damage], seed)
    said = file.causes()
    for stream, causes in said.items():
        expected = Expected(file, stream)
        once = file.truth.times[stream] == 1  # of what its sender sent twice, the capture may have seen either
        told = expected.known & once
        assert [] == np.flatnonzero(told & (expected.cause != causes)).tolist()
        assert LossCause.NETWORK not in causes[once]
        assert set(causes[~told & once].tolist()) <= {NO_HOLE, LossCause.UNKNOWN, LossCause.MIRROR}
    once, again = file.doubles()
    rows = file.verdict.wire.packets
    assert once == set(rows["time"][is_copy(rows)].tolist()) - again


@pytest.mark.parametrize("damage", HEADLESS)
@pytest.mark.parametrize("seed", SEEDS)
def test_without_its_beginning_no_match_is_wrong(clean: Recorded, tmp_path: Path, damage: str, seed: int) -> None:
    """The first fifth of the file is missing, and with it the SYNs of all connections but those that came later."""
    file = Arrived(clean, tmp_path / "damaged.pcap", HEADLESS[damage], seed)
    assert [] == file.wrong()
    reasons = Counter(said.reason for said in file.verdict.messages(file.truth))
    # With a tenth of it in disorder, it may be that no beginning of a stream is proven.
    assert damage == "headless-tenth" or reasons[Unmatched.MATCHED] >= 0.6 * reasons.total()
    assert set(reasons).isdisjoint({Unmatched.NETWORK_LOST, Unmatched.NO_OFFSET})


@pytest.mark.parametrize("damage", DAMAGES | HEADLESS)
@pytest.mark.parametrize("seed", SEEDS)
def test_losses_of_mirror_and_network_together(lossy: Lossy, tmp_path: Path, damage: str, seed: int) -> None:
    """The packets that the network let through, damaged once more: one fault never leads to a wrong match."""
    file = Arrived(lossy.run, tmp_path / "damaged.pcap", (DAMAGES | HEADLESS)[damage], seed, lossy.lost)
    assert [] == file.wrong()
    assert len(file.excused()) <= 2
    there, _ = file.outcome()
    assert there[Unmatched.MATCHED] >= 0.85 * there.total()


def test_a_damaged_file_by_the_commands(clean: Recorded, tmp_path: Path) -> None:
    """`wirestamp capture -r` and `wirestamp review` say what the parts say, in words."""
    file = Arrived(clean, tmp_path / "damaged.pcap", HEAVY, 1)
    run([*WIRESTAMP, "capture", "-r", str(file.path), "--data", str(tmp_path / "monitor")])
    review = json.loads(run([*WIRESTAMP, "review", str(clean.trader), str(tmp_path / "monitor"), "--json"]))
    wire, check = review["wire"], file.verdict.check
    assert [check.inbound.matched, check.outbound.matched] == [wire["matched_rx"], wire["matched_tx"]]
    assert [0, 0] == [wire["causality_violations"], wire["order_violations"]]
    assert check.inbound.unmatched()[Unmatched.MIRROR_LOST] == wire["unmatched"]["rx"]["lost by the mirror"]
    assert 0 < wire["mirror_lost"]
    assert 0 == wire["network_lost"]


def run(command: list[str]) -> str:
    """Run a command to its end, and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout
