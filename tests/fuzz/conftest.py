"""A corpus of packets: every encapsulation that the decoder knows, as scapy builds it."""

from itertools import product

import pytest
from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III, ERSPAN_PlatformSpecific
from scapy.contrib.etherip import EtherIP
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import GRE, IP, TCP, UDP, IPOption_Timestamp, fragment
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    fragment6,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, GRE_PPTP, LLC, SNAP, Dot1AD, Dot1AH, Dot1Q, Dot3, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import NoPayload, Packet

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
FRAME = Ether(**MACS)
FOUR = IP(src="192.0.2.1", dst="198.51.100.2", id=9)
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2")
SEGMENT = TCP(sport=1000, dport=443, seq=7, ack=9, options=[("Timestamp", (1, 2))]) / b"payload"


def networks() -> list[Packet]:
    """IP headers, plain and adorned."""
    authentication = AH(nh=6, payloadlen=4, reserved=0, icv=b"i" * 12, padding=b"")
    return [
        FOUR,
        FOUR / authentication,
        IP(src="192.0.2.1", dst="198.51.100.2", options=[IPOption_Timestamp()]),
        IP(src="192.0.2.1", dst="198.51.100.2", len=0),
        SIX,
        SIX / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=["2001:db8::3"]) / IPv6ExtHdrDestOpt(),
        SIX / IPv6ExtHdrFragment(id=3) / authentication,
    ]


def wrappings() -> list[Packet]:
    """What may lie around an IP packet."""
    outer = FRAME / IP(src="10.0.0.1", dst="10.0.0.2")
    udp, options = UDP(sport=5, dport=6081), [GeneveOptions(data=b"1234")]
    sequenced = GRE(proto=0x88BE, seqnum_present=1)
    vxlan = UDP(sport=5, dport=4789) / VXLAN(vni=7) / FRAME
    return [
        FRAME / Dot1Q(vlan=5),
        FRAME / Dot1AD(vlan=5) / Dot1Q(vlan=6),
        outer / vxlan,
        FRAME / SIX / vxlan / Dot1Q(vlan=5),
        outer / udp / GENEVE(proto=0x6558, options=options) / FRAME,
        outer / udp / GENEVE(proto=0x0800, options=options) / IP(src="10.1.0.1", dst="10.1.0.2") / vxlan,
        outer / GRE(proto=0x6558, chksum_present=1, key_present=1, seqnum_present=1) / FRAME,
        outer / GRE(proto=0x88BE) / ERSPAN_I() / FRAME,
        outer / sequenced / ERSPAN_II(session_id=3) / FRAME,
        outer / GRE(proto=0x22EB) / ERSPAN_III() / FRAME,
        outer / GRE(proto=0x22EB) / ERSPAN_III(o=1) / ERSPAN_PlatformSpecific() / FRAME,
        outer,
        FRAME / SIX,
    ]


def rare() -> list[Packet]:
    """What scapy is asked about."""
    outer = FRAME / IP(src="10.0.0.1", dst="10.0.0.2")
    return [
        FRAME / MPLS(label=16, s=1),
        FRAME / PPPoE(sessionid=3) / PPP(),
        FRAME / NSH(mdtype=1, nextproto=1),
        FRAME / Dot1AH(isid=9) / FRAME,
        outer / EtherIP() / FRAME,
        outer / GRE_PPTP(call_id=5, seqnum_present=1) / PPP(),
        Dot3(**MACS) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0),
    ]


def fragmented() -> list[Packet]:
    """Fragments of segments, and of a tunnel's packets."""
    vxlan = IP(bytes(FOUR / UDP(sport=5, dport=4789, chksum=0) / VXLAN(vni=7) / FRAME / FOUR / SEGMENT))
    six = SIX / IPv6ExtHdrFragment(id=5) / SEGMENT / bytes(60)
    parts = [*fragment(FOUR / SEGMENT / bytes(60), 40), *fragment(vxlan, 56), *fragment6(six, 96)]
    return [FRAME / part for part in parts]


@pytest.fixture(scope="session")
def corpus() -> list[bytes]:
    """Frames of every kind, small enough to be many."""
    plain = [FRAME / network / SEGMENT for network in networks()]
    wrapped = [around / network / SEGMENT for around, network in product(wrappings(), networks())]
    wrapped += [around / FOUR / SEGMENT for around in rare()]
    other = [
        FRAME / ARP(hwsrc="02:00:00:00:00:01", psrc="192.0.2.1"),
        FRAME / FOUR / UDP(sport=1, dport=2),
        NoPayload(),
    ]
    return [bytes(packet) for packet in (*plain, *wrapped, *fragmented(), *other)]
