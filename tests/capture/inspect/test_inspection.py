"""Captured packets to plaintext: connections told apart, whatever the network and the mirror did to their packets."""

import random
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet
from scapy.utils import PcapWriter

from capture.files import FileSource
from capture.files import source as source_module
from capture.inspect import Decrypted, Inspection, decrypt_capture
from capture.inspect import inspection as inspection_module
from capture.inspect.keylog import KeyLog
from capture.inspect.tls import ContentType, Stop
from capture.packets import Batch

WORD = 1 << 32
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # without a destination, scapy asks the network for it
ENDS = [("10.0.0.1", 40_001), ("10.0.0.2", 443)]  # the lower one is side 0

# What conftest makes, and test folders are not packages to import it from:
Wire = list[tuple[int, int, bytes]]
Talks = dict[ssl.TLSVersion, tuple[Wire, KeyLog]]


def packets(wire: Wire, isns: tuple[int, int] = (7, WORD - 900), mss: int = 1400) -> Iterator[Packet]:
    """Yield a connection's packets: the handshake, then its bytes in segments."""
    layer = IP(src=ENDS[0][0], dst=ENDS[1][0]), IP(src=ENDS[1][0], dst=ENDS[0][0])
    ports = [{"sport": ENDS[side][1], "dport": ENDS[1 - side][1]} for side in (0, 1)]
    yield ETHER / layer[0] / TCP(**ports[0], flags="S", seq=isns[0])
    yield ETHER / layer[1] / TCP(**ports[1], flags="SA", seq=isns[1], ack=(isns[0] + 1) % WORD)
    for side, off, data in wire:
        for at in range(0, len(data), mss):
            seq = (isns[side] + 1 + off + at) % WORD
            yield ETHER / layer[side] / TCP(**ports[side], flags="PA", seq=seq) / data[at : at + mss]


def write(path: Path, packets: Iterator[Packet] | list[Packet]) -> Path:
    """Write a capture, a packet each millisecond."""
    with PcapWriter(str(path), nano=True) as writer:
        for number, packet in enumerate(packets):
            packet.time = 1_700_000_000 + number / 1000
            writer.write(packet)
    return path


def inspected(path: Path, keys: KeyLog) -> tuple[list[Decrypted], Counter[Stop]]:
    """Return what is decrypted and why the rest is not."""
    inspection = Inspection(FileSource([path]), keys)
    return list(inspection.records()), inspection.stopped


def spoken(found: list[Decrypted], side: int) -> bytes:
    """Return a side's application data."""
    plain = [each.plain for each in found]
    return b"".join(
        each.data for each in plain if each.side == side and each.content_type == ContentType.APPLICATION_DATA
    )


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def talk(request: pytest.FixtureRequest, talks: Talks) -> tuple[Wire, KeyLog]:
    """A talk in either version."""
    return talks[request.param]


def test_a_captured_talk(talk: tuple[Wire, KeyLog], tmp_path: Path, words: Any) -> None:  # noqa: ANN401
    """Both sides' words, with their ends and times; the sequence numbers of one wrap."""
    wire, keys = talk
    path = write(tmp_path / "a.pcap", packets(wire))
    found = list(decrypt_capture([path], keys))
    for side in (0, 1):
        assert words(side) == spoken(found, side)
    ends = [f"{address}:{port}" for address, port in ENDS]
    assert {(ends[side], ends[1 - side], 0) for side in (0, 1)} == {
        (each.sender, each.receiver, each.tunnel) for each in found
    }
    assert sorted(each.time_ns for each in found) == [each.time_ns for each in found]
    assert wire[-1][1] + len(wire[-1][2]) - 1 == found[-1].plain.off


def test_disorder_and_copies_change_nothing(talk: tuple[Wire, KeyLog], tmp_path: Path, words: Any) -> None:  # noqa: ANN401
    """Packets swapped with neighbours, and every third twice."""
    wire, keys = talk
    seed = random.Random(4)
    sent = list(packets(wire))
    sent[2:] = sorted(sent[2:] + sent[2::3], key=lambda packet: sent.index(packet) + seed.random() * 6)
    found, stopped = inspected(write(tmp_path / "a.pcap", sent), keys)
    assert {} == stopped
    for side in (0, 1):
        assert words(side) == spoken(found, side)


def test_a_lost_packet_ends_its_direction(talk: tuple[Wire, KeyLog], tmp_path: Path, words: Any) -> None:  # noqa: ANN401
    """What came before it is there, the other direction is whole, and the loss is counted."""
    wire, keys = talk
    sent = list(packets(wire))
    server = [packet for packet in sent if packet[TCP].sport == 443]
    lost = server[len(server) * 2 // 3]
    found, stopped = inspected(write(tmp_path / "a.pcap", [packet for packet in sent if packet is not lost]), keys)
    assert {Stop.HOLE: 1} == stopped
    assert words(0) == spoken(found, 0)
    assert words(1).startswith(spoken(found, 1))
    assert 0 < len(spoken(found, 1)) < len(words(1))


def test_ports_used_again_are_another_connection(talks: Talks, tmp_path: Path, words: Any) -> None:  # noqa: ANN401
    """With keys of its own."""
    sent = [
        packet for each, isns in ((0, (5, 6)), (1, (70_000, 80_000))) for packet in packets(wire_of(talks, each), isns)
    ]
    keys = KeyLog()
    for _, log in talks.values():
        keys._secrets |= log._secrets
    found, stopped = inspected(write(tmp_path / "a.pcap", sent), keys)
    assert ({}, 2 * words(0), 2 * words(1)) == (stopped, spoken(found, 0), spoken(found, 1))


def wire_of(talks: Talks, number: int) -> Wire:
    return list(talks.values())[number][0]


def test_a_mirrored_talk(talk: tuple[Wire, KeyLog], tmp_path: Path, words: Any) -> None:  # noqa: ANN401
    """In VXLAN, over IPv6: the tunnel is named."""
    wire, keys = talk
    outer = ETHER / IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=50_000, dport=4789) / VXLAN(vni=4242)
    found, stopped = inspected(write(tmp_path / "a.pcap", [outer / packet for packet in packets(wire)]), keys)
    assert ({}, words(1)) == (stopped, spoken(found, 1))
    assert {4242} == {each.tunnel for each in found}


def test_what_is_not_decrypted_is_counted(talks: Talks, tmp_path: Path) -> None:
    """Plain text; a connection whose secrets are not in the log; one that was met in its middle; one side only."""
    wire = wire_of(talks, 0)
    for sent, stopped in (
        (packets([(0, 0, b"GET / HTTP/1.1\r\n\r\n")]), {Stop.NOT_TLS: 1}),
        (packets(wire), {Stop.NO_SECRET: 2}),
        (list(packets(wire))[-8:], {Stop.NOT_TLS: 1, Stop.MID_CONNECTION: 1}),
        (packets([part for part in wire if part[0] == 0]), {Stop.ONE_SIDED: 1}),
    ):
        assert ([], stopped) == inspected(write(tmp_path / "a.pcap", sent), KeyLog())


def test_a_syn_may_carry_data(talk: tuple[Wire, KeyLog], tmp_path: Path, words: Any) -> None:  # noqa: ANN401
    """It lies behind the SYN's own number (TCP Fast Open, RFC 7413)."""
    wire, keys = talk
    (side, _, hello), *rest = wire
    syn, answer, *segments = packets([(side, len(hello), b""), *rest])
    found, stopped = inspected(write(tmp_path / "a.pcap", [syn / hello, answer, *segments]), keys)
    assert ({}, words(0), words(1)) == (stopped, spoken(found, 0), spoken(found, 1))


class Watched:
    """A capture file that is looked behind: `seen` holds what `look` returned after each batch was taken."""

    def __init__(self, path: Path, look: Callable[[], int]) -> None:
        self.troubles: list[str] = []
        self.seen: list[int] = []
        self._path, self._look = path, look

    def batches(self) -> Iterator[Batch]:
        """Yield the file's batches."""
        for batch in FileSource([self._path]).batches():
            yield batch
            self.seen.append(self._look())


def test_connections_are_forgotten_when_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is counted all the same, once."""
    monkeypatch.setattr(inspection_module, "MAX_CONNECTIONS", 8)
    monkeypatch.setattr(source_module, "BATCH_PACKETS", 4)
    way = ETHER / IP(src="10.0.0.1", dst="10.0.0.2")
    ask = [way / TCP(sport=port, dport=80, seq=9, flags="PA") / b"GET / HTTP/1.1" for port in range(1, 51)]
    source = Watched(write(tmp_path / "a.pcap", ask), lambda: len(inspection._connections))
    inspection = Inspection(source, KeyLog())
    assert [] == list(inspection.records())
    assert 8 == max(source.seen)
    assert {Stop.NOT_TLS: 50} == inspection.stopped


def test_a_direction_that_is_given_up_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what came early before, nor what comes after."""
    monkeypatch.setattr(source_module, "BATCH_PACKETS", 1)
    way = ETHER / IP(src="10.0.0.1", dst="10.0.0.2")
    sent = [way / TCP(sport=1, dport=80, seq=8, flags="S")]
    for seq, data in ((500, b"early"), (9, b"GET / HTTP/1.1"), (23, b"\r\n"), (700, b"late")):
        sent.append(way / TCP(sport=1, dport=80, seq=seq, flags="PA") / data)
    source = Watched(write(tmp_path / "a.pcap", sent), lambda: inspection._budget.held)
    inspection = Inspection(source, KeyLog())
    assert [] == list(inspection.records())
    assert [0, 5, 0, 0, 0] == source.seen


def test_cut_packets_are_holes(talk: tuple[Wire, KeyLog], tmp_path: Path) -> None:
    """A capture of headers alone decrypts nothing and raises nothing."""
    wire, keys = talk
    path = write(tmp_path / "a.pcap", packets(wire))
    short = tmp_path / "short.pcap"
    content, at = path.read_bytes(), 24
    with short.open("wb") as file:
        file.write(content[:at])
        while at < len(content):
            size = int.from_bytes(content[at + 8 : at + 12], "little")
            kept = min(size, 200)
            file.write(content[at : at + 8] + kept.to_bytes(4, "little") + content[at + 12 : at + 16 + kept])
            at += 16 + size
    found, stopped = inspected(short, keys)
    assert b"" == spoken(found, 1)
    assert stopped.total() > 0
