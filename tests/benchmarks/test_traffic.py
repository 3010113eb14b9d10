"""The benchmarks' traffic: what is sent to be measured must be right, or the figures mean nothing."""

import struct
from collections import Counter
from pathlib import Path

import pytest
from scapy.all import IP, TCP, VXLAN, Ether, PcapReader, raw

from traffic import HEADERS_BYTES, Traffic


@pytest.fixture
def mixed(tmp_path: Path) -> list[Ether]:
    """Packets of all sizes, of five connections."""
    traffic = Traffic(connections=5, smallest=HEADERS_BYTES, largest=1500)
    path = tmp_path / "mixed.pcap"
    assert 30_000 == traffic.write(path, 1)
    with PcapReader(str(path)) as reader:
        return reader.read_all(400)


def test_every_packet_is_tcp_in_vxlan_of_the_sizes_asked_for(mixed: list[Ether]) -> None:
    """All headers say the same about a packet's size, and sizes differ."""
    for packet in mixed:
        inner = packet[VXLAN].payload
        assert (4242, 443) == (packet[VXLAN].vni, min(inner[TCP].sport, inner[TCP].dport))
        assert len(packet) == packet.wirelen == packet[IP].len + 14 == inner[IP].len + 64
        assert HEADERS_BYTES <= len(packet) <= 1500
    assert len({len(packet) for packet in mixed}) > 100


def test_ip_checksums_are_right(mixed: list[Ether]) -> None:
    """Scapy computes the same checksums."""
    for packet in mixed[:50]:
        for header in (packet[IP], packet[VXLAN].payload[IP]):
            again = header.copy()
            del again.chksum
            assert header.chksum == IP(raw(again)).chksum


def test_streams_go_on_and_acknowledge_each_other(mixed: list[Ether]) -> None:
    """Each packet begins where its stream's last one ended, and acknowledges what came from the other side."""
    ends: dict[tuple[str, int, str, int], int] = {}
    seen: Counter[tuple[str, int, str, int]] = Counter()
    for packet in mixed:
        ip, tcp = packet[VXLAN].payload[IP], packet[VXLAN].payload[TCP]
        stream, other = (ip.src, tcp.sport, ip.dst, tcp.dport), (ip.dst, tcp.dport, ip.src, tcp.sport)
        seen[stream] += 1
        assert ends.get(stream, tcp.seq) == tcp.seq
        assert ends.get(other, tcp.ack) == tcp.ack
        ends[stream] = tcp.seq + ip.len - 40 & 0xFFFFFFFF
    assert [40] * 10 == list(seen.values())


def test_packets_follow_one_another_in_time_across_chunks() -> None:
    """A second chunk continues the first: later times, the same sizes."""
    traffic = Traffic(connections=2)
    chunks = traffic.records(3) + traffic.records(3)
    records = list(struct.iter_unpack("<IIII300x", chunks))
    assert 24 == len(records)
    assert records == sorted(records)
    assert {(300, 300)} == {record[2:] for record in records}
