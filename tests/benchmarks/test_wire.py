"""Headers to (client port, direction, payload), for the packets that loopback carries; and the kernel's filter."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import Capture, CaptureError, port_filter, tcp_packet

EXCHANGE, CLIENT = 9443, 51000
PORTS = st.integers(1, 65535)


def frame(source: int, destination: int, payload: bytes, ip_options: bytes = b"", tcp_options: bytes = b"") -> bytes:
    """Build an Ethernet frame by RFC 791 section 3.1 and RFC 9293 section 3.1; checksums are not looked at."""
    tcp_bytes, ip_bytes = 20 + len(tcp_options), 20 + len(ip_options)
    tcp = struct.pack("!HHIIBBHHH", source, destination, 1, 2, tcp_bytes // 4 << 4, 0x18, 512, 0, 0) + tcp_options
    loopback = bytes([127, 0, 0, 1])
    total_bytes = ip_bytes + tcp_bytes + len(payload)
    ip = struct.pack("!BBHHHBBH4s4s", 0x40 | ip_bytes // 4, 0, total_bytes, 7, 0x4000, 64, 6, 0, loopback, loopback)
    return bytes(12) + b"\x08\x00" + ip + ip_options + tcp + payload


def run_filter(program: bytes, packet: bytes) -> int:
    """Interpret the classic BPF opcodes that `port_filter` uses, as `man 4 bpf` defines them."""
    instructions = list(struct.iter_unpack("HBBI", program))
    accumulator = index = position = 0
    while True:
        code, jump_true, jump_false, k = instructions[position]
        position += 1
        if code == 0x06:
            return int(k)
        if code == 0x28:
            accumulator = int.from_bytes(packet[k : k + 2])
        elif code == 0x48:
            accumulator = int.from_bytes(packet[index + k : index + k + 2])
        elif code == 0x30:
            accumulator = packet[k]
        elif code == 0xB1:
            index = 4 * (packet[k] & 0xF)
        else:
            assert code == 0x15
            position += jump_true if accumulator == k else jump_false


@given(
    port=PORTS.filter(lambda port: port != EXCHANGE),
    payload_bytes=st.integers(1, 60000),
    ip_words=st.integers(0, 10),
    tcp_words=st.integers(0, 10),
)
def test_direction_and_payload_are_read_whatever_the_options(
    port: int, payload_bytes: int, ip_words: int, tcp_words: int
) -> None:
    options = (b"\x01" * 4 * ip_words, b"\x01" * 4 * tcp_words)
    out = frame(port, EXCHANGE, bytes(payload_bytes), *options)
    back = frame(EXCHANGE, port, bytes(payload_bytes), *options)
    assert (port, True, payload_bytes) == tcp_packet(out[:128], EXCHANGE)
    assert (port, False, payload_bytes) == tcp_packet(back[:128], EXCHANGE)


def test_a_bare_acknowledgement_is_no_packet_of_interest() -> None:
    assert tcp_packet(frame(CLIENT, EXCHANGE, b"", tcp_options=b"\x01" * 12), EXCHANGE) is None


@given(source=PORTS, destination=PORTS, ip_words=st.integers(0, 10))
def test_the_filter_keeps_exactly_the_packets_of_its_port(source: int, destination: int, ip_words: int) -> None:
    packet = frame(source, destination, b"x", ip_options=b"\x01" * 4 * ip_words)
    kept = run_filter(port_filter(EXCHANGE), packet) > 0
    assert (EXCHANGE in {source, destination}) == kept


def test_the_filter_keeps_both_directions_and_refuses_other_protocols() -> None:
    program = port_filter(EXCHANGE)
    out = frame(CLIENT, EXCHANGE, b"x")
    udp = out[:23] + b"\x11" + out[24:]
    ipv6 = out[:12] + b"\x86\xdd" + out[14:]
    assert run_filter(program, out) > 0
    assert run_filter(program, frame(EXCHANGE, CLIENT, b"x")) > 0
    assert 0 == run_filter(program, udp)
    assert 0 == run_filter(program, ipv6)


def test_without_the_right_to_capture_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("socket.socket", refuse)
    with pytest.raises(CaptureError, match="CAP_NET_RAW"):
        Capture(EXCHANGE)
