"""What the agent asks of other clocks while it captures, and what it says when nobody answers."""

import select
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from capture.clocks import Clocks
from capture.clocks.probe import ProbeSocket
from capture.wire_journal import WireJournal
from journal.reader import read_rows


class NicAt:
    """A NIC's clock that shows these readings, one after the other."""

    def __init__(self, *readings: tuple[int, int, int, int]) -> None:
        self._readings = iter(readings)

    def read(self) -> tuple[int, int, int, int]:
        """Return the next one."""
        return next(self._readings)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WireJournal]:
    """A capture's journal with small segments."""
    monkeypatch.setattr("capture.wire_journal._SEGMENT_BYTES", 1 << 16)
    with closing(WireJournal(tmp_path, 1)) as opened:
        yield opened


def test_nothing_to_ask(journal: WireJournal) -> None:
    """Then there is nothing to wait for, to count or to say."""
    clocks = Clocks(journal, None, None)
    clocks.register(select.poll())
    clocks.take()
    for _ in range(10):
        clocks.beat()
    clocks.finish()
    assert clocks.ask() > 1 << 60
    assert clocks.counts is None
    assert [] == clocks.troubles


def test_each_beat_reads_the_nics_clock(journal: WireJournal) -> None:
    """And the end once more, so that the last packets lie between two readings."""
    clocks = Clocks(journal, None, NicAt((1, 50, 50, 2), (11, 60, 60, 12)))  # type: ignore[arg-type]
    clocks.beat()
    clocks.finish()
    rows = np.concatenate(read_rows(journal.folder, "nic"))
    assert [(1, 1, 50, 50, 2), (2, 11, 60, 60, 12)] == rows[["number", "t1", "t2", "t3", "t4"]].tolist()


def test_silence_is_told_once(journal: WireJournal) -> None:
    """A capture of a day without one answered probe could test no stamp."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        with closing(ProbeSocket("127.0.0.1", mute.getsockname()[1])) as probe:
            clocks = Clocks(journal, probe, None)
            for _ in range(12):
                clocks.ask()
                clocks.beat()
    (trouble,) = clocks.troubles
    assert "no clock probe was answered so far" in trouble
