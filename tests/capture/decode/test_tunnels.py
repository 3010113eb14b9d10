"""Tunnels: every kind a mirror sends, and what only looks like one."""

from collections.abc import Callable

import pytest
from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III, ERSPAN_PlatformSpecific
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import GRE, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from capture.decode import Decoder

FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OUTER = FRAME / IP(src="10.0.0.1", dst="10.0.0.2")
OUTER6 = FRAME / IPv6(src="fd00::1", dst="fd00::2")
FOUR = IP(src="192.0.2.1", dst="198.51.100.2") / TCP(sport=1000, dport=443, seq=7) / b"four"
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=1001, dport=443, seq=8) / b"six"
SEQUENCED = GRE(proto=0x88BE, seqnum_present=1, sequence_number=9)
OPTION = GeneveOptions(classid=0x108, type=1, data=b"12345678")


def outer_udp(port: int) -> Packet:
    return OUTER / UDP(sport=50_000, dport=port)


TUNNELS = {
    "VXLAN": (outer_udp(4789) / VXLAN(vni=4242) / FRAME, 4242),
    "VXLAN on Linux's port": (outer_udp(8472) / VXLAN(vni=4242) / FRAME, 4242),
    "VXLAN on IPv6": (OUTER6 / UDP(sport=5, dport=4789) / VXLAN(vni=4242) / FRAME, 4242),
    "VXLAN, reserved bits set": (
        outer_udp(4789) / VXLAN(vni=4242, flags=0xFB, gpflags=0xFF, gpid=0xFFFF, reserved2=0xFF) / FRAME, 4242
    ),
    "VXLAN, tags inside": (outer_udp(4789) / VXLAN(vni=0xFFFFFF) / FRAME / Dot1Q(vlan=5), 0xFFFFFF),
    "GENEVE": (outer_udp(6081) / GENEVE(vni=77, proto=0x6558) / FRAME, 77),
    "GENEVE, options": (outer_udp(6081) / GENEVE(vni=77, proto=0x6558, options=[OPTION, OPTION]) / FRAME, 77),
    "GENEVE, as many options as fit": (
        outer_udp(6081) / GENEVE(vni=77, proto=0x6558, options=[GeneveOptions(data=b"x" * 120)] * 2) / FRAME, 77
    ),
    "GENEVE around VXLAN": (
        outer_udp(6081) / GENEVE(vni=77, proto=0x0800, options=[OPTION])
        / IP(src="10.1.0.1", dst="10.1.0.2") / UDP(sport=1, dport=4789) / VXLAN(vni=88) / FRAME,
        88,
    ),
    "GRE, bridged": (OUTER / GRE(proto=0x6558) / FRAME, 0),
    "GRE, key and all": (
        OUTER / GRE(proto=0x6558, key_present=1, key=0xDEADBEEF, chksum_present=1, seqnum_present=1) / FRAME, 0xDEADBEEF
    ),
    "GRE, key": (OUTER / GRE(proto=0x6558, key_present=1, key=5) / FRAME, 5),
    "ERSPAN I": (OUTER / GRE(proto=0x88BE) / ERSPAN_I() / FRAME, 0),
    "ERSPAN II": (OUTER / SEQUENCED / ERSPAN_II(session_id=0x3FF, vlan=1, en=3, t=1, cos=7) / FRAME, 0x3FF),
    "ERSPAN III": (OUTER / GRE(proto=0x22EB, seqnum_present=1) / ERSPAN_III(session_id=3, gra=2, d=1) / FRAME, 3),
    "ERSPAN III, subheader": (
        OUTER / GRE(proto=0x22EB, seqnum_present=1) / ERSPAN_III(session_id=3, o=1) / ERSPAN_PlatformSpecific() / FRAME,
        3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TUNNELS)
def test_a_tunnel_with_frames_inside(decode: Callable, scapy_says: Callable, name: str) -> None:
    """Innermost segment and identifier, for IPv4 and IPv6 inside."""
    tunnel, number = TUNNELS[name]
    found = decode(tunnel / FOUR, tunnel / SIX)
    assert [scapy_says(FOUR), scapy_says(SIX)] == [found.said(0), found.said(1)]
    assert [number, number] == found.segments.tunnel.tolist()


def bare(kind: str, inner: Packet) -> Packet:
    """Return a tunnel whose payload is IP without a frame around it."""
    proto = 0x0800 if inner.version == 4 else 0x86DD
    return {
        "GENEVE": outer_udp(6081) / GENEVE(vni=5, proto=proto, options=[OPTION]) / inner,
        "GRE": OUTER / GRE(proto=proto, key_present=1, key=5) / inner,
        "ERSPAN III": OUTER / GRE(proto=0x22EB, seqnum_present=1) / ERSPAN_III(session_id=5, ft=2, o=0) / bytes(inner),
        "IP in IPv4": OUTER / inner,
        "IP in IPv6": OUTER6 / inner,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "number"), [("GENEVE", 5), ("GRE", 5), ("ERSPAN III", 5), ("IP in IPv4", 0), ("IP in IPv6", 0)]
)
def test_a_tunnel_with_bare_ip_inside(decode: Callable, scapy_says: Callable, kind: str, number: int) -> None:
    """GENEVE as Google's mirrors send it, GRE, IP in IP."""
    found = decode(bare(kind, FOUR), bare(kind, SIX))
    assert [scapy_says(FOUR), scapy_says(SIX)] == [found.said(0), found.said(1)]
    assert [number, number] == found.segments.tunnel.tolist()


def test_a_tunnel_without_identifier_leaves_that_around_it(decode: Callable) -> None:
    """IP in IP inside VXLAN still belongs to its VNI; a key counts again."""
    vxlan = outer_udp(4789) / VXLAN(vni=9) / FRAME / IP(src="10.1.0.1", dst="10.1.0.2")
    found = decode(
        vxlan / FOUR, vxlan / GRE(proto=0x800) / FOUR, vxlan / GRE(proto=0x800, key_present=1, key=3) / FOUR,
        FRAME / FOUR,
    )  # fmt: skip
    assert [9, 9, 3, 0] == found.segments.tunnel.tolist()


def test_the_ports_are_the_decoders(decode: Callable) -> None:
    """A mirror may have chosen others."""
    packets = (outer_udp(5555) / VXLAN(vni=1) / FRAME / FOUR, outer_udp(6666) / GENEVE(vni=2, proto=0x800) / FOUR)
    assert {"not TCP: UDP": 2} == decode(*packets).counts
    found = decode(*packets, decoder=Decoder(vxlan_ports=(5555,), geneve_ports=(6666,)))
    assert [1, 2] == found.segments.tunnel.tolist()


def test_the_instance_bit_alone_makes_vxlan(decode: Callable) -> None:
    """RFC 7348: the other bits are ignored on receipt."""
    for flags in (0x08, 0xFF):
        packet = bytearray(bytes(outer_udp(4789) / VXLAN(vni=1) / FRAME / FOUR))
        packet[42] = flags
        assert [1] == decode(bytes(packet)).segments.tunnel.tolist()


def test_a_key_is_its_own_packets_only(decode: Callable) -> None:
    """GRE with and without a key, around the same VNI, in one batch."""
    vxlan = outer_udp(4789) / VXLAN(vni=9) / FRAME / IP(src="10.1.0.1", dst="10.1.0.2")
    keyed = vxlan / GRE(proto=0x800, key_present=1, key=3, chksum_present=1) / FOUR
    assert [9, 3, 9] == decode(vxlan / GRE(proto=0x800) / FOUR, keyed, vxlan / FOUR).segments.tunnel.tolist()


def test_only_a_plausible_header_makes_a_tunnel(decode: Callable) -> None:
    """The I bit, room for a frame, a version that is known."""
    found = decode(
        outer_udp(4789) / VXLAN(flags=0, vni=1) / FRAME / FOUR,
        outer_udp(4789) / (b"\xf7" + bytes(VXLAN(vni=1) / FRAME / FOUR)[1:]),
        outer_udp(8472) / (b"\xff" * 20),
        outer_udp(6081) / GENEVE(version=1, proto=0x800) / FOUR,
    )
    assert {"not TCP: UDP": 4} == found.counts


def test_other_versions_are_counted(decode: Callable) -> None:
    """Of GRE and ERSPAN."""
    found = decode(
        OUTER / GRE(version=2) / FOUR,
        OUTER / GRE(routing_present=1) / bytes(40),
        OUTER / SEQUENCED / (b"\x70" + bytes(60)),
        OUTER / GRE(proto=0x22EB) / (b"\x10" + bytes(60)),
        OUTER / GRE(proto=0x22EB) / ERSPAN_III(ft=1) / bytes(FRAME / FOUR),
        OUTER / GRE(proto=0x22EB) / ERSPAN_III() / FRAME / FOUR,
    )
    assert {
        "unknown GRE version, or GRE with source routing": 2,
        "unknown ERSPAN version": 2,
        "unknown ERSPAN frame type": 1,
    } == found.counts
    assert [5] == found.segments.packet.tolist()


@pytest.mark.parametrize(
    ("packet", "size", "name"),
    [
        (outer_udp(4789) / VXLAN(vni=1) / FRAME, 34 + 7, "UDP"),
        (outer_udp(4789) / VXLAN(vni=1) / FRAME, 34 + 8 + 7, "VXLAN"),
        (outer_udp(6081) / GENEVE(proto=0x800) / FOUR, 34 + 8 + 7, "GENEVE"),
        (OUTER / GRE(proto=0x800) / FOUR, 34 + 3, "GRE"),
        (OUTER / GRE(proto=0x800, key_present=1, key=1) / FOUR, 34 + 7, "GRE"),
        (OUTER / SEQUENCED / ERSPAN_II() / FRAME, 34 + 8 + 7, "ERSPAN II"),
        (OUTER / GRE(proto=0x22EB) / ERSPAN_III() / FRAME, 34 + 4 + 11, "ERSPAN III"),
    ],
)
def test_a_cut_tunnel_header_is_counted(decode: Callable, packet: Packet, size: int, name: str) -> None:
    """One byte short of its end."""
    assert {f"truncated in {name} header": 1} == decode(bytes(packet)[:size]).counts


def test_options_of_geneve_beyond_the_packet(decode: Callable) -> None:
    """They announce more than there is."""
    packet = bytes(outer_udp(6081) / GENEVE(proto=0x800, optionlen=63) / FOUR)
    assert {"truncated in IPv4 header": 1} == decode(packet).counts


@pytest.mark.parametrize(("layers", "segments"), [(7, 1), (8, 0)])
def test_a_tunnel_too_many(decode: Callable, layers: int, segments: int) -> None:
    """Eight IP headers are looked into."""
    packet: Packet = FOUR
    for _ in range(layers):
        packet = IP(src="10.0.0.1", dst="10.0.0.2") / packet
    found = decode(FRAME / packet)
    assert (segments, {} if segments else {"too many layers": 1}) == (len(found), found.counts)


def test_the_depth_is_the_decoders(decode: Callable) -> None:
    """One encapsulation: no tunnel at all."""
    found = decode(FRAME / FOUR, outer_udp(4789) / VXLAN(vni=1) / FRAME / FOUR, decoder=Decoder(max_depth=1))
    assert ([0], {"too many layers": 1}) == (found.segments.packet.tolist(), found.counts)
