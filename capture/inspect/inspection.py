"""Looking into captured TLS connections with a key log: packets in, plaintext records out. For inspection only.

Packet by packet, unlike the agent: whoever inspects asks about some connections, not about millions of packets. Memory
is bounded by the number of connections, and by what streams with gaps hold together.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np

from capture.decode import Decoder
from capture.files import FileSource
from capture.inspect.keylog import KeyLog
from capture.inspect.reassembly import HeldBytes, StreamBytes
from capture.inspect.tls import Plain, Stop, TlsSession
from capture.packets import Segments, Source
from capture.streams.flows import Flows
from journal.wire import TcpFlag

MAX_CONNECTIONS: Final = 8192


@dataclass(frozen=True, slots=True)
class Decrypted:
    """A decrypted record.

    Attributes:
        time_ns: when the packet was captured that made it possible to decrypt it: the one with its last byte, or a
            later one where packets came in another order.
        sender, receiver: `address:port`.
        tunnel: the innermost tunnel's identifier, 0 without a tunnel.
        connection: which connection it is, counted from 0; the same ends may make another one.
        plain: side, offset and content; side 0 is the numerically lower endpoint, `a` of `journal.wire`.
    """

    time_ns: int
    sender: str
    receiver: str
    tunnel: int
    connection: int
    plain: Plain


class _Connection:
    """A connection's bytes and what they hold."""

    def __init__(self, keys: KeyLog, budget: HeldBytes, ends: tuple[str, str], tunnel: int, number: int) -> None:
        self._session = TlsSession(keys)
        self._streams = StreamBytes(budget), StreamBytes(budget)
        self._ends = ends
        self._tunnel = tunnel
        self._number = number

    def begin(self, side: int, syn: int) -> None:
        self._streams[side].begin(syn)

    def take(self, time_ns: int, side: int, seq: int, data: bytes) -> Iterator[Decrypted]:
        if side in self._session.stopped:
            return
        for off, piece in self._streams[side].take(seq, data):
            yield from self._decrypt(time_ns, side, off, piece)
        if side in self._session.stopped:
            self._streams[side].rest()  # what it holds is not wanted any more, and others may hold more

    def finish(self, time_ns: int, stopped: Counter[Stop]) -> Iterator[Decrypted]:
        """Yield what waited for bytes that do not come, and count why directions were not decrypted to their end."""
        for side, stream in enumerate(self._streams):
            for off, piece in stream.rest():
                yield from self._decrypt(time_ns, side, off, piece)
        self._session.finish()
        stopped.update(self._session.stopped.values())

    def _decrypt(self, time_ns: int, side: int, off: int, piece: bytes) -> Iterator[Decrypted]:
        for plain in self._session.feed(side, off, piece):
            sender, receiver = self._ends[plain.side], self._ends[1 - plain.side]
            yield Decrypted(time_ns, sender, receiver, self._tunnel, self._number, plain)


class Inspection:
    """Decrypts what a source brings.

    Args:
        source: the packets.
        keys: the secrets.
        decoder: finds the TCP segments; one that looks into the usual tunnels unless given.

    Attributes:
        stopped: how many directions of connections were not decrypted to their end, by reason.
    """

    def __init__(self, source: Source, keys: KeyLog, decoder: Decoder | None = None) -> None:
        self.stopped: Counter[Stop] = Counter()
        self._source = source
        self._keys = keys
        self._decoder = Decoder() if decoder is None else decoder
        self._flows = Flows(MAX_CONNECTIONS)
        self._budget = HeldBytes()
        self._connections: dict[int, _Connection] = {}  # by slot
        self._numbers = count()

    def records(self) -> Iterator[Decrypted]:
        """Yield application data and alerts of all connections, in the order in which they could be decrypted.

        Raises:
            CaptureError: the source cannot be read.
        """
        time_ns = 0
        for batch in self._source.batches():
            segments = self._decoder.decode(batch)
            if len(segments):
                yield from self._take(segments)
                time_ns = int(segments.time_ns[-1])
                yield from self._forget(self._flows.make_room().tolist(), time_ns)
        yield from self._forget(list(self._connections), time_ns)

    def _take(self, segments: Segments) -> Iterator[Decrypted]:
        found = self._flows.find(segments)
        for slot, index in found.opened:
            self._connections[slot] = self._connection(segments, slot, index)
        syn = (segments.flags & np.uint16(TcpFlag.SYN)) != 0
        for index in np.flatnonzero(syn | (segments.captured > 0)).tolist():
            connection, side = self._connections[int(found.slot[index])], int(found.side[index])
            seq = int(segments.seq[index])
            if syn[index]:
                connection.begin(side, seq)
                seq += 1  # a SYN may carry data, which begins behind it (RFC 9293, section 3.4)
            payload = int(segments.payload[index])
            data = segments.data[payload : payload + int(segments.captured[index])].tobytes()
            if data:
                yield from connection.take(int(segments.time_ns[index]), side, seq, data)
        for slot, index in found.replaced:
            yield from self._forget([slot], int(segments.time_ns[index]))
            self._flows.release(np.array([slot], np.int64))

    def _connection(self, segments: Segments, slot: int, index: int) -> _Connection:
        low, high = (self._name(int(ends[slot])) for ends in (self._flows.low, self._flows.high))
        return _Connection(self._keys, self._budget, (low, high), int(segments.tunnel[index]), next(self._numbers))

    def _name(self, endpoint: int) -> str:
        return f"{self._decoder.address(endpoint >> 16)}:{endpoint & 0xFFFF}"

    def _forget(self, slots: Sequence[int], time_ns: int) -> Iterator[Decrypted]:
        for slot in slots:
            yield from self._connections.pop(slot).finish(time_ns, self.stopped)


def decrypt_capture(paths: Sequence[Path], keys: KeyLog) -> Iterator[Decrypted]:
    """Yield the decrypted records of capture files (see `Inspection.records`).

    Args:
        paths: pcap or pcapng files, in order.
        keys: the secrets.

    Raises:
        NotACapture: a file is none.
    """
    yield from Inspection(FileSource(paths), keys).records()
