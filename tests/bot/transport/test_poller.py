"""The private epoll: who is called for what, and what happens when one that is served ends another or itself."""

import asyncio
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from bot.transport.poller import Driver, Poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    """A poller, closed afterwards."""
    made = Poller()
    yield made
    made.close()


class Watched:
    """One end of a socket pair that notes its calls; the other end is `peer`."""

    def __init__(self) -> None:
        self.sock, self.peer = socket.socketpair()
        self.sock.settimeout(0)
        self.calls: list[str] = []
        self.then: Callable[[], None] = lambda: None

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.sock.fileno()

    def on_readable(self) -> None:
        """Read and note it."""
        self.calls.append(f"read {self.sock.recv(100)!r}")
        self.then()

    def on_writable(self) -> None:
        """Note it."""
        self.calls.append("write")
        self.then()

    def on_error_queue(self) -> None:
        """Note it."""
        self.calls.append("error queue")

    def close(self) -> None:
        """Close both ends."""
        self.sock.close()
        self.peer.close()


@pytest.fixture
def make(poller: Poller) -> Iterator[Callable[[], Watched]]:
    """Make watched sockets."""
    made: list[Watched] = []

    def one() -> Watched:
        made.append(Watched())
        poller.add(made[-1])
        return made[-1]

    yield one
    for watched in made:
        poller.remove(watched) if watched.fileno() >= 0 else None
        watched.close()


def test_a_turn_serves_what_is_ready_and_never_waits(poller: Poller, make: Callable[[], Watched]) -> None:
    """Nothing is called for an idle socket."""
    idle, ready = make(), make()
    poller.turn()
    ready.peer.send(b"x")
    poller.turn()
    assert ([], ["read b'x'"]) == (idle.calls, ready.calls)


def test_the_end_of_a_stream_is_read(poller: Poller, make: Callable[[], Watched]) -> None:
    """A peer that closes makes its socket readable."""
    watched = make()
    watched.peer.close()
    poller.turn()
    assert ["read b''"] == watched.calls


def test_room_to_write_is_told_while_it_is_wanted(poller: Poller, make: Callable[[], Watched]) -> None:
    """And no longer."""
    watched = make()
    poller.want_write(watched, wanted=True)
    poller.turn()
    poller.want_write(watched, wanted=False)
    poller.turn()
    assert ["write"] == watched.calls


def test_its_own_descriptor_is_readable_while_one_is_ready(poller: Poller, make: Callable[[], Watched]) -> None:
    """That is what an event loop watches."""
    watched = make()
    assert [] == select.select([poller.fileno()], [], [], 0)[0]
    watched.peer.send(b"x")
    assert [poller.fileno()] == select.select([poller.fileno()], [], [], 0)[0]


def test_who_was_removed_is_not_called(poller: Poller, make: Callable[[], Watched]) -> None:
    """Though its event was fetched with that of who removed it."""
    pair = [make(), make()]
    for watched, other in (pair, pair[::-1]):
        watched.peer.send(b"x")
        watched.then = lambda other=other: poller.remove(other)  # type: ignore[misc]
    poller.turn()
    assert [0, 1] == sorted(len(watched.calls) for watched in pair)


def test_who_removes_itself_while_it_reads_is_not_called_again(poller: Poller, make: Callable[[], Watched]) -> None:
    """A reset brings readable, writable and an error at once; the read alone ends the connection."""
    watched = make()
    poller.want_write(watched, wanted=True)
    watched.then = lambda: poller.remove(watched)
    watched.peer.send(b"x")
    poller.turn()
    assert ["read b'x'"] == watched.calls


def test_removing_twice_is_removing_once(poller: Poller, make: Callable[[], Watched]) -> None:
    """Whoever is not watched can be forgotten."""
    watched = make()
    poller.remove(watched)
    poller.remove(watched)
    watched.peer.send(b"x")
    poller.turn()
    assert [] == watched.calls


@pytest.mark.parametrize("spin", [False, True])
async def test_a_driver_serves_until_it_is_stopped(poller: Poller, make: Callable[[], Watched], *, spin: bool) -> None:
    """Tasks of the loop run beside it."""
    watched, served = make(), asyncio.Event()
    watched.then = served.set
    driving = Driver(poller, asyncio.get_running_loop(), spin=spin)
    driving.start()
    watched.peer.send(b"1")
    await asyncio.wait_for(served.wait(), 10)
    driving.stop()
    watched.peer.send(b"2")
    for _ in range(5):
        await asyncio.sleep(0)
    assert ["read b'1'"] == watched.calls
