"""Fragments: rebuilt when all have come, in whatever order; bounded; every packet counted once."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from capture.decode import Decoder, fragments
from capture.decode.fragments import Piece, Reassembler

FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
SEGMENT = TCP(sport=1000, dport=443, seq=7, ack=9) / bytes(range(250)) / bytes(750)
FOUR = IP(src="192.0.2.1", dst="198.51.100.2", id=99) / SEGMENT
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=5) / SEGMENT


def split(packet: Packet, size: int = 400) -> list[Packet]:
    """Return a packet's fragments, in frames."""
    if isinstance(packet, IPv6):
        return [FRAME / part for part in fragment6(packet, size + 48)]
    return [FRAME / part for part in fragment(packet, size)]


@pytest.mark.parametrize("packet", [FOUR, SIX], ids=["v4", "v6"])
@pytest.mark.parametrize("order", range(6))
def test_fragments_in_any_order(decode: Callable, scapy_says: Callable, packet: Packet, order: int) -> None:
    """The segment comes with the last packet, and the others are counted."""
    parts = split(packet)
    Random(order).shuffle(parts)
    found = decode(*parts)
    assert 3 == len(parts)
    assert scapy_says(packet) == found.said()
    assert [2] == found.segments.packet.tolist()
    assert {fragments.REBUILT: 2} == found.counts


def test_fragments_in_several_batches(decode: Callable, scapy_says: Callable) -> None:
    """The pieces outlive the buffer that brought them."""
    decoder = Decoder()
    parts = split(FOUR)
    assert {fragments.WAITING: 1} == decode(parts[2], decoder=decoder).counts
    assert {fragments.WAITING: 2} == decode(parts[0], decoder=decoder).counts
    found = decode(FRAME / FOUR, parts[1], FRAME / FOUR, decoder=decoder)
    assert [scapy_says(FOUR)] * 3 == [found.said(at) for at in range(3)]
    assert [0, 1, 2] == found.segments.packet.tolist()


def test_outer_fragments_and_inner_ones(decode: Callable, scapy_says: Callable) -> None:
    """A mirror whose copies exceed its path's MTU, of a fragmented datagram."""
    outer = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=4789, chksum=0) / VXLAN(vni=7) / FRAME
    whole = IP(bytes(outer / FOUR))
    found = decode(*split(whole, 600))
    assert (scapy_says(FOUR), [7]) == (found.said(), found.segments.tunnel.tolist())
    parts = []
    for number, inner in enumerate(split(FOUR, 600)):
        copy = IP(bytes(outer / inner[IP]))
        copy.id = number
        parts += split(copy, 304)
    found = decode(*parts)
    assert (scapy_says(FOUR), [7]) == (found.said(), found.segments.tunnel.tolist())
    assert [len(parts) - 1] == found.segments.packet.tolist()
    assert {fragments.REBUILT: len(parts) - 1} == found.counts


@pytest.mark.parametrize(
    "other",
    [
        IP(src="192.0.2.9", dst="198.51.100.2", id=99) / SEGMENT,
        IP(src="192.0.2.1", dst="198.51.100.2", id=98) / SEGMENT,
        IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=6) / SEGMENT,
        IPv6(src="2001:db8::9", dst="2001:db8::2") / IPv6ExtHdrFragment(id=5) / SEGMENT,
    ],
    ids=["v4 source", "v4 identification", "v6 identification", "v6 source"],
)
def test_fragments_of_two_datagrams_do_not_mix(decode: Callable, scapy_says: Callable, other: Packet) -> None:
    """Addresses and identification keep them apart, though their offsets are the same."""
    one = SIX if isinstance(other, IPv6) else FOUR
    found = decode(*(part for pair in zip(split(one), split(other), strict=True) for part in pair))
    assert [scapy_says(one), scapy_says(other)] == [found.said(0), found.said(1)]


def test_fragments_of_two_tunnels_do_not_mix(decode: Callable) -> None:
    """The same private network behind two VNIs."""
    outer = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=4789, chksum=0)
    parts = [FRAME / outer / VXLAN(vni=vni) / part for part in split(FOUR) for vni in (7, 8)]
    assert [7, 8] == decode(*parts).segments.tunnel.tolist()


def test_options_of_a_rebuilt_segment(decode: Callable, scapy_says: Callable) -> None:
    """They lie in the bytes that were added to the batch's."""
    tcp = TCP(sport=1, dport=2, options=[("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)])
    packet = IP(src="192.0.2.1", dst="192.0.2.2") / tcp / bytes(900)
    assert scapy_says(packet) == decode(*split(packet)).said()


def test_what_is_rebuilt_is_decoded_as_any_other(decode: Callable) -> None:
    """It may turn out to be no TCP at all."""
    parts = split(IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2) / bytes(900))
    assert {fragments.REBUILT: 2, "not TCP: UDP": 1} == decode(*parts).counts


def test_extension_headers_around_the_fragment_header(decode: Callable) -> None:
    """Those in front fragment nothing, those behind are part of the payload."""
    packet = (
        IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(id=6)
        / IPv6ExtHdrDestOpt() / SEGMENT
    )  # fmt: skip
    assert bytes(SEGMENT.payload) == decode(*split(packet)).payload()


def test_a_datagram_too_large_for_its_length_field(decode: Callable) -> None:
    """65,535 bytes of payload and a header: the buffer says how long it is."""
    packet = IP(src="192.0.2.1", dst="192.0.2.2", proto=6) / Raw(bytes(TCP(sport=1, dport=2, chksum=0)) + bytes(65_500))
    assert 65_500 == int(decode(*split(packet, 60_000)).segments.size[0])


def test_copies_are_counted_and_harm_nothing(decode: Callable, scapy_says: Callable) -> None:
    """A mirror may send everything twice."""
    parts = split(FOUR)
    found = decode(parts[0], parts[0], parts[1], parts[1], parts[2])
    assert scapy_says(FOUR) == found.said()
    assert {fragments.COPY: 2, fragments.REBUILT: 2} == found.counts


def test_a_fragment_that_was_cut_is_of_no_use(decode: Callable) -> None:
    """Its bytes would be missing in the middle."""
    parts = split(FOUR)
    assert {fragments.CUT: 1, fragments.WAITING: 2} == decode(bytes(parts[0])[:100], *parts[1:]).counts


def test_old_ones_are_given_up(decode: Callable) -> None:
    """By the packets' own times."""
    parts = split(FOUR)
    late = fragments.MAX_AGE_NS + 1
    found = decode(*parts, time_ns=[0, 1, late])
    assert {fragments.INCOMPLETE: 2, fragments.WAITING: 1} == found.counts


# -- the reassembler alone --------------------------------------------------------------------------------------------


def piece(offset: int, size: int, *, last: bool = False, fill: bytes = b"x") -> Piece:
    return Piece(offset, fill * size, last, b"header")


@pytest.mark.parametrize(
    "other",
    [
        piece(8, 16), piece(0, 24), piece(16, 8), piece(8, 8, fill=b"y"), piece(0, 16, last=True), piece(24, 8),
        piece(16, 8, last=True), piece(0, 8, last=True),
    ],
)  # fmt: skip
def test_contradictions_end_the_datagram(other: Piece) -> None:
    """Overlaps (RFC 5722), other bytes at the same place, two ends, bytes behind the end."""
    counts: Counter[str] = Counter()
    reassembler = Reassembler(counts)
    for each in (piece(8, 8), piece(16, 8, last=True, fill=b"z"), other):
        assert reassembler.add("key", each, 0) is None
    assert {fragments.CONTRADICTORY: 3} == +counts


def test_a_second_end_is_a_contradiction() -> None:
    """Though it fits between what is there."""
    counts: Counter[str] = Counter()
    reassembler = Reassembler(counts)
    for each in (piece(24, 8, last=True), piece(0, 8), piece(8, 8, last=True)):
        assert reassembler.add("key", each, 0) is None
    assert {fragments.CONTRADICTORY: 3} == counts
    for each in (piece(16, 8), piece(0, 8, last=True)):
        assert reassembler.add("key", each, 0) is None
    assert {fragments.CONTRADICTORY: 5} == counts


@pytest.mark.parametrize("bad", [piece(0, 0), piece(0, 9), piece(65_528, 16), piece(8, 0, last=True)])
def test_impossible_pieces_are_counted(bad: Piece) -> None:
    """Empty, not a multiple of 8, beyond what a datagram can hold."""
    counts: Counter[str] = Counter()
    assert Reassembler(counts).add("key", bad, 0) is None
    assert {fragments.MALFORMED: 1} == counts


def test_the_number_of_open_datagrams_is_bounded() -> None:
    """The oldest goes."""
    counts: Counter[str] = Counter()
    reassembler = Reassembler(counts, max_datagrams=2)
    for key in range(5):
        reassembler.add(key, piece(0, 8), 0)
    assert {fragments.CROWDED: 3, fragments.WAITING: 2} == counts
    assert reassembler.add(4, piece(8, 8, last=True), 0) is not None
    assert reassembler.add(0, piece(8, 8, last=True), 0) is None


def test_the_bytes_kept_are_bounded() -> None:
    """What a piece costs beside its payload counts too."""
    counts: Counter[str] = Counter()
    reassembler = Reassembler(counts, max_bytes=10 * (8 + fragments.PIECE_BYTES))
    for key in range(100):
        reassembler.add(key, piece(0, 8), 0)
    assert 10 == counts[fragments.WAITING]


@given(st.lists(st.integers(1, 20), min_size=2, max_size=12), st.randoms(use_true_random=False), st.data())
def test_pieces_in_any_order_make_the_same_payload(sizes: list[int], random: Random, data: st.DataObject) -> None:
    """Whatever the sizes, with copies in between: whole once, and nothing kept."""
    content = random.randbytes(8 * sum(sizes) - data.draw(st.integers(0, 7)))
    ends = [8 * sum(sizes[: number + 1]) for number in range(len(sizes))]
    pieces = [
        Piece(end - 8 * size, content[end - 8 * size : end], end == ends[-1], b"")
        for size, end in zip(sizes, ends, strict=True)
    ]
    random.shuffle(pieces)
    counts: Counter[str] = Counter()
    reassembler = Reassembler(counts)
    for number, each in enumerate(pieces[:-1]):
        assert reassembler.add("key", each, number) is None
        assert reassembler.add("key", each, number) is None
    whole = reassembler.add("key", pieces[-1], len(pieces))
    assert whole is not None
    assert content == b"".join(each.payload for each in whole)
    assert {fragments.COPY: len(pieces) - 1, fragments.REBUILT: len(pieces) - 1} == +counts
    assert 0 == reassembler._bytes
