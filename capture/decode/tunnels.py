"""Tunnels: from UDP and GRE to the packet inside. Pure.

A tunnel whose header carries an identifier gives it to what is inside; the others leave the identifier of the tunnel
around them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from capture.decode import links
from capture.decode.headers import ERSPAN2, ERSPAN3, ETHERNET, GENEVE, GRE, UDP, VXLAN, WORD, Header, read
from capture.decode.worklists import Spans, Values, Worklists

NOT_TCP: Final = "not TCP: UDP"

VNI_VALID: Final = 0x08  # the I bit of VXLAN; the bits around it are reserved, and set by some

# RFC 2890, section 2, and RFC 1701 for the one that is no longer used
GRE_CHECKSUM: Final = 0x8000
GRE_ROUTING: Final = 0x4000
GRE_KEY: Final = 0x2000
GRE_SEQUENCE: Final = 0x1000
GRE_VERSION: Final = 0x0007

ERSPAN_TYPE: Final = 0x88BE  # types I and II
BRIDGED: Final = 0x6558
SESSION: Final = 0x03FF
ERSPAN3_SUBHEADER: Final = 0x0001  # the O bit: 8 more bytes


def step(work: Worklists, vxlan_ports: Sequence[int], geneve_ports: Sequence[int]) -> None:
    """Pass all tunnel headers that wait.

    Args:
        work: the worklists.
        vxlan_ports: UDP destination ports that carry VXLAN.
        geneve_ports: UDP destination ports that carry GENEVE.
    """
    _udp(work, vxlan_ports, geneve_ports)
    _vxlan(work)
    _geneve(work)
    _gre(work)
    _erspan2(work)
    _erspan3(work)


def _udp(work: Worklists, vxlan_ports: Sequence[int], geneve_ports: Sequence[int]) -> None:
    spans = work.take(Header.UDP, UDP.itemsize)
    if spans is not None:
        port = read(work.data, spans.at, UDP)["target"]
        inside = dict.fromkeys(vxlan_ports, Header.VXLAN) | dict.fromkeys(geneve_ports, Header.GENEVE)
        work.route(replace(spans, at=spans.at + UDP.itemsize), port, inside, lambda _: NOT_TCP)


def _vxlan(work: Worklists) -> None:
    """Pass VXLAN headers (RFC 7348, section 5) where there is room for a frame behind them."""
    spans = work.take(Header.VXLAN, VXLAN.itemsize)
    if spans is None:
        return
    head = read(work.data, spans.at, VXLAN)
    inside = spans.at + VXLAN.itemsize
    plausible = (head["flags"] & VNI_VALID != 0) & (spans.wire_end - inside >= ETHERNET.itemsize)
    inner = replace(spans, at=inside, tunnel=head["vni"].astype(np.uint32) >> np.uint32(8))
    work.push(Header.ETHERNET, work.keep(inner, plausible, NOT_TCP))


def _geneve(work: Worklists) -> None:
    """Pass GENEVE headers with their options (RFC 8926, section 3.4)."""
    spans = work.take(Header.GENEVE, GENEVE.itemsize)
    if spans is None:
        return
    head = read(work.data, spans.at, GENEVE)
    size = GENEVE.itemsize + (head["size"] & 0x3F).astype(np.int64) * 4
    inner = replace(spans, at=spans.at + size, tunnel=head["vni"].astype(np.uint32) >> np.uint32(8))
    known = head["size"] >> 6 == 0
    links.by_ethertype(work, work.keep(inner, known, NOT_TCP), head["type"][known])


def _gre(work: Worklists) -> None:
    """Pass GRE headers with their optional fields (RFC 2784, RFC 2890)."""
    spans = work.take(Header.GRE, GRE.itemsize)
    if spans is None:
        return
    head = read(work.data, spans.at, GRE)
    flags, types = head["flags"].astype(np.uint16), head["type"].astype(np.uint16)
    enhanced = flags & GRE_VERSION == 1  # RFC 2637
    known = flags & (GRE_VERSION | GRE_ROUTING) == 0
    if not known.all():
        work.push(Header.PPTP, spans.pick(enhanced))
        work.keep(spans, known | enhanced, "unknown GRE version, or GRE with source routing")
        spans, flags, types = spans.pick(known), flags[known], types[known]
    size = GRE.itemsize + 4 * sum((flags & bit != 0).astype(np.int64) for bit in (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE))
    there = spans.end - spans.at >= size
    if not there.all():
        spans, flags, types, size = (
            work.keep(spans, there, f"truncated in {Header.GRE} header"), flags[there], types[there], size[there]
        )  # fmt: skip
    # ERSPAN type I has no sequence number and no header of its own.
    types = np.where((types == ERSPAN_TYPE) & (flags & GRE_SEQUENCE == 0), BRIDGED, types)
    links.by_ethertype(work, replace(spans, at=spans.at + size, tunnel=_keys(work, spans, flags)), types)


def _keys(work: Worklists, spans: Spans, flags: Values) -> Values:
    """Return the key of each GRE header that has one, else the tunnel around it, shape (n,), uint32."""
    tunnel = spans.tunnel
    keyed = flags & GRE_KEY != 0
    if keyed.any():
        at = spans.at[keyed] + GRE.itemsize + 4 * (flags[keyed] & GRE_CHECKSUM != 0)
        tunnel = tunnel.copy()
        tunnel[keyed] = read(work.data, at, WORD)["value"]
    return tunnel


def _erspan2(work: Worklists) -> None:
    spans = work.take(Header.ERSPAN2, ERSPAN2.itemsize)
    if spans is None:
        return
    head = read(work.data, spans.at, ERSPAN2)
    inner = replace(spans, at=spans.at + ERSPAN2.itemsize, tunnel=_session(head["session"]))
    work.push(Header.ETHERNET, work.keep(inner, head["version"] >> 4 == 1, "unknown ERSPAN version"))


def _erspan3(work: Worklists) -> None:
    spans = work.take(Header.ERSPAN3, ERSPAN3.itemsize)
    if spans is None:
        return
    head = read(work.data, spans.at, ERSPAN3)
    size = ERSPAN3.itemsize + (head["flags"] & ERSPAN3_SUBHEADER).astype(np.int64) * 8
    inner = replace(spans, at=spans.at + size, tunnel=_session(head["session"]))
    known = head["version"] >> 4 == 2
    content = (head["flags"].astype(np.uint16) >> 10 & 0x1F)[known]  # the frame type: 0 Ethernet, 2 IP
    work.route(
        work.keep(inner, known, "unknown ERSPAN version"),
        content,
        {0: Header.ETHERNET, 2: Header.RAW},
        lambda _: "unknown ERSPAN frame type",
    )


def _session(field: Values) -> Values:
    return (field & SESSION).astype(np.uint32)
