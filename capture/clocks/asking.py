"""The other clocks that the agent asks while it captures: the trader's by probes, the NIC's by reading it."""

import select
import time

from capture.clocks.nic_clock import NicClock
from capture.clocks.probe import ProbeRow, ProbeSocket
from capture.wire_journal import WireJournal

_NEVER_NS = 1 << 62
_PATIENCE = 5  # beats


class Clocks:
    """Asks when it is time to, and journals the answers.

    Args:
        journal: where they go.
        probe: asks the trader's responder; None for no probes.
        nic: the NIC's clock; None where the system's stamps the packets.

    Attributes:
        troubles: what a person must know so far, in words.
    """

    def __init__(self, journal: WireJournal, probe: ProbeSocket | None, nic: NicClock | None) -> None:
        self._journal = journal
        self._probe = probe
        self._nic = nic
        self.troubles: list[str] = []
        self._beats = 0

    @property
    def counts(self) -> dict[str, int] | None:
        """What became of the probes; None without any."""
        return self._probe.counts if self._probe is not None else None

    def register(self, poll: "select.poll") -> None:
        """Have a poll wake up for answers."""
        if self._probe is not None:
            poll.register(self._probe.fileno(), select.POLLIN)

    def ask(self) -> int:
        """Send a probe if one is due; return how long until the next is, ns."""
        return self._probe.on_timer(time.time_ns()) if self._probe is not None else _NEVER_NS

    def take(self) -> None:
        """Journal the probes that were answered."""
        if self._probe is not None:
            self._write(self._probe.on_readable())

    def beat(self) -> None:
        """Do what is due each second: read the NIC's clock, and notice that nobody answers.

        Raises:
            CannotCapture: the NIC's clock cannot be read any more.
        """
        self._beats += 1
        if self._nic is not None:
            self._journal.nic(self._beats, *self._nic.read())
        if self._probe is not None and self._beats == _PATIENCE and not self._probe.counts["answered"]:
            self.troubles.append(
                "no clock probe was answered so far: is `wirestamp responder` running there, does it answer this "
                "machine's network (--allow), and is its UDP port let in?"
            )

    def finish(self) -> None:
        """Journal the last answers."""
        self.beat()
        if self._probe is not None:
            self._write(self._probe.finish())

    def _write(self, rows: list[ProbeRow]) -> None:
        for row in rows:
            self._journal.probe(*row)
