"""Packets written by hand, and the segments that a decoder would make of them."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from capture.packets import Segments
from capture.streams import Found, Streams
from journal.wire import LossCause, PacketFlag

FIN, SYN, RST, ACK = 1, 2, 4, 16
CLIENT, SERVER = 0x0A000001 << 16 | 40_000, 0x0A000002 << 16 | 443
MS = 1_000_000


class Sent(NamedTuple):
    """A TCP segment; `side` 0 is the client's, the lower endpoint."""

    side: int
    seq: int
    size: int = 0
    ack: int = 0
    time_ns: int = 0
    flags: int = ACK
    window: int = 500
    ip_id: int = 0
    tsval: int | None = None
    sack: tuple[tuple[int, int], ...] = ()
    client: int = CLIENT
    server: int = SERVER
    tunnel: int = 0


def options_of(sent: Sent) -> bytes:
    """Return the TCP options as Linux lays them out."""
    made = b""
    if sent.tsval is not None:
        made += b"\x01\x01\x08\x0a" + (sent.tsval % 2**32).to_bytes(4) + bytes(4)
    if sent.sack:
        edges = b"".join((edge % 2**32).to_bytes(4) for block in sent.sack for edge in block)
        made += bytes([1, 1, 5, 2 + len(edges)]) + edges
    return made


def segments_of(packets: Sequence[Sent]) -> Segments:
    """Return packets as the decoder would."""
    options = [options_of(sent) for sent in packets]
    sizes = np.array([len(one) for one in options], np.int64)
    sources = [(sent.client, sent.server)[sent.side] for sent in packets]
    targets = [(sent.server, sent.client)[sent.side] for sent in packets]

    def column(values: list[int], dtype: type) -> np.ndarray:
        return np.array(values, np.int64).astype(dtype)

    return Segments(
        data=np.frombuffer(b"".join(options), np.uint8),
        packet=np.arange(len(packets)),
        time_ns=column([sent.time_ns for sent in packets], np.int64),
        tunnel=column([sent.tunnel for sent in packets], np.uint32),
        source=column(sources, np.uint64),
        target=column(targets, np.uint64),
        seq=column([sent.seq for sent in packets], np.uint32),
        ack=column([sent.ack for sent in packets], np.uint32),
        flags=column([sent.flags for sent in packets], np.uint16),
        window=column([sent.window for sent in packets], np.uint16),
        ip_id=column([sent.ip_id for sent in packets], np.uint16),
        size=column([sent.size for sent in packets], np.uint32),
        payload=np.zeros(len(packets), np.int64),
        captured=column([sent.size for sent in packets], np.uint32),
        options=np.cumsum(sizes) - sizes,
        options_size=sizes.astype(np.uint16),
        frame=column([sent.size + 66 for sent in packets], np.uint32),
        hardware=np.zeros(len(packets), np.bool_),
    )


class Row(NamedTuple):
    """A packet row, its position relative to the first of its stream's numbers that a test names."""

    stream: int
    offset: int
    size: int
    flags: PacketFlag


class Lost(NamedTuple):
    """A loss row, its position the same way."""

    stream: int
    offset: int
    size: int
    cause: LossCause


class Followed:
    """What a `Streams` made of some packets.

    Attributes:
        found: its answers, one for each batch and the last for the end.
    """

    def __init__(self, packets: Sequence[Sent], cuts: Sequence[int] = (), streams: Streams | None = None) -> None:
        streams = streams or Streams(str)
        edges = [0, *sorted(cuts), len(packets)]
        batches = [packets[start:end] for start, end in pairwise(edges)]
        self.found: list[Found] = [streams.take(segments_of(batch)) for batch in batches] + [streams.finish()]
        self.packets = np.concatenate([one.packets for one in self.found])
        self.losses = np.concatenate([one.losses for one in self.found])
        self.opened = [one for found in self.found for one in found.opened]

    def rows(self, base: int = 0) -> list[Row]:
        """Return the packet rows; positions relative to sequence number `base`."""
        return [
            Row(
                int(row["stream"]), int(row["position"]) - 2**32 - base, int(row["size"]), PacketFlag(int(row["flags"]))
            )
            for row in self.packets
        ]

    def lost(self, base: int = 0) -> list[Lost]:
        """Return the loss rows; positions relative to sequence number `base`."""
        return [
            Lost(
                int(row["stream"]), int(row["position"]) - 2**32 - base, int(row["size"]), LossCause(int(row["cause"]))
            )
            for row in self.losses
        ]

    def flags(self) -> list[PacketFlag]:
        """Return the flags of all rows."""
        return [row.flags for row in self.rows()]


class Talk:
    """A conversation that counts identifications and time; the client's first number is 1000, the server's 5000."""

    def __init__(self) -> None:
        self.packets: list[Sent] = []

    def send(self, seq: int, size: int = 100, **more: Any) -> Sent:  # noqa: ANN401 - any field of a packet
        """The client sends data."""
        return self.add(0, seq, size, {"ack": 5_000} | more)

    def ack(self, ack: int, **more: Any) -> Sent:  # noqa: ANN401 - the same
        """The server acknowledges."""
        return self.add(1, 5_000, 0, {"ack": ack} | more)

    def add(self, side: int, seq: int, size: int, more: dict[str, Any]) -> Sent:
        """One of the sides, 0 the client, sends a packet a millisecond behind the last."""
        number = len(self.packets) + 1
        sent = Sent(side, seq, size, **({"ip_id": number, "time_ns": number * MS} | more))
        self.packets.append(sent)
        return sent

    def follow(self) -> Followed:
        """What becomes of it."""
        return Followed(self.packets)


class Tcp(NamedTuple):
    """What tests of streams need."""

    sent: type[Sent]
    row: type[Row]
    lost: type[Lost]
    segments_of: Callable[[Sequence[Sent]], Segments]
    follow: type[Followed]
    talk: type[Talk]


@pytest.fixture(scope="session")
def tcp() -> Tcp:
    """Packets written by hand, and what becomes of them."""
    return Tcp(Sent, Row, Lost, segments_of, Followed, Talk)


@pytest.fixture
def talk() -> Talk:
    """A conversation of which the capture has seen 1000 to 1100, and that it was acknowledged."""
    talk = Talk()
    talk.send(1000)
    talk.ack(1100)
    return talk
