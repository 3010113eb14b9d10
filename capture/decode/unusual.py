"""Rare layers: scapy finds its way through them to the IP header behind, where the arrays take over again.

MPLS, PPPoE and PPTP, NSH, 802.2 LLC with SNAP, provider backbone bridges, EtherIP. scapy costs some 100 µs a packet and
most of a second to import, so it is imported when it is first needed and asked for a bounded number of packets a batch.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

import numpy as np

from capture.decode.headers import Header
from capture.decode.worklists import Spans, Worklists

if TYPE_CHECKING:
    from scapy.packet import Packet

NOT_LOOKED_AT: Final = "unusual, not looked at"
MAX_HEADERS_BYTES: Final = 256  # what scapy gets to see of a packet

LAYERS: Final = {
    Header.LLC: ("scapy.layers.l2", "LLC"),
    Header.MPLS: ("scapy.contrib.mpls", "MPLS"),
    Header.PPPOE: ("scapy.layers.ppp", "PPPoE"),
    Header.PPTP: ("scapy.layers.l2", "GRE_PPTP"),
    Header.NSH: ("scapy.contrib.nsh", "NSH"),
    Header.PBB: ("scapy.layers.l2", "Dot1AH"),
    Header.ETHERIP: ("scapy.contrib.etherip", "EtherIP"),
}
VERSIONS: Final = {"IP": Header.IPV4, "IPv6": Header.IPV6}


def step(work: Worklists, limit: int) -> int:
    """Pass the rare headers that wait.

    Args:
        work: the worklists.
        limit: how many packets scapy may still be asked about.

    Returns:
        How many it was asked about.
    """
    asked = 0
    for header in LAYERS:
        spans = work.take(header, 1)
        if spans is None:
            continue
        allowed = np.arange(len(spans)) < limit - asked
        spans = work.keep(spans, allowed, NOT_LOOKED_AT)
        asked += len(spans)
        _pass(work, header, spans)
    return asked


def _pass(work: Worklists, header: Header, spans: Spans) -> None:
    """Push each span to the worklist of the first IP header that scapy finds in it, or count it."""
    ways = [
        _way(header, work.data[at : min(end, at + MAX_HEADERS_BYTES)].tobytes())
        for at, end in zip(spans.at.tolist(), spans.end.tolist(), strict=True)
    ]
    skip = np.array([way for way, _ in ways], np.int64)
    inner = Spans(spans.packet, spans.at + skip, spans.end, spans.wire_end, spans.tunnel, spans.ip)
    for ip in VERSIONS.values():
        work.push(ip, inner.pick(np.array([found is ip for _, found in ways], np.bool_)))
    nowhere = np.array([found is None for _, found in ways], np.bool_)
    work.keep(spans, ~nowhere, f"{header} without IP inside")


def _way(header: Header, packet: bytes) -> tuple[int, Header | None]:
    """Return how many bytes lie in front of a packet's first IP header, and which it is; None without one."""
    dissect = _layer(header)
    try:
        layer = dissect(packet)
    except Exception:  # noqa: BLE001 - scapy raises whatever a malformed packet makes its fields raise
        return 0, None
    skip = 0
    while layer:
        version = VERSIONS.get(type(layer).__name__)
        if version is not None:
            return skip, version
        skip += len(layer.raw_packet_cache or b"")
        layer = layer.payload
    return 0, None


@cache
def _layer(header: Header) -> "type[Packet]":
    for layers in ("scapy.layers.inet", "scapy.layers.inet6"):
        import_module(layers)  # they tell the others what an IP header looks like
    module, name = LAYERS[header]
    layer: type[Packet] = getattr(import_module(module), name)
    return layer
