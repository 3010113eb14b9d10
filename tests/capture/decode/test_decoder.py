"""The whole decoder: against scapy over random stacks of layers, and what holds of every batch."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III, ERSPAN_PlatformSpecific
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import GRE, IP, TCP, UDP, IPOption_Timestamp
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import NoPayload, Packet

from capture.decode import Decoder, decoder
from capture.packets import LinkType

FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
PLAIN = FRAME / IP(src="192.0.2.1", dst="198.51.100.2") / TCP(sport=1000, dport=443, seq=7) / b"payload"
U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(str)


@st.composite
def networks(draw: st.DrawFn) -> Packet:
    """An IP header with what may stand between it and its payload."""
    if draw(st.booleans()):
        options = draw(st.sampled_from([[], [IPOption_Timestamp()]]))
        return IP(src=draw(V4), dst=draw(V4), id=draw(U16), options=options)
    extensions = [IPv6ExtHdrHopByHop(), IPv6ExtHdrRouting(addresses=["2001:db8::9"]), IPv6ExtHdrDestOpt()]
    packet = IPv6(src=draw(V6), dst=draw(V6))
    for extension in extensions:
        if draw(st.booleans()):
            packet /= extension
    return packet


def frames(draw: st.DrawFn) -> Packet:
    """An Ethernet header with tags."""
    return FRAME / draw(st.sampled_from([NoPayload(), Dot1Q(vlan=5), Dot1AD(vlan=5) / Dot1Q(vlan=6)]))


def inside(draw: st.DrawFn, framed: Packet, bare: Callable[[int], Packet]) -> Packet:
    """Return a tunnel around a frame or around bare IP, and the IP header in it."""
    if draw(st.booleans()):
        return framed / frames(draw) / draw(networks())
    network = draw(networks())
    return bare(0x0800 if isinstance(network, IP) else 0x86DD) / network


@st.composite
def tunnels(draw: st.DrawFn) -> Packet:
    """A tunnel, up to the next IP header."""
    kind = draw(st.sampled_from(["VXLAN", "GENEVE", "GRE", "ERSPAN I", "ERSPAN II", "ERSPAN III", "IP in IP"]))
    if kind == "VXLAN":
        head = UDP(sport=draw(U16), dport=draw(st.sampled_from([4789, 8472])), chksum=0) / VXLAN(vni=draw(U16))
        return head / frames(draw) / draw(networks())
    if kind == "GENEVE":
        options = [GeneveOptions(data=b"1234")] * draw(st.integers(0, 3))
        udp = UDP(sport=draw(U16), dport=6081, chksum=0)
        return inside(
            draw, udp / GENEVE(proto=0x6558, options=options), lambda proto: udp / GENEVE(proto=proto, options=options)
        )
    if kind == "GRE":
        fields = {name: draw(st.integers(0, 1)) for name in ("chksum_present", "key_present", "seqnum_present")}
        return inside(draw, GRE(proto=0x6558, **fields), lambda proto: GRE(proto=proto, **fields))
    if kind == "IP in IP":
        return draw(networks())
    subheader = ERSPAN_III(o=1) / ERSPAN_PlatformSpecific() if draw(st.booleans()) else ERSPAN_III()
    head = {
        "ERSPAN I": GRE(proto=0x88BE) / ERSPAN_I(),
        "ERSPAN II": GRE(proto=0x88BE, seqnum_present=1) / ERSPAN_II(session_id=5),
        "ERSPAN III": GRE(proto=0x22EB, seqnum_present=1) / subheader,
    }[kind]
    return head / frames(draw) / draw(networks())


@st.composite
def stacks(draw: st.DrawFn, link: int) -> Packet:
    """A link header, up to three tunnels, a segment."""
    packet = {
        LinkType.ETHERNET: lambda: frames(draw),
        LinkType.LINUX_SLL: CookedLinux,
        LinkType.LINUX_SLL2: CookedLinuxV2,
        LinkType.RAW: NoPayload,
    }[LinkType(link)]()
    network = draw(networks())
    packet = network if link == LinkType.RAW else packet / network
    for tunnel in draw(st.lists(tunnels(), max_size=3)):
        packet /= tunnel
    options = draw(st.sampled_from([[], [("MSS", 1460)], [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]]))
    segment = TCP(
        sport=draw(U16), dport=draw(U16), seq=draw(U32), ack=draw(U32), window=draw(U16),
        flags=draw(st.integers(0, 255)), options=options,
    )  # fmt: skip
    return packet / segment / draw(st.binary(max_size=60))


@pytest.mark.parametrize("link", [LinkType.ETHERNET, LinkType.LINUX_SLL, LinkType.LINUX_SLL2, LinkType.RAW])
def test_it_says_what_scapy_says(link: int, decode: Callable, scapy_says: Callable) -> None:
    """Of the innermost TCP layer, for random stacks of layers, several in a batch."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(stacks(link), min_size=1, max_size=4))
    def holds(packets: list[Packet]) -> None:
        found = decode(*packets, link=link)
        assert [scapy_says(packet) for packet in packets] == [found.said(at) for at in range(len(found))]

    holds()


def test_a_cut_packet_says_the_same_as_far_as_it_goes(decode: Callable, scapy_says: Callable) -> None:
    """A segment where its fixed header is there, with as much payload as is left; else it is counted as cut."""

    @settings(max_examples=100, deadline=None)
    @given(stacks(LinkType.ETHERNET), st.data())
    def holds(packet: Packet, data: st.DataObject) -> None:
        whole, said = bytes(packet), scapy_says(packet)
        size = data.draw(st.integers(0, len(whole)))
        begin = len(whole) - len(said["payload"])
        found = decode(whole[:size], wirelen=[len(whole)])
        assert (size >= begin - len(said["options"])) == len(found)
        if len(found):
            assert said | {"payload": whole[begin:size], "options": found.options()} == found.said()
            assert said["options"].startswith(found.options())
        else:
            assert all(reason.startswith("truncated in ") for reason in found.counts)

    holds()


def test_a_batch_of_everything_in_order_of_arrival(decode: Callable) -> None:
    """Segments found in different rounds come in the order of their packets, over several blocks."""
    vxlan = FRAME / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=4789) / VXLAN(vni=7) / PLAIN
    kinds = [bytes(each) for each in (vxlan, PLAIN, FRAME / ARP(hwsrc="02:00:00:00:00:01", psrc="192.0.2.1"), b"")]
    kinds.append(bytes(FRAME / MPLS(label=16, s=1) / PLAIN[IP]))
    pattern = np.random.default_rng(1).choice(5, size=2 * decoder.BLOCK + 100, p=[0.4, 0.3, 0.15, 0.145, 0.005])
    found = decode(*(kinds[kind] for kind in pattern))
    packets = np.flatnonzero((pattern < 2) | (pattern == 4))
    assert packets.tolist() == found.segments.packet.tolist()
    arp, empty = int(np.sum(pattern == 2)), int(np.sum(pattern == 3))
    assert {"ARP": arp, "truncated in Ethernet header": empty} == found.counts
    assert np.where(pattern[packets] == 0, 7, 0).tolist() == found.segments.tunnel.tolist()
    assert packets.tolist() == found.segments.time_ns.tolist()
    assert (packets % 2 == 1).tolist() == found.segments.hardware.tolist()


def test_an_empty_batch(decode: Callable) -> None:
    """Nothing in, nothing out."""
    assert (0, {}) == (len(decode()), decode().counts)


def test_every_array_has_its_type(decode: Callable) -> None:
    """With segments and without."""
    expected = {
        "data": np.uint8, "packet": np.int64, "time_ns": np.int64, "tunnel": np.uint32, "source": np.uint64,
        "target": np.uint64, "seq": np.uint32, "ack": np.uint32, "flags": np.uint16, "window": np.uint16,
        "ip_id": np.uint16, "size": np.uint32, "payload": np.int64, "captured": np.uint32, "options": np.int64,
        "options_size": np.uint16, "frame": np.uint32, "hardware": np.bool_,
    }  # fmt: skip
    for packets in ([], [PLAIN, FRAME / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=1, dport=2)]):
        segments = decode(*packets).segments
        assert expected == {name: getattr(segments, name).dtype for name in expected}
        assert len(packets) == len(segments)


def test_the_data_are_the_batchs_own(decode: Callable) -> None:
    """No copy is made where nothing was rebuilt."""
    found = decode(PLAIN)
    assert not found.segments.data.flags.owndata


def test_a_packet_larger_than_64_kilobytes(decode: Callable) -> None:
    """A frame of segmentation offload inside a tunnel."""
    inner = FRAME / IP(src="192.0.2.1", dst="192.0.2.2", len=0) / TCP(sport=1, dport=2) / bytes(200_000)
    outer = FRAME / IP(src="10.0.0.1", dst="10.0.0.2", len=0) / UDP(sport=1, dport=4789, len=0) / VXLAN(vni=7)
    assert [200_000] == decode(outer / inner).segments.size.tolist()


def test_addresses_as_text() -> None:
    """A number that was never given is the caller's mistake."""
    assert "192.0.2.1" == Decoder().address(0xC0000201)
    with pytest.raises(IndexError):
        Decoder().address(1 << 32)
