"""Group commit: what was answered in one turn of the event loop is written to the store once, then sent.

Committing each order on its own costs more than matching it; a client that pipelines gets its orders committed together
(benchmarks/sandbox_throughput.py). No answer or event leaves before the commit that holds what it tells.
"""

import asyncio

from sandbox.connection import Connection
from sandbox.store import Store

BATCH_ANSWERS = 256


class Committer:
    """Flushes connections after the next commit.

    Args:
        store: what is committed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Connection, None] = {}
        self._answers = 0

    def send(self, connection: Connection, payload: bytes) -> None:
        """Queue a message that leaves after the next commit."""
        connection.send(payload)
        self._waiting[connection] = None
        self._answers += 1
        if self._answers == 1:
            self._loop.call_soon(self.commit)
        elif self._answers >= BATCH_ANSWERS:
            self.commit()

    def commit(self) -> None:
        """Write what is pending, then send what waits for it."""
        self._store.commit()
        waiting, self._waiting = self._waiting, {}
        self._answers = 0
        for connection in waiting:
            connection.flush()
