"""One private epoll for all stamped sockets, and who drives it.

The sockets are not given to the event loop: an undrained error queue raises EPOLLERR, at which plain asyncio spins and
uvloop stops watching for good; and a message would wait for a turn of the loop.
"""

import asyncio
import select
from time import monotonic_ns
from typing import Protocol

_READ = select.EPOLLIN | select.EPOLLHUP | select.EPOLLRDHUP
_SPIN_NS = 1_000_000  # how long a spinning driver keeps the thread before the event loop has its turn
_WAIT_NS = 4_000_000  # how long a waiting one does: 250 turns of the loop a second cost half a percent of a core


class Watched(Protocol):
    """What the poller calls when a socket is ready."""

    def fileno(self) -> int:
        """Return the socket's descriptor."""

    def on_readable(self) -> None:
        """Read what is there."""

    def on_writable(self) -> None:
        """Send what waits."""

    def on_error_queue(self) -> None:
        """Drain the error queue, where TX stamps arrive."""


class Poller:
    """Watches sockets and calls them when they are ready; all within `turn`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._watched: dict[int, Watched] = {}

    def fileno(self) -> int:
        """Return the descriptor that is readable while any socket is ready."""
        return self._epoll.fileno()

    def add(self, watched: Watched) -> None:
        """Watch a socket for reading; errors are always watched."""
        self._watched[watched.fileno()] = watched
        self._epoll.register(watched.fileno(), select.EPOLLIN)

    def want_write(self, watched: Watched, *, wanted: bool) -> None:
        """Watch, or no longer watch, for room to write."""
        self._epoll.modify(watched.fileno(), select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def remove(self, watched: Watched) -> None:
        """Forget a socket that is about to be closed."""
        if self._watched.pop(watched.fileno(), None) is not None:
            self._epoll.unregister(watched.fileno())

    def turn(self, timeout_s: float = 0) -> None:
        """Serve every socket that is ready, or becomes so within a time.

        Args:
            timeout_s: how long to wait for the first, in seconds; 0 does not wait.
        """
        watching = self._watched
        for descriptor, events in self._poll(timeout_s, 32):
            watched = watching.get(descriptor)
            if watched is None:  # removed by one that was served before it
                continue
            if events & _READ:
                watched.on_readable()
            if events & select.EPOLLERR and watching.get(descriptor) is watched:  # the read may have removed it
                watched.on_error_queue()
            if events & select.EPOLLOUT and watching.get(descriptor) is watched:
                watched.on_writable()

    def close(self) -> None:
        """Close the epoll."""
        self._epoll.close()


class Driver:
    """Serves a poller from within a callback of the event loop, and lets the loop run in between.

    The hot sockets are served by this callback alone, because a turn of the event loop costs about 25 µs that a message
    need not wait for (benchmarks/tick_to_trade.py): it stays in the poller for a while, then gives the loop one turn
    for whatever else is due (timers, tasks, signals), which may wait that long.

    Args:
        poller: whom to serve.
        loop: the event loop.
        spin: whether to poll without pause, on a core of its own: no wake-up and warm caches. Otherwise the thread
            sleeps in the poller while nothing happens.
    """

    def __init__(self, poller: Poller, loop: asyncio.AbstractEventLoop, *, spin: bool) -> None:
        self._turn = poller.turn
        self._loop = loop
        self._serve = self._spin if spin else self._wait
        self._next: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin to serve."""
        self._next = self._loop.call_soon(self._serve)

    def stop(self) -> None:
        """End."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _spin(self) -> None:
        self._next = self._loop.call_soon(self._spin)
        turn = self._turn
        until = monotonic_ns() + _SPIN_NS
        while monotonic_ns() < until:
            turn(0)

    def _wait(self) -> None:
        self._next = self._loop.call_soon(self._wait)
        turn = self._turn
        until = monotonic_ns() + _WAIT_NS
        while (left := until - monotonic_ns()) > 0:
            turn(left / 1e9)
