"""Nothing is sent before the commit that holds it."""

import asyncio
from typing import Any

from sandbox.commit import BATCH_ANSWERS, Committer

Fake = Any


class Log:
    """A store and a connection that write down the order of events."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def commit(self) -> None:
        """Note a commit."""
        self.steps.append("commit")

    def send(self, payload: bytes) -> None:
        """Note a message."""
        self.steps.append(payload.decode())

    def flush(self) -> None:
        """Note a write."""
        self.steps.append("flush")


async def test_one_turn_of_the_loop_is_one_commit() -> None:
    """Answers of one turn wait for it together."""
    log: Fake = Log()
    committer = Committer(log)
    committer.send(log, b"a")
    committer.send(log, b"b")
    assert log.steps == ["a", "b"]
    await asyncio.sleep(0)
    assert log.steps == ["a", "b", "commit", "flush"]
    committer.send(log, b"c")
    await asyncio.sleep(0)
    assert log.steps[4:] == ["c", "commit", "flush"]


async def test_a_long_turn_is_committed_in_between() -> None:
    """A client that pipelines without end does not keep its first answers waiting."""
    log: Fake = Log()
    committer = Committer(log)
    for _ in range(BATCH_ANSWERS):
        committer.send(log, b"x")
    assert log.steps[-2:] == ["commit", "flush"]
