"""Batches from packets that scapy builds, and what the decoder makes of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np
import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from capture.decode import Decoder
from capture.packets import Batch, LinkType, Segments


@dataclass
class Decoded:
    """What a decoder found in some packets."""

    decoder: Decoder
    segments: Segments

    @property
    def counts(self) -> Counter[str]:
        """The reasons, without those that no packet has any more."""
        return +self.decoder.counts

    def __len__(self) -> int:
        return len(self.segments)

    def ends(self, index: int = 0) -> tuple[str, int, str, int]:
        """Source address and port, target address and port."""
        source, target = int(self.segments.source[index]), int(self.segments.target[index])
        return (
            self.decoder.address(source >> 16), source & 0xFFFF, self.decoder.address(target >> 16), target & 0xFFFF
        )  # fmt: skip

    def payload(self, index: int = 0) -> bytes:
        """The captured payload."""
        at = int(self.segments.payload[index])
        return self.segments.data[at : at + int(self.segments.captured[index])].tobytes()

    def options(self, index: int = 0) -> bytes:
        """The captured TCP options."""
        at = int(self.segments.options[index])
        return self.segments.data[at : at + int(self.segments.options_size[index])].tobytes()

    def said(self, index: int = 0) -> dict[str, object]:
        """All that the headers said, as `scapy_says` has it."""
        names = ("seq", "ack", "flags", "window", "size")
        said: dict[str, object] = {name: int(getattr(self.segments, name)[index]) for name in names}
        return said | {"ends": self.ends(index), "payload": self.payload(index), "options": self.options(index)}


def innermost(packet: Packet) -> TCP:
    """Return the last TCP layer of a packet."""
    found = None
    while packet:
        found = packet if isinstance(packet, TCP) else found
        packet = packet.payload
    assert found is not None
    return found


@pytest.fixture
def scapy_says() -> Callable[[Packet], dict[str, object]]:
    """What scapy holds of the innermost TCP layer of a packet that it built."""

    def says(packet: Packet) -> dict[str, object]:
        tcp = innermost(packet)
        ip = tcp.underlayer
        while not hasattr(ip, "src"):
            ip = ip.underlayer
        payload = bytes(tcp.payload)
        options = bytes(tcp)[20 : len(bytes(tcp)) - len(payload)]
        return {
            "seq": tcp.seq, "ack": tcp.ack, "flags": int(tcp.flags), "window": tcp.window, "size": len(payload),
            "ends": (str(ip_address(ip.src)), tcp.sport, str(ip_address(ip.dst)), tcp.dport),
            "payload": payload, "options": options,
        }  # fmt: skip

    return says


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """Packets one after the other, the last one at the very end of the buffer."""

    def build(
        packets: Sequence[bytes],
        link: int = LinkType.ETHERNET,
        wirelen: Sequence[int] | None = None,
        time_ns: Sequence[int] | None = None,
    ) -> Batch:
        caplen = np.array([len(packet) for packet in packets], np.int64)
        return Batch(
            data=np.frombuffer(b"".join(packets), np.uint8),
            start=np.cumsum(caplen) - caplen,
            caplen=caplen,
            wirelen=caplen if wirelen is None else np.array(wirelen, np.int64),
            time_ns=np.arange(len(packets), dtype=np.int64) if time_ns is None else np.array(time_ns, np.int64),
            link=np.full(len(packets), link, np.uint16),
            hardware=np.arange(len(packets)) % 2 == 1,
            vlan=np.zeros(len(packets), np.uint16),
        )

    return build


@pytest.fixture
def decode(batch_of: Callable[..., Batch]) -> Callable[..., Decoded]:
    """A decoder's answer to scapy's packets, or to bytes; it holds the invariant of every decode."""

    def answer(*packets: Packet | bytes, decoder: Decoder | None = None, **batch: object) -> Decoded:
        decoder = decoder or Decoder()
        before = decoder.counts.total()
        segments = decoder.decode(batch_of([bytes(packet) for packet in packets], **batch))
        assert len(packets) == len(segments) + decoder.counts.total() - before
        return Decoded(decoder, segments)

    return answer
