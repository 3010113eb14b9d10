"""IPv4 and IPv6 headers: options, extensions, lengths that lie or are missing."""

from collections.abc import Callable

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Timestamp
from scapy.layers.inet6 import (
    HBHOptUnknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import Ether
from scapy.packet import Packet

FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FOUR = IP(src="192.0.2.1", dst="198.51.100.2", id=99)
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2")
SEGMENT = TCP(sport=1000, dport=443, seq=7, ack=9, flags="PA", window=4096) / b"payload"


def test_ipv4_with_options(decode: Callable, scapy_says: Callable) -> None:
    """The header's own size counts."""
    packet = FRAME / IP(src="192.0.2.1", dst="198.51.100.2", options=[IPOption_Timestamp(), b"\1" * 8]) / SEGMENT
    assert scapy_says(packet) == decode(packet).said()


def test_the_identification_is_handed_on(decode: Callable) -> None:
    """IPv6 has none."""
    assert [99, 0] == decode(FRAME / FOUR / SEGMENT, FRAME / SIX / SEGMENT).segments.ip_id.tolist()


@pytest.mark.parametrize(
    "extensions",
    [
        IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=30, optdata=b"x" * 40)]),
        IPv6ExtHdrRouting(addresses=["2001:db8::3", "2001:db8::4"]),
        IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(addresses=["2001:db8::3"]) / IPv6ExtHdrDestOpt(),
        IPv6ExtHdrFragment(id=5, offset=0, m=0),
        IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(id=5, nh=60) / IPv6ExtHdrDestOpt(),
        AH(nh=6, payloadlen=4, reserved=0, icv=b"i" * 12, padding=b""),
    ],
    ids=["hop-by-hop", "routing", "options around routing", "atomic fragment", "all", "authentication"],
)
def test_ipv6_with_extension_headers(decode: Callable, scapy_says: Callable, extensions: Packet) -> None:
    """Each passed by its own rule for its size."""
    packet = FRAME / SIX / extensions / SEGMENT
    assert scapy_says(packet)["payload"] == decode(packet).payload()
    assert (7, 9) == (decode(packet).said()["seq"], decode(packet).said()["ack"])


def test_an_authenticated_ipv4_packet(decode: Callable) -> None:
    """RFC 4302 authenticates without hiding."""
    packet = FRAME / FOUR / AH(nh=6, payloadlen=4, reserved=0, icv=b"i" * 12, padding=b"") / SEGMENT
    assert b"payload" == decode(packet).payload()


def test_extension_headers_without_end_are_given_up(decode: Callable) -> None:
    """64 KB of options that announce options."""
    options = bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 8000
    assert {"too many layers": 1} == decode(FRAME / IPv6(nh=60, plen=64000) / options).counts


def test_a_fragment_header_in_ipv4_is_malformed(decode: Callable) -> None:
    """It exists in IPv6 alone: here it comes behind an authentication header."""
    packet = FRAME / FOUR / AH(nh=44, payloadlen=4, reserved=0, icv=b"i" * 12, padding=b"") / bytes(40)
    assert {"malformed IPv4 header": 1} == decode(packet).counts


def test_the_link_pads_what_is_short(decode: Callable) -> None:
    """46 bytes are the least that Ethernet carries: what is behind the datagram is no payload."""
    for network in (FOUR, SIX):
        found = decode(bytes(FRAME / network / TCP(sport=1, dport=2)) + b"\xaa" * 6)
        assert (0, b"") == (int(found.segments.size[0]), found.payload())


@pytest.mark.parametrize("network", [IP(src="192.0.2.1", dst="192.0.2.2", len=0), IPv6(plen=0)], ids=["v4", "v6"])
def test_a_length_of_zero_is_what_the_frame_holds(decode: Callable, network: Packet) -> None:
    """Segmentation offload hands frames of more than 64 KB to the capture."""
    payload = bytes(range(256)) * 400
    found = decode(FRAME / network / TCP(sport=1, dport=2) / payload)
    assert (len(payload), payload) == (int(found.segments.size[0]), found.payload())


def test_a_length_of_zero_in_a_cut_frame_is_what_the_wire_held(decode: Callable) -> None:
    """`wirelen` knows more than `caplen`."""
    packet = bytes(FRAME / IP(src="192.0.2.1", dst="192.0.2.2", len=0) / TCP(sport=1, dport=2) / bytes(1000))
    found = decode(packet[:200], wirelen=[len(packet)])
    assert (1000, 200 - 54) == (int(found.segments.size[0]), int(found.segments.captured[0]))


def test_the_header_knows_the_size_of_what_was_cut(decode: Callable) -> None:
    """A mirror cuts the packet and says nothing: neither `caplen` nor `wirelen` shows it."""
    packet = bytes(FRAME / FOUR / TCP(sport=1, dport=2) / bytes(1000))
    for wirelen in (None, [len(packet)]):
        found = decode(packet[:100], wirelen=wirelen)
        assert (1000, 46) == (int(found.segments.size[0]), int(found.segments.captured[0]))


@pytest.mark.parametrize(("at", "byte"), [(14, 0x44), (14, 0x65), (14, 0x4F)])
def test_a_malformed_ipv4_header_is_counted(decode: Callable, at: int, byte: int) -> None:
    """Too small, of another version, larger than the datagram."""
    packet = bytearray(bytes(FRAME / FOUR / TCP(sport=1, dport=2)))
    packet[at] = byte
    assert {"malformed IPv4 header": 1} == decode(bytes(packet)).counts


def test_other_protocols_are_counted_by_name(decode: Callable) -> None:
    """Or by number, in IPv4 and IPv6 alike."""
    found = decode(
        FRAME / FOUR / ICMP(), FRAME / FOUR / UDP(sport=1, dport=2), FRAME / IP(proto=200), FRAME / SIX / UDP(dport=9),
        FRAME / IPv6(nh=59), FRAME / IP(proto=0) / bytes(40),
    )  # fmt: skip
    assert {
        "not TCP: ICMP": 1, "not TCP: UDP": 2, "not TCP: IP protocol 200": 1, "not TCP: no next header": 1,
        "not TCP: IP protocol 0": 1,
    } == found.counts  # fmt: skip


@pytest.mark.parametrize(
    ("packet", "size", "name"),
    [
        (FRAME / FOUR / SEGMENT, 14 + 19, "IPv4"),
        (FRAME / SIX / SEGMENT, 14 + 39, "IPv6"),
        (FRAME / SIX / IPv6ExtHdrDestOpt() / SEGMENT, 14 + 40 + 1, "IPv6 extension"),
        (FRAME / SIX / IPv6ExtHdrFragment() / SEGMENT, 14 + 40 + 7, "IPv6 fragment"),
    ],
)
def test_a_cut_header_is_counted(decode: Callable, packet: Packet, size: int, name: str) -> None:
    """One byte short."""
    assert {f"truncated in {name} header": 1} == decode(bytes(packet)[:size]).counts
