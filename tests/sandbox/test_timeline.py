"""The playing of a source: everything once and in order, when it is due, and only while somebody listens."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from market.events import BookDelta, BookSnapshot
from sandbox.binance_symbols import BTCUSDT
from sandbox.fanout import Fanout
from sandbox.publication import Publication, Reset
from sandbox.timeline import BATCH_MESSAGES, Timeline

START_NS = 5_000_000_000
DELTA = BookDelta(BTCUSDT, [], [], 1, None)


class Recorder(Fanout):
    """A fanout that keeps what it is given; somebody listens while `open` is set."""

    def __init__(self) -> None:
        super().__init__(frozenset({"a"}))
        self.heard: list[tuple[int, tuple[int, ...], int]] = []
        self.open = asyncio.Event()

    @property
    def is_listened(self) -> bool:
        """Whether the test listens."""
        return self.open.is_set()

    async def listened(self) -> None:
        """Wait for the test to listen."""
        await self.open.wait()

    def publish(self, publication: Publication, times_us: tuple[int, ...]) -> None:
        """Keep what is published and when."""
        self.heard.append((publication.at_ns, times_us, time.time_ns()))


def source(count: int, step_ns: int) -> Iterator[Publication]:
    for number in range(count):
        at_ns = START_NS + number * step_ns
        yield Publication(at_ns, "a", (b"", b""), (at_ns // 1000 - 100,), DELTA)


async def test_an_unpaced_source_is_played_whole_and_in_order() -> None:
    """All stamps are now."""
    fanout = Recorder()
    fanout.open.set()
    applied: list[int] = []
    count = 3 * BATCH_MESSAGES + 1
    timeline = Timeline(source(count, 10**9), float("inf"), lambda entry: applied.append(entry.at_ns), fanout)
    before_us = time.time_ns() // 1000
    await timeline.run()
    assert timeline.finished
    assert applied == [heard[0] for heard in fanout.heard] == sorted(applied)
    assert len(applied) == count
    assert all(before_us <= times[0] <= sent_ns // 1000 for _, times, sent_ns in fanout.heard)


async def test_a_paced_source_keeps_its_distances_compressed() -> None:
    """Ten times as fast: 10 ms become 1 ms, for messages and for their stamps, and no message is early."""
    fanout = Recorder()
    fanout.open.set()
    await Timeline(source(50, 10_000_000), 10.0, lambda _: None, fanout).run()
    first_at, first_times, first_sent = fanout.heard[0]
    for at_ns, times, sent_ns in fanout.heard:
        assert sent_ns - first_sent >= (at_ns - first_at) // 10 - 1_000_000
        assert times[0] - first_times[0] == (at_ns - first_at) // 10_000
        assert times[0] <= sent_ns // 1000


async def test_it_waits_for_listeners_and_goes_on_where_it_stopped() -> None:
    """Nothing is played to nobody; the time that passed in between is not caught up in a burst."""
    fanout = Recorder()

    def close_after_ten(entry: Publication | Reset) -> None:
        if entry.at_ns == START_NS + 9 * 1_000_000:
            fanout.open.clear()

    playing = asyncio.create_task(Timeline(source(20, 1_000_000), 1.0, close_after_ten, fanout).run())
    await asyncio.sleep(0)
    assert fanout.heard == []
    fanout.open.set()
    while len(fanout.heard) < 10:  # noqa: ASYNC110 - the test waits for the thing itself
        await asyncio.sleep(0)
    assert len(fanout.heard) == 10
    fanout.open.set()
    await playing
    assert len(fanout.heard) == 20
    assert fanout.heard[-1][2] - fanout.heard[10][2] >= 8_000_000


async def test_a_reset_is_applied_and_not_sent() -> None:
    """The recorded REST snapshot is for the exchange only."""
    fanout = Recorder()
    fanout.open.set()
    applied: list[Publication | Reset] = []
    entries = [Reset(0, BookSnapshot(BTCUSDT, [], [], 1, None))]
    await Timeline(entries, 1.0, applied.append, fanout).run()
    assert (applied, fanout.heard) == (entries, [])


async def test_a_failing_source_fails_the_timeline_after_what_came_before() -> None:
    """It is not finished then."""

    def failing() -> Iterator[Publication]:
        yield from source(3, 1)
        raise ValueError("damaged")

    fanout = Recorder()
    fanout.open.set()
    timeline = Timeline(failing(), float("inf"), lambda _: None, fanout)
    with pytest.raises(ValueError, match="damaged"):
        await timeline.run()
    assert (len(fanout.heard), timeline.finished) == (3, False)
