"""Connections that spoke are told again, and memory is bounded."""

import numpy as np
import pytest

from capture import roster as roster_module
from capture.roster import Roster
from capture.streams import Opened
from journal.wire import PACKET


def met(*numbers: int) -> list[Opened]:
    """Connections of these numbers."""
    return [Opened(number, f"10.0.0.1:{number}", "10.0.0.2:443", 0, 0) for number in numbers]


def rows(*streams: int) -> np.ndarray:
    """Packets of these streams."""
    packets = np.zeros(len(streams), PACKET)
    packets["stream"] = streams
    return packets


def test_whoever_spoke_since_is_told_again() -> None:
    """Of either side; not those who were silent since."""
    roster = Roster()
    roster.add(met(1, 2, 3), rows(2, 5))
    assert met(1, 2) == roster.spoke()
    roster.add([], rows(7))
    assert met(3) == roster.spoke()
    assert [] == roster.spoke()


def test_a_number_may_be_any() -> None:
    """Connections are counted for weeks."""
    roster = Roster()
    roster.add(met(2**31 - 1), rows(2**32 - 1))
    assert met(2**31 - 1) == roster.spoke()


def test_the_longest_silent_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that speaks stays, however long ago it was met."""
    monkeypatch.setattr(roster_module, "CAPACITY", 8)
    monkeypatch.setattr(roster_module, "_MASK", np.uint32(7))
    roster = Roster()
    roster.add(met(*range(1, 9)), rows(2))
    assert met(1) == roster.spoke()
    roster.add(met(*range(10, 17)), rows(*range(2, 18)))
    assert met(1) == [each for each in roster.spoke() if each.number < 9]
