"""One private epoll for all stamped sockets, and the two ways to drive it.

The sockets are not given to the event loop directly: an undrained error queue raises EPOLLERR, at which plain asyncio
spins and uvloop stops watching for good. The loop watches the private epoll's own descriptor instead (`LoopDriver`),
or polls it without pause (`SpinDriver`).
"""

import asyncio
import select
from time import monotonic_ns
from typing import Protocol

_READ = select.EPOLLIN | select.EPOLLHUP | select.EPOLLRDHUP
_SPIN_NS = 1_000_000  # how long the spinning callback keeps the thread before other tasks may run


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

    def turn(self) -> None:
        """Serve every socket that is ready now; never waits."""
        watching = self._watched
        for descriptor, events in self._poll(0, 32):
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


class LoopDriver:
    """Serves the poller when the event loop finds it readable: no CPU while nothing happens."""

    def __init__(self, poller: Poller, loop: asyncio.AbstractEventLoop) -> None:
        self._poller = poller
        self._loop = loop

    def start(self) -> None:
        """Begin to serve."""
        self._loop.add_reader(self._poller.fileno(), self._poller.turn)

    def stop(self) -> None:
        """End."""
        self._loop.remove_reader(self._poller.fileno())


class SpinDriver:
    """Polls without pause on a core of its own: no wake-up, warm caches.

    One callback polls for a millisecond, then lets the event loop run whatever else is due (timers, tasks), because
    every turn of the loop costs about 25 µs.
    """

    def __init__(self, poller: Poller, loop: asyncio.AbstractEventLoop) -> None:
        self._turn = poller.turn
        self._loop = loop
        self._next: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin to poll."""
        self._next = self._loop.call_soon(self._spin)

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
            turn()
