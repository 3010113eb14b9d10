"""Link layers, tags, and what is no IP."""

import struct
from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether

from capture.packets import LinkType

FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FOUR = IP(src="192.0.2.1", dst="198.51.100.2") / TCP(sport=1000, dport=443, seq=7) / b"four"
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=1001, dport=443, seq=8) / b"six"


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME / Dot1Q(vlan=7),
        FRAME / Dot1AD(vlan=7) / Dot1Q(vlan=8),
        FRAME / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3),
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x9100) / Dot1Q(vlan=7),
    ],
    ids=["plain", "802.1Q", "QinQ", "three tags", "0x9100"],
)
def test_ethernet_and_its_tags(decode: Callable, scapy_says: Callable, frame: Ether) -> None:
    """Whatever stack of tags, IPv4 and IPv6 in one batch."""
    found = decode(frame / FOUR, frame / SIX)
    assert [scapy_says(FOUR), scapy_says(SIX)] == [found.said(0), found.said(1)]


def test_a_stack_of_tags_without_end_is_given_up(decode: Callable) -> None:
    """A frame that is nothing but tags costs a bounded number of steps."""
    tags = b"\x81\x00\x00\x05" * 10_000
    found = decode(bytes(FRAME)[:12] + tags)
    assert {"too many layers": 1} == found.counts


@pytest.mark.parametrize("cooked", [CookedLinux(), CookedLinuxV2()], ids=["SLL", "SLL2"])
def test_linux_cooked_captures(decode: Callable, scapy_says: Callable, cooked: CookedLinux) -> None:
    """Captures on the device `any`."""
    link = LinkType.LINUX_SLL2 if isinstance(cooked, CookedLinuxV2) else LinkType.LINUX_SLL
    found = decode(cooked / FOUR, cooked / SIX, cooked / Dot1Q(vlan=3) / FOUR, link=link)
    assert [scapy_says(FOUR), scapy_says(SIX), scapy_says(FOUR)] == [found.said(at) for at in range(3)]


@pytest.mark.parametrize("link", [LinkType.NULL, LinkType.LOOP])
@pytest.mark.parametrize("order", ["<I", ">I"])
def test_bsd_loopback_in_either_byte_order(decode: Callable, link: int, order: str) -> None:
    """AF_INET is 2 everywhere, AF_INET6 has a number for every system."""
    packets = [struct.pack(order, 2) + bytes(FOUR)]
    packets += [struct.pack(order, family) + bytes(SIX) for family in (10, 24, 28, 30)]
    found = decode(*packets, struct.pack(order, 7) + bytes(FOUR), link=link)
    assert [7, 8, 8, 8, 8] == found.segments.seq.tolist()
    assert {"another address family than IP's": 1} == found.counts


@pytest.mark.parametrize("link", [LinkType.RAW, LinkType.RAW_BSD, LinkType.RAW_OPENBSD])
def test_raw_ip(decode: Callable, link: int) -> None:
    """The version says which."""
    found = decode(FOUR, SIX, b"\x50" + bytes(60), link=link)
    assert [7, 8] == found.segments.seq.tolist()
    assert {"neither IPv4 nor IPv6": 1} == found.counts


def test_links_that_name_the_version(decode: Callable) -> None:
    """And a packet that contradicts its link."""
    assert [7] == decode(FOUR, link=LinkType.IPV4).segments.seq.tolist()
    assert [8] == decode(SIX, link=LinkType.IPV6).segments.seq.tolist()
    assert {"malformed IPv4 header": 1} == decode(SIX, link=LinkType.IPV4).counts
    assert {"malformed IPv6 header": 1} == decode(FOUR, link=LinkType.IPV6).counts


def test_what_is_no_ip_is_counted_by_its_type(decode: Callable) -> None:
    """By name where it has one."""
    other = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x1234)
    found = decode(FRAME / ARP(hwsrc="02:00:00:00:00:01", psrc="192.0.2.1"), other / b"x", other / b"y", FRAME / FOUR)
    assert {"ARP": 1, "EtherType 0x1234": 2} == found.counts
    assert [3] == found.segments.packet.tolist()


@pytest.mark.parametrize(("kind", "reason"), [(0x5FF, "802.2 LLC without IP inside"), (0x600, "EtherType 0x0600")])
def test_where_types_begin(decode: Callable, kind: int, reason: str) -> None:
    """Smaller numbers are the size of an 802.2 frame."""
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=kind)
    assert {reason: 1} == decode(frame / bytes(40)).counts


def test_an_unknown_link_type_is_counted(decode: Callable) -> None:
    """With its number, for a person to look up."""
    assert {"link type 127": 2} == decode(FOUR, SIX, link=127).counts


@pytest.mark.parametrize(
    ("link", "size", "name"),
    [
        (LinkType.ETHERNET, 13, "Ethernet"),
        (LinkType.LINUX_SLL, 15, "Linux cooked"),
        (LinkType.LINUX_SLL2, 19, "Linux cooked v2"),
        (LinkType.NULL, 3, "loopback"),
        (LinkType.RAW, 0, "raw IP"),
    ],
)
def test_a_cut_link_header_is_counted(decode: Callable, link: int, size: int, name: str) -> None:
    """One byte short of it, down to nothing at all."""
    found = decode(bytes(size), b"", link=link)
    assert {f"truncated in {name} header": 2} == found.counts


def test_a_cut_tag_is_counted(decode: Callable) -> None:
    """The frame ends inside the tag."""
    assert {"truncated in 802.1Q header": 1} == decode(bytes(FRAME / Dot1Q(vlan=1))[:17]).counts
