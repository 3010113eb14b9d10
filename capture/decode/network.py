"""IPv4 and IPv6: from their headers to what they carry. Pure.

The size of a datagram is what its header says, however many bytes a mirror or a snap length left of it; bytes behind
it are the link's padding. Checksums are not looked at: a truncated copy has none that holds. A routing header's final
destination is not looked up: addresses are those of the IP header.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from capture.decode.headers import EXTENSION, FRAGMENT, IPV4, IPV6, Header, Headers, read
from capture.decode.worklists import Spans, Values, Worklists

MAX_EXTENSIONS: Final = 8

# https://www.iana.org/assignments/protocol-numbers
PROTOCOLS: Final = {
    6: Header.TCP,
    17: Header.UDP,
    47: Header.GRE,
    4: Header.IPV4,
    41: Header.IPV6,
    51: Header.AUTHENTICATION,
    97: Header.ETHERIP,
    137: Header.MPLS,
}
IPV6_PROTOCOLS: Final = PROTOCOLS | {
    0: Header.EXTENSION,  # hop-by-hop options
    43: Header.EXTENSION,  # routing
    60: Header.EXTENSION,  # destination options
    135: Header.EXTENSION,  # mobility
    44: Header.FRAGMENT,
}
OTHER_PROTOCOLS: Final = {
    1: "ICMP",
    2: "IGMP",
    50: "ESP",
    58: "ICMPv6",
    59: "no next header",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    115: "L2TP",
    132: "SCTP",
}

FRAGMENTED4: Final = 0x3FFF  # more fragments, or an offset (RFC 791, section 3.1)
FRAGMENTED6: Final = 0xFFF9  # the same (RFC 8200, section 4.5)


def step(work: Worklists) -> None:
    """Pass all IP headers that wait, and every extension header behind them."""
    _ipv4(work)
    _ipv6(work)
    for _ in range(MAX_EXTENSIONS):
        _extension(work)
        _authentication(work)
        _fragment(work)


def not_tcp(number: int) -> str:
    """Return the reason to count a packet of another protocol, by its IP protocol number."""
    return f"not TCP: {OTHER_PROTOCOLS.get(number, f'IP protocol {number}')}"


def _ipv4(work: Worklists) -> None:
    spans = work.take(Header.IPV4, IPV4.itemsize)
    if spans is None:
        return
    spans, head = _sound_ipv4(work, spans)
    size = (head["version_size"] & 15).astype(np.int64) * 4
    spans = _limit(spans, head["length"].astype(np.int64), np.int64(0))
    whole = (head["fragment"] & FRAGMENTED4) == 0
    if not whole.all():
        work.push(Header.PIECE4, spans.pick(~whole))
        spans, head, size = spans.pick(whole), head[whole], size[whole]
    work.route(replace(spans, at=spans.at + size), head["protocol"], PROTOCOLS, not_tcp)


def _sound_ipv4(work: Worklists, spans: Spans) -> tuple[Spans, Headers]:
    head = read(work.data, spans.at, IPV4)
    version_size, length = head["version_size"], head["length"]
    sound = (version_size >= 0x45) & (version_size <= 0x4F)
    # A length of 0 comes from segmentation offload: the frame says how long it is.
    sound &= (length >= (version_size & 15).astype(np.uint16) * 4) | (length == 0)
    if sound.all():
        return spans, head
    return work.keep(spans, sound, "malformed IPv4 header"), head[sound]


def _ipv6(work: Worklists) -> None:
    spans = work.take(Header.IPV6, IPV6.itemsize)
    if spans is None:
        return
    head = read(work.data, spans.at, IPV6)
    sound = head["version_flow"] >> 28 == 6
    if not sound.all():
        spans, head = work.keep(spans, sound, "malformed IPv6 header"), head[sound]
    spans = _limit(spans, head["length"].astype(np.int64), np.int64(IPV6.itemsize))
    work.route(replace(spans, at=spans.at + IPV6.itemsize), head["next"], IPV6_PROTOCOLS, not_tcp)


def _limit(spans: Spans, length: Values, beyond: np.int64) -> Spans:
    """Return spans that end where their IP header says, or where the frame does if it says 0.

    Args:
        spans: at their IP headers, shape (n,).
        length: the header's length field, shape (n,), int64.
        beyond: bytes of the header that the field does not count.
    """
    wire_end = np.where(length == 0, spans.wire_end, spans.at + length + beyond)
    return replace(spans, end=np.minimum(spans.end, wire_end), wire_end=wire_end, ip=spans.at)


def _extension(work: Worklists) -> None:
    spans = work.take(Header.EXTENSION, EXTENSION.itemsize)
    if spans is not None:
        head = read(work.data, spans.at, EXTENSION)
        size = (head["size"].astype(np.int64) + 1) * 8
        work.route(replace(spans, at=spans.at + size), head["next"], IPV6_PROTOCOLS, not_tcp)


def _authentication(work: Worklists) -> None:
    spans = work.take(Header.AUTHENTICATION, EXTENSION.itemsize)
    if spans is not None:
        head = read(work.data, spans.at, EXTENSION)
        size = (head["size"].astype(np.int64) + 2) * 4  # RFC 4302, section 2.2
        work.route(replace(spans, at=spans.at + size), head["next"], IPV6_PROTOCOLS, not_tcp)


def _fragment(work: Worklists) -> None:
    """Pass fragment headers that fragment nothing (RFC 6946); the others begin a piece of a datagram."""
    spans = work.take(Header.FRAGMENT, FRAGMENT.itemsize)
    if spans is None:
        return
    spans = work.keep(spans, work.data[spans.ip] >> 4 == 6, "malformed IPv4 header")
    head = read(work.data, spans.at, FRAGMENT)
    whole = (head["offset"] & FRAGMENTED6) == 0
    work.push(Header.PIECE6, spans.pick(~whole))
    work.route(
        replace(spans.pick(whole), at=spans.at[whole] + FRAGMENT.itemsize), head["next"][whole], IPV6_PROTOCOLS, not_tcp
    )
