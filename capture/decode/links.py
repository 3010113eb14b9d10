"""Link layers: from the first byte of a captured packet to its IP header. Pure.

Ethernet with any stack of VLAN tags, Linux cooked captures, BSD loopback, raw IP. A tag that the kernel stripped leaves
no bytes to pass. What an EtherType announces is decided here for everyone: GRE and GENEVE use the same numbers.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from capture.decode.headers import ETHERNET, SLL, SLL2, VLAN, WORD, Header, read
from capture.decode.worklists import Spans, Values, Worklists
from capture.packets import LinkType

MAX_TAGS: Final = 8

LINKS: Final[dict[int, Header]] = {
    LinkType.ETHERNET: Header.ETHERNET,
    LinkType.LINUX_SLL: Header.SLL,
    LinkType.LINUX_SLL2: Header.SLL2,
    LinkType.NULL: Header.FAMILY,
    LinkType.LOOP: Header.FAMILY,
    LinkType.RAW: Header.RAW,
    LinkType.RAW_BSD: Header.RAW,
    LinkType.RAW_OPENBSD: Header.RAW,
    LinkType.IPV4: Header.IPV4,
    LinkType.IPV6: Header.IPV6,
}

# Below 0x600 the field is not a type but the size of an 802.2 frame (IEEE 802.3, clause 3.2.6); cooked captures say
# the same with the kernel's ETH_P_802_2.
LOWEST_TYPE: Final = 0x600
ETH_P_802_2: Final = 4

ETHERTYPES: Final = {
    0x0800: Header.IPV4,
    0x86DD: Header.IPV6,
    0x8100: Header.VLAN,
    0x88A8: Header.VLAN,
    0x9100: Header.VLAN,
    0x6558: Header.ETHERNET,  # transparent Ethernet bridging, RFC 1701
    0x88BE: Header.ERSPAN2,
    0x22EB: Header.ERSPAN3,
    0x8847: Header.MPLS,
    0x8848: Header.MPLS,
    0x8864: Header.PPPOE,
    0x894F: Header.NSH,
    0x88E7: Header.PBB,
    ETH_P_802_2: Header.LLC,
}
OTHER_TYPES: Final = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x8809: "LACP",
    0x8863: "PPPoE discovery",
    0x888E: "EAPOL",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x88F7: "PTP",
}

VERSIONS: Final = {4: Header.IPV4, 6: Header.IPV6}
FAMILIES: Final = {  # AF_INET, and AF_INET6 of Linux, NetBSD, FreeBSD, macOS
    2: Header.IPV4,
    10: Header.IPV6,
    24: Header.IPV6,
    28: Header.IPV6,
    30: Header.IPV6,
}


def enter(work: Worklists, spans: Spans, link: Values) -> None:
    """Push packets to the worklist of their link type.

    Args:
        work: the worklists.
        spans: whole packets, shape (n,).
        link: `LinkType` of each, or another number, shape (n,).
    """
    work.route(spans, link, LINKS, lambda number: f"link type {number}")


def step(work: Worklists) -> None:
    """Pass all link headers that wait, and every VLAN tag behind them."""
    _cooked(work)
    _loopback(work)
    _ethernet(work)
    for _ in range(MAX_TAGS):
        _vlan(work)
    _raw(work)


def by_ethertype(work: Worklists, spans: Spans, types: Values) -> None:
    """Push spans to the worklist of the header that an EtherType announces.

    Args:
        work: the worklists.
        spans: shape (n,), each at the announced header.
        types: the EtherTypes, shape (n,).
    """
    work.route(spans, types, ETHERTYPES, lambda number: OTHER_TYPES.get(number, f"EtherType 0x{number:04x}"))


def _ethernet(work: Worklists) -> None:
    spans = work.take(Header.ETHERNET, ETHERNET.itemsize)
    if spans is not None:
        types = read(work.data, spans.at, ETHERNET)["type"]
        by_ethertype(work, replace(spans, at=spans.at + ETHERNET.itemsize), _or_size(types))


def _vlan(work: Worklists) -> None:
    spans = work.take(Header.VLAN, VLAN.itemsize)
    if spans is not None:
        types = read(work.data, spans.at, VLAN)["type"]
        by_ethertype(work, replace(spans, at=spans.at + VLAN.itemsize), _or_size(types))


def _or_size(types: Values) -> npt.NDArray[np.uint16]:
    """Return EtherTypes, with the one for 802.2 in the place of sizes."""
    return np.where(types < LOWEST_TYPE, ETH_P_802_2, types).astype(np.uint16)


def _cooked(work: Worklists) -> None:
    for header, layout in ((Header.SLL, SLL), (Header.SLL2, SLL2)):
        spans = work.take(header, layout.itemsize)
        if spans is not None:
            types = read(work.data, spans.at, layout)["type"]
            by_ethertype(work, replace(spans, at=spans.at + layout.itemsize), types)


def _loopback(work: Worklists) -> None:
    """Pass the address family, which NULL has in the capturing machine's byte order and LOOP in the network's."""
    spans = work.take(Header.FAMILY, WORD.itemsize)
    if spans is None:
        return
    family = read(work.data, spans.at, WORD)["value"].astype(np.uint32)
    family = np.where(family > 0xFFFF, family.byteswap(), family)
    work.route(
        replace(spans, at=spans.at + WORD.itemsize), family, FAMILIES, lambda _: "another address family than IP's"
    )


def _raw(work: Worklists) -> None:
    spans = work.take(Header.RAW, 1)
    if spans is not None:
        work.route(spans, work.data[spans.at] >> 4, VERSIONS, lambda _: "neither IPv4 nor IPv6")
