"""The kernel's programs, run here by an interpreter of classic BPF over packets that scapy builds."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import ARP, GRE, ICMP, IP, TCP, UDP, VXLAN, Dot1AD, Dot1Q, Ether, IPv6, IPv6ExtHdrFragment, Packet

from capture.live import bpf

WORD = 0xFFFFFFFF
ETHERNET_BYTES = 14


def run(program: bytes, frame: bytes) -> int:
    """Return what a program returns for an Ethernet frame, as the kernel runs it: the outermost tag stripped before."""
    frame = frame[:12] + frame[16:] if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else frame
    lines = list(bpf.INSTRUCTION.iter_unpack(program))
    a = x = at = 0
    memory: dict[int, int] = {}
    while True:
        code, jt, jf, k = lines[at]
        at += 1
        match code & 0x07:
            case 0 | 1 if code in (0x00, 0x01):
                a, x = (k, x) if code == 0x00 else (a, k)
            case 0 | 1 if code & 0xE0 == 0x60:
                a, x = (memory[k], x) if code == 0x60 else (a, memory[k])
            case 0 | 1:
                loaded = load(frame, k + (x if code & 0xE0 == 0x40 else 0), 4 >> (code >> 3 & 3))
                if loaded is None:
                    return 0
                a, x = (a, 4 * (loaded & 15)) if code == 0xB1 else (loaded, x)
            case 2:
                memory[k] = a
            case 4:
                a = {0x04: a + k, 0x24: a * k, 0x74: a >> k if code == 0x74 else 0, 0xAC: a ^ x}[code] & WORD
            case 5:
                at += k if code == 0x05 else jt if {0x15: a == k, 0x45: a & k}[code] else jf
            case 6:
                return a if code == 0x16 else k
            case _:
                a, x = (a, a) if code == 0x07 else (x, x)


def load(frame: bytes, at: int, size: int) -> int | None:
    """Read from a packet, from its network header or its ethertype; None beyond its end."""
    at &= WORD
    if at == bpf.PROTOCOL:
        at, size = 12, 2
    elif at >= bpf.NETWORK:
        at = at - bpf.NETWORK + ETHERNET_BYTES
    return int.from_bytes(frame[at : at + size], "big") if at + size <= len(frame) else None


def ethernet(ethertype: int | None = None) -> Packet:
    """An Ethernet header with its addresses given: scapy would ask the network for them."""
    addresses = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
    return Ether(**addresses) if ethertype is None else Ether(**addresses, type=ethertype)


def tcp(source: str = "10.1.0.1", target: str = "10.1.0.2", sport: int = 5000, dport: int = 443) -> Packet:
    """A TCP packet from its IP header on."""
    layer = IPv6 if ":" in source else IP
    return layer(src=source, dst=target) / TCP(sport=sport, dport=dport) / b"payload"


def vxlan(inner: Packet, port: int = 4789, outer: Packet | None = None) -> Packet:
    """An Ethernet frame with a packet in VXLAN."""
    return (
        ethernet() / (outer or IP(src="172.16.0.1")) / UDP(sport=50000, dport=port) / VXLAN(vni=42) / ethernet() / inner
    )


SIX = {"source": "fd00::1", "target": "fd00::2"}
PASSING = {
    "plain TCP": ethernet() / tcp(),
    "the other direction": ethernet() / tcp(sport=443, dport=5000),
    "TCP behind IPv4 options": ethernet() / IP(options=b"\x01" * 8) / TCP(sport=443),
    "TCP over IPv6": ethernet() / tcp(**SIX),
    "a stripped tag": ethernet() / Dot1Q(vlan=5) / tcp(),
    "a tag left": ethernet() / Dot1AD(vlan=5) / Dot1Q(vlan=6) / tcp(),
    "two tags left": ethernet() / Dot1AD(vlan=5) / Dot1Q(vlan=6) / Dot1Q(vlan=7) / tcp(**SIX),
    "VXLAN": vxlan(tcp()),
    "VXLAN behind a tag left": ethernet() / Dot1AD() / Dot1Q() / IP() / UDP(dport=4789) / VXLAN() / ethernet() / tcp(),
    "VXLAN over IPv6": vxlan(tcp(), outer=IPv6(src="fd00::9")),
    "IPv6 in VXLAN": vxlan(tcp(**SIX)),
    "GENEVE": ethernet() / IP() / UDP(dport=6081) / bytes(60),
    "GRE": ethernet() / IP() / GRE() / tcp(dport=80),
    "IP in IP": ethernet() / IP() / tcp(dport=80),
    "IPv6 in IP": ethernet() / IP() / tcp(**SIX, dport=80),
    "IP in IPv6": ethernet() / IPv6() / tcp(dport=80),
    "a first fragment": ethernet() / IP(flags="MF") / UDP(dport=9) / bytes(30),
    "a later fragment": ethernet() / IP(frag=64, proto=17) / bytes(30),
    "an IPv6 fragment": ethernet() / IPv6() / IPv6ExtHdrFragment(m=1) / UDP(dport=9) / bytes(30),
    "a fragment in VXLAN": vxlan(IP(flags="MF", proto=6) / bytes(30)),
    "options in VXLAN": vxlan(IP(options=b"\x01" * 4) / TCP(dport=80)),
    "a tag in VXLAN": vxlan(Dot1Q(vlan=9) / tcp(dport=80)),
    "a tunnel in VXLAN": vxlan(IP() / UDP(dport=4789) / VXLAN() / ethernet() / tcp(dport=80)),
}
UNWATCHED = {
    "plain TCP": ethernet() / tcp(dport=80),
    "TCP over IPv6": ethernet() / tcp(**SIX, dport=80),
    "TCP behind tags": ethernet() / Dot1AD() / Dot1Q() / Dot1Q() / tcp(dport=80),
    "VXLAN": vxlan(tcp(dport=80)),
    "IPv6 in VXLAN": vxlan(tcp(**SIX, dport=80)),
    "VXLAN over IPv6": vxlan(tcp(dport=80), outer=IPv6()),
}
NEVER = {
    "ARP": ethernet() / ARP(),
    "ICMP": ethernet() / IP() / ICMP(),
    "ICMPv6": ethernet() / IPv6(nh=58) / bytes(30),
    "other UDP": ethernet() / IP() / UDP(dport=53) / bytes(60),
    "other UDP over IPv6": ethernet() / IPv6() / UDP(dport=53) / bytes(60),
    "a packet cut in its header": ethernet() / bytes(IP(proto=6))[:8],
    "something unknown behind tags": ethernet() / Dot1AD() / Dot1Q() / Dot1Q() / Dot1Q() / tcp(),
}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("ports", [None, (443,), (1, 443)])
def test_what_may_be_watched_passes_whole(name: str, ports: tuple[int, ...] | None) -> None:
    """Whatever may hold TCP of a watched port passes, with all its bytes."""
    assert run(bpf.watch_filter(ports), bytes(PASSING[name])) == bpf.ALL_BYTES


@pytest.mark.parametrize("name", UNWATCHED)
def test_other_ports_pass_only_when_none_are_named(name: str) -> None:
    """TCP of another port passes where all ports are watched, and is refused where some are."""
    frame = bytes(UNWATCHED[name])
    assert (bpf.ALL_BYTES, 0) == (run(bpf.watch_filter(), frame), run(bpf.watch_filter((443, 8443)), frame))


@pytest.mark.parametrize("name", NEVER)
@pytest.mark.parametrize("ports", [None, (443,)])
def test_what_holds_no_tcp_is_refused(name: str, ports: tuple[int, ...] | None) -> None:
    """What can be no TCP segment does not pass."""
    assert run(bpf.watch_filter(ports), bytes(NEVER[name])) == 0


def test_tunnel_ports_are_given() -> None:
    """VXLAN is what goes to a port that is said to be one."""
    frame = bytes(vxlan(tcp(), port=5000))
    assert 0 == run(bpf.watch_filter((443,)), frame)
    assert bpf.ALL_BYTES == run(bpf.watch_filter((443,), vxlan_ports=(4789, 5000)), frame)
    assert 0 == run(bpf.watch_filter((80,), vxlan_ports=(4789, 5000)), frame)


@given(st.sets(st.integers(1, 65535), min_size=1, max_size=400), st.integers(1, 65535), st.integers(1, 65535))
def test_many_ports_need_long_jumps(ports: set[int], sport: int, dport: int) -> None:
    """A filter of hundreds of ports, whose jumps are longer than a conditional one can be, still decides rightly."""
    sport, dport = (port if port not in (4789, 6081) else 1 for port in (sport, dport))
    program = bpf.watch_filter(tuple(sorted(ports)))
    watched = sport in ports or dport in ports
    plain = bytes(ethernet(0x0800)) + ipv4_tcp(sport, dport)
    assert (bpf.ALL_BYTES if watched else 0) == run(program, plain)
    assert bpf.ALL_BYTES == run(program, bytes(ethernet(0x0800)) + ipv4_tcp(max(ports), dport))


def ipv4_tcp(sport: int, dport: int) -> bytes:
    """The least of a TCP packet, faster than scapy makes one."""
    return struct.pack(">BBHHHBBHIIHH", 0x45, 0, 40, 0, 0, 64, 6, 0, 1, 2, sport, dport) + bytes(16)


ADDRESSES = st.tuples(st.integers(0, WORD), st.integers(0, WORD))
PORTS = st.tuples(st.integers(0, 65535), st.integers(0, 65535))


@given(ADDRESSES, PORTS, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_both_directions_go_to_the_same_socket(
    ends: tuple[int, int], ports: tuple[int, int], shape: tuple[bool, bool, bool]
) -> None:
    """The fanout's value does not tell the directions apart, plain or in VXLAN, whatever the outer packet is."""
    inner_ipv6, outer_ipv6, tunnel = shape
    values = set()
    for step in (1, -1):
        source, target = ends[::step]
        inner = (
            IPv6(src=number6(source), dst=number6(target))
            if inner_ipv6
            else IP(src=number4(source), dst=number4(target))
        )
        inner /= TCP(sport=ports[::step][0], dport=ports[::step][1])
        if tunnel:
            outer = (IPv6(src="fd00::7") if outer_ipv6 else IP(src="10.9.9.9")) / UDP(sport=40000 + step, dport=4789)
            inner = outer / VXLAN(vni=7) / ethernet() / inner
        values.add(run(bpf.fanout_program(), bytes(ethernet() / inner)))
    assert 1 == len(values)


def number4(number: int) -> str:
    """An IPv4 address."""
    return ".".join(map(str, number.to_bytes(4, "big")))


def number6(number: int) -> str:
    """An IPv6 address that depends on all of a number's bits."""
    return f"fd00::{number >> 16:x}:{number & 0xFFFF:x}"


@pytest.mark.parametrize("sockets", [2, 3, 4, 8])
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("wrap", [lambda inner: ethernet() / inner, vxlan], ids=["plain", "VXLAN"])
def test_connections_spread_over_all_sockets(sockets: int, step: int, wrap: object) -> None:
    """Client ports that follow one another, also even ones alone (as Linux picks them), fill all sockets alike."""
    assert callable(wrap)
    program = bpf.fanout_program()
    connections = 240
    counts = [0] * sockets
    for number in range(connections):
        counts[run(program, bytes(wrap(tcp(sport=32768 + step * number)))) % sockets] += 1
    assert min(counts) > connections / sockets / 2


def test_fragments_of_a_packet_stay_together() -> None:
    """A fragment's value depends on its outer addresses alone, for only the first has any ports."""
    program = bpf.fanout_program()
    first = ethernet() / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP(dport=4789) / bytes(40)
    later = ethernet() / IP(src="10.0.0.1", dst="10.0.0.2", frag=8, proto=17) / bytes(40)
    assert run(program, bytes(first)) == run(program, bytes(later))


def test_a_missing_label_is_told() -> None:
    """A jump to a label that was never set is our own mistake, and raises."""
    assembler = bpf.Assembler()
    assembler.jump("ja", to="nowhere")
    with pytest.raises(KeyError):
        assembler.program()
