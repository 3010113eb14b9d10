"""What capture and crosscheck say of captured files, without a journal between them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from capture.decode import Decoder
from capture.files import FileSource
from capture.streams import Streams
from crosscheck.check import crosscheck
from crosscheck.model import TraderConnection, TraderSide, Unmatched, WireConnection, WireSide
from journal.wire import PROBE, LossCause, PacketFlag
from review.records import read_run_records
from review.stamps import read_row_logs

from .frames import Ends, FirstBringers, Frame, write_frames


class Said(NamedTuple):
    """What is said of a message; `place` is the index of the packet that truly brought its last byte first."""

    inbound: bool
    stream: Ends
    place: int
    time_ns: int
    reason: Unmatched


class Hole(NamedTuple):
    """What a row of losses says: of which stream, from which byte, up to before which."""

    stream: Ends
    begin: int
    end: int
    cause: LossCause


class Messages:
    """What the trader's journal says of a run."""

    def __init__(self, run: Path) -> None:
        records, logs = read_run_records(run), read_row_logs(run)
        self._connections: dict[int, TraderConnection] = records.connections
        self.side = TraderSide(logs.received, logs.sent, logs.transmitted, list(records.connections.values()))

    def stream(self, connection: int, *, inbound: bool) -> Ends:
        """Return sender and receiver of a connection's messages."""
        known = self._connections[connection]
        return (known.remote, known.local) if inbound else (known.local, known.remote)


class Verdict:
    """What is said of some packets.

    Args:
        messages: the trader's.
        frames: the packets, as they arrived.
        path: where their file goes.
    """

    def __init__(self, messages: Messages, frames: list[Frame], path: Path) -> None:
        self.wire = read_wire(write_frames(path, frames))
        self.check = crosscheck(messages.side, self.wire)
        self._messages = messages

    def messages(self, truth: FirstBringers) -> Iterator[Said]:
        """Yield what is said of each message, beside what is true."""
        side, check = self._messages.side, self.check
        for inbound, rows, matches in ((True, side.received, check.inbound), (False, side.sent, check.outbound)):
            columns = rows["conn"], rows["off"], matches.time, matches.reason
            for conn, off, time_ns, reason in zip(*(column.tolist() for column in columns), strict=True):
                stream = self._messages.stream(conn, inbound=inbound)
                yield Said(inbound, stream, truth.place(stream, off), time_ns, Unmatched(reason))

    def holes(self, truth: FirstBringers) -> Iterator[Hole]:
        """Yield what is said of missing bytes, and of those that arrived twice."""
        ends = {met.number: (met.a, met.b) for met in self.wire.connections}
        for loss in self.wire.losses:
            low, high = ends[int(loss["stream"]) // 2]
            stream = (high, low) if loss["stream"] % 2 else (low, high)
            begin = truth.off(stream, int(loss["position"]))
            yield Hole(stream, begin, begin + int(loss["size"]), LossCause(loss["cause"]))


def read_wire(path: Path) -> WireSide:
    """Return what the capture agent makes of a file; one machine, so one clock."""
    decoder = Decoder()
    streams = Streams(decoder.address)
    found = [streams.take(decoder.decode(batch)) for batch in FileSource([path]).batches()]
    found.append(streams.finish())
    packets, losses = (np.concatenate([getattr(part, name) for part in found]) for name in ("packets", "losses"))
    met = [WireConnection(one.number, one.a, one.b, one.tunnel) for part in found for one in part.opened]
    return WireSide(packets, losses, np.zeros(0, PROBE), met, one_clock=True)


def whole(rows: np.ndarray) -> np.ndarray:
    """Return the rows that count as packets."""
    return rows[(rows["flags"] & PacketFlag.PART) == 0]


def is_copy(rows: np.ndarray) -> np.ndarray:
    """Tell which packets the mirror delivered once more."""
    mask: np.ndarray = rows["flags"] & PacketFlag.COPY != 0
    return mask


def is_sent_again(rows: np.ndarray) -> np.ndarray:
    """Tell which rows hold bytes that their sender had sent before."""
    seen = rows["flags"] & (PacketFlag.SEEN | PacketFlag.COPY) == PacketFlag.SEEN
    mask: np.ndarray = seen | (rows["flags"] & PacketFlag.RESENT != 0)
    return mask
