"""Rare layers, which scapy passes for us."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from scapy.contrib.etherip import EtherIP
from scapy.contrib.mpls import MPLS, EoMCW
from scapy.contrib.nsh import NSH
from scapy.layers.inet import GRE, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE_PPTP, LLC, SNAP, Dot1AH, Dot1Q, Dot3, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from capture.decode import Decoder, unusual
from capture.decode.headers import Header

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
FRAME = Ether(**MACS)
OUTER = FRAME / IP(src="10.0.0.1", dst="10.0.0.2")
FOUR = IP(src="192.0.2.1", dst="198.51.100.2") / TCP(sport=1000, dport=443, seq=7) / (b"four" * 100)
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=1001, dport=443, seq=8) / b"six"

RARE = {
    "MPLS": FRAME / MPLS(label=16, s=1),
    "MPLS, two labels": FRAME / MPLS(label=16, s=0) / MPLS(label=17, s=1),
    "MPLS, a frame inside": FRAME / MPLS(label=16, s=1) / EoMCW(zero=0, reserved=0) / FRAME,
    "MPLS in IP": OUTER / MPLS(label=16, s=1),
    "PPPoE": FRAME / PPPoE(sessionid=3) / PPP(),
    "PPPoE in a VLAN": FRAME / Dot1Q(vlan=5) / PPPoE(sessionid=3) / PPP(),
    "PPTP": OUTER / GRE_PPTP(call_id=5, seqnum_present=1, sequence_number=1) / PPP(),
    "NSH": FRAME / NSH(mdtype=1, nextproto=1),
    "NSH in GRE": OUTER / GRE(proto=0x894F) / NSH(mdtype=1, nextproto=1),
    "802.2": Dot3(**MACS) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0),
    "PBB": FRAME / Dot1AH(isid=9) / FRAME,
    "EtherIP": OUTER / EtherIP() / FRAME,
}


@pytest.mark.parametrize("name", RARE)
def test_scapy_finds_the_way(decode: Callable, scapy_says: Callable, name: str) -> None:
    """To the IP header behind: the segment is as any other."""
    found = decode(RARE[name] / FOUR)
    assert scapy_says(FOUR) == found.said()


@pytest.mark.parametrize("name", ["MPLS", "PPPoE", "802.2", "PBB"])
def test_rare_layers_around_ipv6(decode: Callable, scapy_says: Callable, name: str) -> None:
    """MPLS tells the version by looking, the others by a type."""
    packet = RARE[name].copy()
    if name in {"PPPoE", "802.2"}:
        field, number = {"PPPoE": ("proto", 0x57), "802.2": ("code", 0x86DD)}[name]
        packet.lastlayer().setfieldval(field, number)
    assert scapy_says(SIX) == decode(packet / SIX).said()


def test_the_arrays_go_on_behind_a_rare_layer(decode: Callable, scapy_says: Callable) -> None:
    """A tunnel inside MPLS, MPLS inside a tunnel, and a mirror's cut."""
    vxlan = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=4789) / VXLAN(vni=6) / FRAME
    found = decode(FRAME / MPLS(label=16, s=1) / vxlan / FOUR, FRAME / vxlan / MPLS(label=16, s=1) / FOUR)
    assert [scapy_says(FOUR)] * 2 == [found.said(0), found.said(1)]
    assert [6, 6] == found.segments.tunnel.tolist()
    cut = decode(bytes(FRAME / MPLS(label=16, s=1) / FOUR)[:100])
    assert (400, 100 - 58) == (int(cut.segments.size[0]), int(cut.segments.captured[0]))


def test_a_rare_layer_without_ip_is_counted(decode: Callable) -> None:
    """So is one that makes scapy stumble."""
    packets: list[Packet | bytes] = [
        FRAME / MPLS(label=16, s=1) / bytes(20),
        Dot3(**MACS) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / bytes(30),
        bytes(FRAME / PPPoE())[:15],
        bytes(FRAME / NSH())[:17],
        bytes(FRAME / NSH())[:14],
    ]
    found = decode(*packets)
    assert {
        "MPLS without IP inside": 1, "802.2 LLC without IP inside": 1, "PPPoE without IP inside": 1,
        "NSH without IP inside": 1, "truncated in NSH header": 1,
    } == found.counts  # fmt: skip


def test_scapy_is_asked_about_a_bounded_number(decode: Callable) -> None:
    """In each batch anew; 0 leaves it alone."""
    packets = [RARE["MPLS"] / FOUR, RARE["PBB"] / FOUR, RARE["MPLS"] / FOUR, FRAME / FOUR]
    decoder = Decoder(max_unusual=2)
    for batch in (1, 2):
        found = decode(*packets, decoder=decoder)
        assert (3, {"unusual, not looked at": batch}) == (len(found), found.counts)
    assert {"unusual, not looked at": 3} == decode(*packets, decoder=Decoder(max_unusual=0)).counts


def test_the_bound_holds_over_all_rounds_and_blocks(decode: Callable) -> None:
    """Two behind a tunnel after two in front of one."""
    vxlan = OUTER / UDP(sport=1, dport=4789) / VXLAN(vni=6) / RARE["MPLS"] / FOUR
    packets = [RARE["MPLS"] / FOUR, vxlan, RARE["MPLS"] / FOUR, vxlan]
    assert {"unusual, not looked at": 1} == decode(*packets, decoder=Decoder(max_unusual=3)).counts


def test_a_scapy_that_cannot_be_imported_is_no_malformed_packet(
    decode: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installation's fault is raised, not counted."""
    unusual._layer.cache_clear()
    monkeypatch.setitem(unusual.LAYERS, Header.MPLS, ("scapy.absent", "MPLS"))
    with pytest.raises(ModuleNotFoundError):
        decode(RARE["MPLS"] / FOUR)


def test_scapy_is_imported_only_when_needed() -> None:
    """It takes most of a second."""
    program = "import sys, capture.decode; sys.exit('scapy' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
