"""Byte 0 of a stream without a SYN: found when one candidate alone fits, and never by one false stamp."""

import numpy as np
import pytest

from crosscheck.isn import MIRROR_DELAY_NS, Evidence, Origin, Sightings, find_origin
from crosscheck.streams import Ranges, Stream
from journal.wire import PacketFlag

BASE = 2**32 + 17
MS = 1_000_000
NONE = Ranges(np.array([], np.int64), np.array([], np.int64))


def stream(ends: np.ndarray, times: np.ndarray, flags: int = PacketFlag.FIRST, isn: int | None = None) -> Stream:
    """Return a stream of packets that end before these offsets."""
    begin = BASE + np.r_[0, ends[:-1]]
    packets = Ranges(begin, BASE + ends)
    rows = np.arange(len(ends))
    cause = np.array([], np.uint32)
    return Stream(
        isn, packets, rows, times, np.full(len(ends), flags, np.uint16), NONE, NONE, NONE, cause, BASE + ends[-1]
    )


def found(of: Stream, off: np.ndarray, times: np.ndarray) -> Origin | None:
    """Return what stamps of these offsets and times say of a stream, θ being known to 1 µs."""
    evidence = Evidence(off, times - 500, times + 500).widened(MIRROR_DELAY_NS)
    return find_origin(of, Sightings(of), evidence)


def messages(count: int = 200, seed: int = 1, pause_ms: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return where messages of one size end, and when, with pauses of every length."""
    times = np.random.default_rng(seed).exponential(pause_ms * MS, count).cumsum().astype(np.int64)
    return 146 * np.arange(1, count + 1), times


def test_a_syn_needs_no_vote() -> None:
    """Its position is that of byte −1."""
    ends, times = messages(3)
    assert Origin(BASE, BASE) == found(stream(ends, times, isn=BASE - 1), ends[:0], times[:0])


def test_pauses_single_out_the_truth_among_messages_of_one_size() -> None:
    """A mirror's delay within the tolerance does not matter; the first message may be a retransmission."""
    ends, times = messages()
    delayed = times + np.random.default_rng(2).integers(-2 * MS, 2 * MS, len(times))
    origin = found(stream(ends, delayed), ends - 1, times)
    assert origin is not None
    assert BASE == origin.base
    assert BASE < origin.start <= BASE + 146 * 5


def test_a_stream_begins_behind_all_stamps_that_are_older() -> None:
    """A packet that passed before the capture began, and was sent again, would be met 200 ms late."""
    ends, times = messages()
    captured = times.copy()
    captured[:3] = times[40] + 200 * MS
    origin = found(stream(ends[:3], captured[:3]), ends[:3] - 1, times[:3])
    assert origin is None
    rest = stream(ends, np.maximum(captured, times[40]))
    again = np.r_[0:3, 40:200]
    partial = Stream(
        None, Ranges(rest.first.begin[again], rest.first.end[again]), again, rest.time[again], rest.flags[again],
        NONE, NONE, NONE, rest.cause, rest.extent,
    )  # fmt: skip
    origin = found(partial, ends - 1, times)
    assert origin is not None
    assert (BASE, True) == (origin.base, BASE + ends[39] <= origin.start)


@pytest.mark.parametrize("pairs", [0, 1, 7])
def test_few_stamps_prove_nothing(pairs: int) -> None:
    """They may agree by chance."""
    ends, times = messages(pairs + 1)
    assert found(stream(ends, times), ends[:pairs] - 1, times[:pairs]) is None


def test_a_steady_feed_is_ambiguous_until_it_pauses() -> None:
    """One pause refutes the next shift by one stamp, which may be false; three pauses by three."""
    ends = 146 * np.arange(1, 401)
    steady = MS * np.arange(400)
    for once in (0, 30 * MS):
        nearly = steady + once * (np.arange(400) // 200)
        assert found(stream(ends, nearly), ends - 1, nearly) is None
    paused = steady + 30 * MS * (np.arange(400) // 100)
    origin = found(stream(ends, paused), ends - 1, paused)
    assert origin is not None
    assert BASE == origin.base


def test_one_stamp_that_does_not_fit_refutes_the_truth_and_proves_no_rival() -> None:
    """None is better than wrong."""
    ends, times = messages()
    times_of_stamps = times.copy()
    times_of_stamps[100] += 500 * MS
    assert found(stream(ends, times), ends - 1, times_of_stamps) is None


@pytest.mark.parametrize("flag", [PacketFlag.LATE, PacketFlag.RESENT, PacketFlag.HARDWARE])
def test_packets_that_tell_no_time_vote_for_nothing(flag: PacketFlag) -> None:
    """They came late, or were stamped by another clock."""
    ends, times = messages()
    assert found(stream(ends, times, PacketFlag.FIRST | flag), ends - 1, times) is None


def test_stamps_that_often_end_no_packet_prove_nothing() -> None:
    """Nine in ten must: within a packet every shift fits the clock."""
    ends, times = messages()
    for part, proven in ((20, True), (5, False)):
        inside = np.where(np.arange(len(ends)) % part == 0, 50, 1)
        assert proven == (found(stream(ends, times), ends - inside, times) is not None)


def test_sizes_that_vary_tell_rivals_apart_where_time_does_not() -> None:
    """A steady feed of messages of many sizes aligns with one candidate alone."""
    rng = np.random.default_rng(5)
    ends = rng.integers(90, 900, 400).cumsum()
    steady = MS * np.arange(400)
    origin = found(stream(ends, steady), ends - 1, steady)
    assert origin is not None
    assert BASE == origin.base
