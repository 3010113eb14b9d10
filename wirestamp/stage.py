"""Where the demo's processes live: all of them on this machine, or in network namespaces with a mirror between them."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from wirestamp.mirror import Mirror, MirrorError, inside_namespace


class StageError(Exception):
    """The stage cannot be built here; the message says what is missing."""


class Stage(Protocol):
    """What the demo asks of the place that it plays in.

    Attributes:
        exchange_host: the address that the exchange listens at and the trader connects to.
        interface: what the capture listens on, None when there can be no capture.
        responder_host: where the trader's machine answers clock probes, None where all share one clock.
        capture_words: what is captured, or why nothing is, for a person.
    """

    exchange_host: str
    interface: str | None
    responder_host: str | None
    capture_words: str

    def prefix(self, where: str) -> list[str]:
        """Return what starts a command at `exchange`, `trader` or `monitor`."""

    def inside(self, where: str) -> AbstractContextManager[None]:
        """Return a block in which new sockets of this thread are those of a place."""


class OneMachine:
    """Everything on loopback; captured there when this process may."""

    exchange_host = "127.0.0.1"
    responder_host: str | None = None

    def __init__(self) -> None:
        self.interface: str | None = None
        try:
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
            self.interface = "lo"
            self.capture_words = "A capture agent reads the packets from loopback, so that the stamps can be checked."
        except PermissionError:
            self.capture_words = (
                "On the wire nothing is captured, because this needs the capability CAP_NET_RAW (root has it)."
            )
        except (AttributeError, OSError) as error:
            self.capture_words = (
                f"On the wire nothing is captured, because this machine has no packet sockets ({error})."
            )

    def prefix(self, where: str) -> list[str]:  # noqa: ARG002 - one place for all
        """Return nothing: commands start where we are."""
        return []

    def inside(self, where: str) -> AbstractContextManager[None]:  # noqa: ARG002 - one place for all
        """Return a block that changes nothing."""
        return nullcontext()


class Namespaces:
    """Exchange, trader and monitor in network namespaces of their own."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.exchange_host = mirror.exchange_address
        self.interface: str | None = mirror.monitor_interface
        self.responder_host: str | None = mirror.responder_address
        self.capture_words = (
            "Each of the two has a network of its own; the kernel mirrors the trader's packets as VXLAN to a third, "
            "where a capture agent takes them and asks for the trader's clock, so that the stamps can be checked."
        )

    def prefix(self, where: str) -> list[str]:
        """Return what starts a command in a namespace."""
        return self._mirror.command(where, [])

    def inside(self, where: str) -> AbstractContextManager[None]:
        """Return a block in which new sockets are those of a namespace."""
        return inside_namespace(self._mirror.names[where])


@contextlib.contextmanager
def stage_for(*, mirror: bool, gso_max_segs: int | None) -> Iterator[Stage]:
    """Build the stage, and take it down when the block ends.

    Args:
        mirror: whether each part gets a network namespace.
        gso_max_segs: see `Mirror`.

    Raises:
        StageError: it cannot be built here.
    """
    if not mirror:
        yield OneMachine()
        return
    try:
        with Mirror(gso_max_segs=gso_max_segs) as built:
            yield Namespaces(built)
    except MirrorError as error:
        raise StageError(str(error)) from error
