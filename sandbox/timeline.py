"""Plays a source of publications against the clock: into the exchange first, then to the subscribers.

The market stands still while nobody listens: it starts with the first subscriber and, when the last one leaves, waits
for the next, so that every message of a source reaches somebody. A paced timeline sends each message when it is due; an
unpaced one sends as fast as the slowest subscriber reads, in batches that leave room for requests between them.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable

from sandbox.fanout import Fanout
from sandbox.publication import Publication, Reset

BATCH_MESSAGES = 64


class Timeline:
    """One playing of one source.

    Args:
        source: publications in the order of `at_ns`.
        speed: how much faster than its own clock the source is played; `inf` for unpaced.
        apply: takes each event into the exchange, before subscribers learn of it.
        fanout: where the messages go.

    Attributes:
        finished: whether the source is played to its end.
    """

    def __init__(
        self,
        source: Iterable[Publication | Reset],
        speed: float,
        apply: Callable[[Publication | Reset], None],
        fanout: Fanout,
    ) -> None:
        self._source = source
        self._speed = speed
        self._unpaced = math.isinf(speed)
        self._apply = apply
        self._fanout = fanout
        self._source_ns = 0  # the source's clock and ours at the same instant
        self._wall_ns = 0
        self.finished = False

    async def run(self) -> None:
        """Play to the end.

        Raises:
            SandboxError: the source is damaged where it has got to.
        """
        try:
            await self._play()
        finally:
            await self._fanout.flush()
        self.finished = True

    async def _play(self) -> None:
        unflushed = 0
        fanout = self._fanout
        for entry in self._source:
            if not (fanout.is_listened and self._wall_ns):
                await fanout.listened()
                self._anchor(entry.at_ns)
            delay_ns = 0 if self._unpaced else self._delay_ns(entry.at_ns)
            if delay_ns > 0 or unflushed >= BATCH_MESSAGES:
                await fanout.flush()
                await asyncio.sleep(delay_ns / 1e9)
                unflushed = 0
            self._apply(entry)
            if isinstance(entry, Publication):
                fanout.publish(entry, self._stamps(entry.times_us))
                unflushed += 1

    def _anchor(self, source_ns: int) -> None:
        self._source_ns = source_ns
        self._wall_ns = time.time_ns()

    def _delay_ns(self, source_ns: int) -> int:
        due_ns = self._wall_ns + int((source_ns - self._source_ns) / self._speed)
        return max(due_ns - time.time_ns(), 0)

    def _stamps(self, times_us: tuple[int, ...]) -> tuple[int, ...]:
        """Move the venue's times to our clock, compressed like the rest and never later than now."""
        if not times_us:
            return ()
        now_us = time.time_ns() // 1000
        if self._unpaced:
            return (now_us,) * len(times_us)
        start_us, source_us = self._wall_ns // 1000, self._source_ns // 1000
        return tuple([min(now_us, start_us + int((value - source_us) / self._speed)) for value in times_us])
