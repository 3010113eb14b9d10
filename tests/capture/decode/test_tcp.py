"""TCP headers: every field, options, offsets that lie, what the capture cut."""

from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from capture.decode import Decoder, addresses
from capture.decode.addresses import AddressTable

FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FOUR = IP(src="192.0.2.1", dst="198.51.100.2")
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 2)), ("NOP", None), ("WScale", 7)]


def test_all_fields(decode: Callable, scapy_says: Callable) -> None:
    """At their extremes."""
    for number in (0, 0xFFFFFFFF):
        tcp = TCP(sport=number & 0xFFFF, dport=1, seq=number, ack=number, window=number & 0xFFFF, flags=number & 0xFF)
        packet = FRAME / FOUR / tcp / b"x"
        assert scapy_says(packet) == decode(packet).said()


def test_options_are_handed_on(decode: Callable, scapy_says: Callable) -> None:
    """As bytes: streams reads the SACK blocks."""
    packet = FRAME / FOUR / TCP(sport=1, dport=2, options=OPTIONS) / b"payload"
    assert scapy_says(packet)["options"] == decode(packet).options()
    assert 20 == len(decode(packet).options())


def test_cut_options_are_handed_on_as_far_as_they_go(decode: Callable) -> None:
    """The payload's size is still known."""
    packet = bytes(FRAME / FOUR / TCP(sport=1, dport=2, options=OPTIONS) / b"payload")
    found = decode(packet[: 14 + 20 + 20 + 8], packet)
    assert packet[54:62] == found.options()
    assert (7, b"") == (int(found.segments.size[0]), found.payload())
    assert int(found.segments.payload[0]) <= len(found.segments.data)


@pytest.mark.parametrize("offset", [0, 4, 8])
def test_a_data_offset_out_of_range_is_counted(decode: Callable, offset: int) -> None:
    """Inside the fixed header, or beyond the segment."""
    packet = FRAME / FOUR / TCP(sport=1, dport=2, dataofs=offset) / b"payload"
    assert {"TCP data offset out of range": 1} == decode(packet).counts


def test_a_segment_shorter_than_its_header_is_counted(decode: Callable) -> None:
    """By the length in the IP header, whatever follows in the frame."""
    packet = FRAME / IP(src="192.0.2.1", dst="192.0.2.2", len=39) / TCP(sport=1, dport=2) / bytes(100)
    assert {"truncated in TCP header": 1} == decode(packet).counts


def test_what_the_packet_says_of_itself(decode: Callable) -> None:
    """Time, size on the wire and the kind of clock come from the batch."""
    packets = [FRAME / FOUR / TCP(sport=1, dport=2) / bytes(size) for size in (0, 10)]
    found = decode(packets[0], b"", packets[1], time_ns=[5, 6, 7], wirelen=[99, 0, 64])
    assert [0, 2] == found.segments.packet.tolist()
    assert [5, 7] == found.segments.time_ns.tolist()
    assert [99, 64] == found.segments.frame.tolist()
    assert [False, False] == found.segments.hardware.tolist()


def test_a_full_table_of_addresses_refuses_new_ones(decode: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known ones, and IPv4, go on."""
    decoder = Decoder()
    monkeypatch.setattr(decoder, "_addresses", AddressTable(limit=2))
    known = FRAME / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=1, dport=2)
    new = FRAME / IPv6(src="2001:db8::1", dst="2001:db8::3") / TCP(sport=1, dport=2)
    assert 1 == len(decode(known, decoder=decoder))
    found = decode(new, known, FRAME / FOUR / TCP(sport=1, dport=2), new, decoder=decoder)
    assert [1, 2] == found.segments.packet.tolist()
    assert {"too many IPv6 addresses": 2} == found.counts
    assert 1 << 20 == addresses.MAX_ADDRESSES
