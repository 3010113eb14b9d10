"""What the kernel runs on each packet before we see it: classic BPF programs, as bytes of `struct sock_filter`. Pure.

Two programs: `watch_filter` lets through what may hold a TCP segment that we watch, `fanout_program` deals packets out
to several sockets so that both directions of a connection meet at one. Both find the IP header by the kernel's own
network offset, so they fit every link layer. What a filter cannot decide passes: the decoder looks again.

A load beyond the end of a packet ends a program with 0: such a packet is too short for any TCP header.
Source of the instruction set: the kernel's Documentation/networking/filter.rst and `linux/filter.h`.
"""

import struct
from collections.abc import Iterable
from typing import Final

INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k
VXLAN_PORTS: Final = (4789, 8472)  # IANA's, and the one that Linux took before there was one
ALL_BYTES: Final = 0x40000  # returned by a filter that accepts: more than any frame has
NETWORK: Final = 0xFFF00000  # SKF_NET_OFF, −0x100000: loads from here on count from the network header
PROTOCOL: Final = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL: the packet's ethertype, behind a tag that was stripped

_CODES: Final = {
    "ld [k]": 0x20, "ldh [k]": 0x28, "ldb [k]": 0x30,  # A = word, half word, byte of the packet
    "ld [x+k]": 0x40, "ldh [x+k]": 0x48, "ldb [x+k]": 0x50,
    "ld #": 0x00, "ld m": 0x60, "st m": 0x02,
    "ldx #": 0x01, "ldx m": 0x61,
    "ldx 4*ihl": 0xB1,  # X = 4 × the lower half of the byte at [k]: an IPv4 header's size
    "add #": 0x04, "mul #": 0x24, "rsh #": 0x74, "xor x": 0xAC,
    "tax": 0x07, "txa": 0x87,
    "ja": 0x05, "jeq": 0x15, "jset": 0x45,
    "ret #": 0x06, "ret a": 0x16,
}  # fmt: skip
NOTHING: Final = INSTRUCTION.pack(_CODES["ret #"], 0, 0, 0)  # lets no packet through
_LONGEST_JUMP: Final = 255  # jt and jf are bytes; `ja` reaches everywhere

_IPV4, _IPV6, _VLAN_TAGS = 0x0800, 0x86DD, (0x8100, 0x88A8)  # ethertypes
_IPIP, _TCP, _UDP, _IPV6_IN_IP, _GRE, _ICMPV6 = 4, 6, 17, 41, 47, 58
_FRAGMENT: Final = 0x3FFF  # more fragments, or an offset (RFC 791, section 3.1)
_PLAIN_IPV4: Final = 0x45  # version 4, five words: no options
_MAX_TAGS: Final = 2  # VLAN tags inside a packet, beside the one that the kernel strips
# From the outer UDP header: 8 bytes of UDP, 8 of VXLAN (RFC 7348), 14 of Ethernet, then IP.
_INNER_TYPE, _INNER_IP = 28, 30
_ADDRESS_SLOTS, _PORT_SLOTS = range(8), (8, 9)  # the fanout program's memory
_SPREAD: Final = 0x9E3779B1  # 2³² / golden ratio, odd: the product's upper bits depend on all bits (Knuth, TAOCP 6.4)


class Assembler:
    """Collects instructions and labels; `program` resolves the jumps, however long they are."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, str | None, str | None]] = []
        self._labels: dict[str, int] = {}

    def emit(self, name: str, k: int = 0) -> None:
        """Append an instruction that does not jump."""
        self._lines.append((_CODES[name], k, None, None))

    def jump(self, name: str, k: int = 0, *, to: str | None = None, otherwise: str | None = None) -> None:
        """Append a jump forwards; without a label it goes to the next instruction."""
        self._lines.append((_CODES[name], k, to, otherwise))

    def label(self, name: str) -> None:
        """Name the next instruction."""
        assert name not in self._labels, f"label {name} is set twice"
        self._labels[name] = len(self._lines)

    def program(self) -> bytes:
        """Return the instructions as the kernel takes them.

        Raises:
            KeyError: a jump goes to a label that was never set.
        """
        encoded: list[bytes] = []  # the last instruction first: jumps go forwards, so what they cross is known
        behind = {len(self._lines): 0}  # instructions from a line on
        for at in range(len(self._lines) - 1, -1, -1):
            code, k, to, otherwise = self._lines[at]
            here = len(encoded)
            over, else_over = (
                here - behind[at + 1 if label is None else self._labels[label]] for label in (to, otherwise)
            )
            if code == _CODES["ja"]:
                encoded.append(INSTRUCTION.pack(code, 0, 0, over))
            elif max(over, else_over) <= _LONGEST_JUMP:
                encoded.append(INSTRUCTION.pack(code, over, else_over, k))
            else:
                encoded.append(INSTRUCTION.pack(_CODES["ja"], 0, 0, else_over))
                encoded.append(INSTRUCTION.pack(_CODES["ja"], 0, 0, over + 1))
                encoded.append(INSTRUCTION.pack(code, 0, 1, k))
            behind[at] = len(encoded)
        return b"".join(reversed(encoded))


def watch_filter(
    ports: tuple[int, ...] | None = None,
    vxlan_ports: tuple[int, ...] = VXLAN_PORTS,
    geneve_ports: tuple[int, ...] = (6081,),
) -> bytes:
    """Return a filter that lets through whole what may hold TCP of the watched ports.

    That is TCP, UDP to a tunnel's port, GRE, IP in IP and every IP fragment, behind up to two VLAN tags and the one
    that the kernel strips. Inside VXLAN, TCP right behind an IPv4 header without options or an IPv6 header must be of
    `ports` as well; everything else inside a tunnel passes.

    Args:
        ports: of either end of the connections to watch; None for all.
        vxlan_ports: UDP ports that VXLAN is sent to.
        geneve_ports: UDP ports that GENEVE is sent to.
    """
    asm = Assembler()
    _find_transport(asm, tunnel="accept", fragment="accept", other="reject", remember=False)

    asm.label("udp")
    asm.emit("ldh [x+k]", NETWORK + 2)
    _jump_if_any(asm, vxlan_ports, "accept" if ports is None else "inner")
    _jump_if_any(asm, geneve_ports, "accept")
    asm.jump("ja", to="reject")

    if ports is not None:
        asm.label("inner")
        _find_inner(asm, other="accept", remember=False)
    asm.label("tcp")
    for port_offset in (0, 2) if ports is not None else ():
        asm.emit("ldh [x+k]", NETWORK + port_offset)
        _jump_if_any(asm, ports or (), "accept")
    asm.jump("ja", to="accept" if ports is None else "reject")

    asm.label("reject")
    asm.emit("ret #", 0)
    asm.label("accept")
    asm.emit("ret #", ALL_BYTES)
    return asm.program()


def fanout_program(vxlan_ports: tuple[int, ...] = VXLAN_PORTS) -> bytes:
    """Return a program for PACKET_FANOUT_CBPF: a number that both directions of a connection share.

    It mixes addresses and ports of TCP, or of the TCP inside VXLAN; of IP fragments, of other tunnels and of inner
    packets that are not TCP the addresses alone.

    Args:
        vxlan_ports: UDP ports that VXLAN is sent to.
    """
    asm = Assembler()
    _forget(asm)
    _find_transport(asm, tunnel="mix", fragment="mix", other="mix", remember=True)

    asm.label("udp")
    asm.emit("ldh [x+k]", NETWORK + 2)
    _jump_if_any(asm, vxlan_ports, "inner")
    asm.jump("ja", to="mix")

    asm.label("inner")
    _forget(asm)
    _find_inner(asm, other="mix", remember=True)
    asm.label("tcp")
    for slot, port_offset in zip(_PORT_SLOTS, (0, 2), strict=True):
        asm.emit("ldh [x+k]", NETWORK + port_offset)
        asm.emit("st m", slot)

    asm.label("mix")
    asm.emit("ld m", _PORT_SLOTS[0])
    for slot in (*_ADDRESS_SLOTS, *_PORT_SLOTS[1:]):
        asm.emit("ldx m", slot)
        asm.emit("xor x")
    asm.emit("mul #", _SPREAD)
    asm.emit("rsh #", 16)  # the kernel takes the rest of a division by the number of sockets: of low bits alone
    asm.emit("ret a")
    return asm.program()


def _find_transport(asm: Assembler, *, tunnel: str, fragment: str, other: str, remember: bool) -> None:
    """Jump to `tcp` or `udp` with X at that header, counted from the network header, or to one of the labels given."""
    asm.emit("ldh [k]", PROTOCOL)
    for base in range(0, 4 * _MAX_TAGS + 1, 4):
        asm.jump("jeq", _IPV4, to=f"ipv4 at {base}")
        asm.jump("jeq", _IPV6, to=f"ipv6 at {base}")
        if base < 4 * _MAX_TAGS:
            _jump_if_any(asm, _VLAN_TAGS, f"tag at {base}")
            asm.jump("ja", to=other)
            asm.label(f"tag at {base}")
            asm.emit("ldh [k]", NETWORK + base + 2)  # behind the tag control information
    asm.jump("ja", to=other)
    for base in range(0, 4 * _MAX_TAGS + 1, 4):
        ip = NETWORK + base
        asm.label(f"ipv4 at {base}")
        if remember:
            _remember(asm, "ld [k]", ip + 12, words=2)
        asm.emit("ldh [k]", ip + 6)
        asm.jump("jset", _FRAGMENT, to=fragment)
        asm.emit("ldx 4*ihl", ip)
        _advance(asm, base)
        asm.emit("ldb [k]", ip + 9)
        _choose(asm, (_GRE, _IPIP, _IPV6_IN_IP), tunnel, other)

        asm.label(f"ipv6 at {base}")
        if remember:
            _remember(asm, "ld [k]", ip + 8, words=8)
        asm.emit("ldx #", base + 40)
        asm.emit("ldb [k]", ip + 6)
        asm.jump("jeq", _ICMPV6, to=other)
        _choose(asm, (), tunnel, tunnel)  # extension headers, fragments and tunnels: not decided here


def _find_inner(asm: Assembler, *, other: str, remember: bool) -> None:
    """From X at the UDP header of VXLAN, move on to the inner TCP header and fall through, or jump to `other`."""
    ip = NETWORK + _INNER_IP
    asm.emit("ldh [x+k]", NETWORK + _INNER_TYPE)
    asm.jump("jeq", _IPV4, to="inner ipv4")
    asm.jump("jeq", _IPV6, otherwise=other)

    if remember:
        _remember(asm, "ld [x+k]", ip + 8, words=8)
    asm.emit("ldb [x+k]", ip + 6)
    asm.jump("jeq", _TCP, otherwise=other)
    _advance(asm, _INNER_IP + 40)
    asm.jump("ja", to="tcp")

    asm.label("inner ipv4")
    if remember:
        _remember(asm, "ld [x+k]", ip + 12, words=2)
    asm.emit("ldb [x+k]", ip)
    asm.jump("jeq", _PLAIN_IPV4, otherwise=other)
    asm.emit("ldh [x+k]", ip + 6)
    asm.jump("jset", _FRAGMENT, to=other)
    asm.emit("ldb [x+k]", ip + 9)
    asm.jump("jeq", _TCP, otherwise=other)
    _advance(asm, _INNER_IP + 20)


def _choose(asm: Assembler, tunnels: tuple[int, ...], tunnel: str, other: str) -> None:
    asm.jump("jeq", _TCP, to="tcp")
    asm.jump("jeq", _UDP, to="udp")
    _jump_if_any(asm, tunnels, tunnel)
    asm.jump("ja", to=other)


def _jump_if_any(asm: Assembler, values: Iterable[int], label: str) -> None:
    for value in values:
        asm.jump("jeq", value, to=label)


def _advance(asm: Assembler, size: int) -> None:
    if size:
        asm.emit("txa")
        asm.emit("add #", size)
        asm.emit("tax")


def _forget(asm: Assembler) -> None:
    asm.emit("ld #", 0)
    for slot in (*_ADDRESS_SLOTS, *_PORT_SLOTS):
        asm.emit("st m", slot)


def _remember(asm: Assembler, load: str, at: int, *, words: int) -> None:
    for slot in _ADDRESS_SLOTS[:words]:
        asm.emit(load, at + 4 * slot)
        asm.emit("st m", slot)
