"""The decoder: rounds over the worklists, blocks of a batch, and what the rounds found put together. Pure.

A packet is in the segments, or counted under exactly one reason: `len(batch)` is the number of segments plus what a
call added to the counts.
"""

from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import numpy as np

from capture.decode import fragments, links, network, tcp, tunnels, unusual
from capture.decode.addresses import AddressTable
from capture.decode.fragments import Reassembler
from capture.decode.headers import Header
from capture.decode.tcp import IPV6_NUMBERS, Found
from capture.decode.worklists import Rebuilt, Spans, Worklists
from capture.packets import Batch, Bytes, Segments

BLOCK: Final = 8192  # packets; their columns fit the cache
TOO_DEEP: Final = "too many layers"

NOTHING: Final = Found(
    packet=np.empty(0, np.int64),
    tunnel=np.empty(0, np.uint32),
    source=np.empty(0, np.uint64),
    target=np.empty(0, np.uint64),
    seq=np.empty(0, np.uint32),
    ack=np.empty(0, np.uint32),
    flags=np.empty(0, np.uint16),
    window=np.empty(0, np.uint16),
    ip_id=np.empty(0, np.uint16),
    size=np.empty(0, np.uint32),
    payload=np.empty(0, np.int64),
    captured=np.empty(0, np.uint32),
    options=np.empty(0, np.int64),
    options_size=np.empty(0, np.uint16),
)


class Decoder:
    """Finds the TCP segments in batches of packets, whatever they are wrapped in.

    It keeps, from batch to batch, the fragments of incomplete datagrams and the numbers of IPv6 addresses; both are
    bounded.

    Args:
        vxlan_ports: UDP destination ports that carry VXLAN.
        geneve_ports: UDP destination ports that carry GENEVE.
        max_depth: how many encapsulations in one another are looked into.
        max_unusual: packets of a batch that scapy may be asked about; 0 leaves scapy alone.

    Attributes:
        counts: packets that gave no segment, by reason; a waiting fragment moves to another reason in the end.
    """

    def __init__(
        self,
        vxlan_ports: Sequence[int] = (4789, 8472),
        geneve_ports: Sequence[int] = (6081,),
        max_depth: int = 8,
        max_unusual: int = 256,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._vxlan_ports = tuple(vxlan_ports)
        self._geneve_ports = tuple(geneve_ports)
        self._max_depth = max_depth
        self._max_unusual = max_unusual
        self._left_unusual = max_unusual
        self._addresses = AddressTable()
        self._reassembler = Reassembler(self.counts)

    def address(self, number: int) -> str:
        """Return the text of an address.

        Args:
            number: the upper bits of an endpoint, `source >> 16`.

        Raises:
            IndexError: no address has this number.
        """
        if number < IPV6_NUMBERS:
            return str(IPv4Address(number))
        return str(IPv6Address(self._addresses[number - IPV6_NUMBERS]))

    def decode(self, batch: Batch) -> Segments:
        """Return the TCP segments of a batch; what has none is counted.

        Args:
            batch: captured packets; `start + caplen` must lie within its data.
        """
        self._left_unusual = self._max_unusual
        found: list[Found] = []
        rebuilt: list[Rebuilt] = []
        for first in range(0, len(batch), BLOCK):
            work = Worklists(batch.data, batch.time_ns, self.counts)
            block = slice(first, first + BLOCK)
            links.enter(work, _packets(batch, block), batch.link[block])
            found += self._rounds(work)
            rebuilt += work.rebuilt
        pieces = [batch.data]
        # A rebuilt datagram may hold a fragment that completes another one.
        for _ in range(self._max_depth):
            if not rebuilt:
                break
            work = Worklists(_buffer(rebuilt), batch.time_ns, self.counts)
            work.push(Header.RAW, _datagrams(rebuilt))
            moved = sum(map(len, pieces))
            found += [
                part._replace(payload=part.payload + moved, options=part.options + moved) for part in self._rounds(work)
            ]
            pieces.append(work.data)
            rebuilt = work.rebuilt
        if rebuilt:
            self.counts[TOO_DEEP] += len(rebuilt)
        data = batch.data if len(pieces) == 1 else np.concatenate(pieces)
        return _segments(batch, data, found)

    def _rounds(self, work: Worklists) -> list[Found]:
        """Step all spans forward until none waits; each round passes one encapsulation."""
        found = []
        for _ in range(self._max_depth):
            links.step(work)
            self._left_unusual -= unusual.step(work, self._left_unusual)
            network.step(work)
            fragments.step(work, self._reassembler)
            segments = tcp.step(work, self._addresses)
            if segments is not None:
                found.append(segments)
            tunnels.step(work, self._vxlan_ports, self._geneve_ports)
            if not len(work):
                return found
        work.clear(TOO_DEEP)
        return found


def _packets(batch: Batch, block: slice) -> Spans:
    """Return whole packets of a batch as spans."""
    start = batch.start[block]
    packet = np.arange(block.start, block.start + len(start))
    wire_end = start + batch.wirelen[block]
    return Spans(packet, start, start + batch.caplen[block], wire_end, np.zeros(len(start), np.uint32), start)


def _buffer(rebuilt: list[Rebuilt]) -> Bytes:
    return np.frombuffer(b"".join(each.datagram for each in rebuilt), np.uint8)


def _datagrams(rebuilt: list[Rebuilt]) -> Spans:
    """Return rebuilt datagrams as spans of the buffer that holds them one after the other."""
    packet = np.array([each.packet for each in rebuilt], np.int64)
    end = np.cumsum([len(each.datagram) for each in rebuilt])
    start = np.concatenate([[0], end[:-1]])
    return Spans(packet, start, end, end, np.array([each.tunnel for each in rebuilt], np.uint32), start)


def _segments(batch: Batch, data: Bytes, parts: list[Found]) -> Segments:
    """Put the segments of all rounds together, in order of arrival."""
    found = Found._make(np.concatenate(columns) for columns in zip(NOTHING, *parts, strict=True))
    packet = found.packet
    if (packet[1:] < packet[:-1]).any():
        order = np.argsort(packet, kind="stable")
        found = Found._make(column[order] for column in found)
        packet = found.packet
    return Segments(
        data=data,
        time_ns=batch.time_ns[packet],
        frame=batch.wirelen[packet].astype(np.uint32),
        hardware=batch.hardware[packet],
        **found._asdict(),
    )
