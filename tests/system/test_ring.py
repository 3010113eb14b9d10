"""The live ring on interfaces of the test's own: a network namespace that nobody names ends with the test."""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scapy.all import IP, TCP, UDP, VXLAN, Dot1Q, Ether, IPv6, Packet

from capture.errors import CannotCapture, SourceLost
from capture.live import ring as ring_module
from capture.live.bpf import watch_filter
from capture.live.ring import MIN_BLOCK_BYTES, Ring
from capture.packets import Batch, LinkType

SO_TIMESTAMPNS = 35
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
TIMEOUT_S = 10.0
MIRROR_PORT = 5000  # of VXLAN, one that must be asked for
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


pytestmark = pytest.mark.usefixtures("own_network")


def ip(arguments: str) -> None:
    """Run the `ip` command."""
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def frames(batch: Batch) -> list[bytes]:
    """Copy a batch's packets out of the ring."""
    return [bytes(batch.data[at : at + size]) for at, size in zip(batch.start, batch.caplen, strict=True)]


class Taken:
    """What came of a ring, copied out of it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.columns: dict[str, list[int]] = {name: [] for name in ("wirelen", "time_ns", "link", "hardware", "vlan")}

    def add(self, batch: Batch) -> None:
        """Copy a batch."""
        self.frames += frames(batch)
        for name, column in self.columns.items():
            column.extend(getattr(batch, name).tolist())


def take(ring: Ring, count: int) -> Taken:
    """Take packets until so many have come, and then all that come until a wait stays without."""
    taken = Taken()
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        batch = ring.take(0.1)
        taken.add(batch)
        if len(taken.frames) >= count and not len(batch):
            return taken
    pytest.fail(f"{len(taken.frames)} packets came, {count} were expected")


def gather(ring: Ring, count: int) -> list[bytes]:
    """Take so many packets, and all that still come; return their bytes."""
    return take(ring, count).frames


def numbered(number: int, size: int = 60) -> bytes:
    """An Ethernet frame of no protocol that anybody answers."""
    return bytes.fromhex("0200000000020200000000018888") + number.to_bytes(4, "big") + bytes(size - 18)


def test_loopback_shows_each_packet_once_with_the_kernels_stamp() -> None:
    """Each datagram on loopback is taken once, whole, in order, at the time that its receiver is told by the kernel."""
    payloads = [bytes([number]) * (100 + number) for number in range(200)]
    stamps = []
    with (
        Ring("lo", filter=None, fanout=None) as ring,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.bind(("127.0.0.1", 0))
        for payload in payloads:
            client.sendto(payload, receiver.getsockname())
            _, control, _, _ = receiver.recvmsg(1000, 100)
            seconds, nanoseconds = struct.unpack("=qq", control[0][2])
            stamps.append(seconds * 1_000_000_000 + nanoseconds)
        taken = take(ring, len(payloads))
        assert payloads == [frame[42:] for frame in taken.frames]
        assert stamps == taken.columns["time_ns"]
        assert {LinkType.ETHERNET} == set(taken.columns["link"])
        assert {False} == set(taken.columns["hardware"])
        assert {0} == set(taken.columns["vlan"])
        assert (200, 0) == (ring.drops().packets, ring.drops().drops)


def test_frames_of_64_kilobytes_are_whole() -> None:
    """Loopback carries frames as large as an IP packet can be; none is cut."""
    payload = os.urandom(65_507)
    with (
        Ring("lo", filter=None, fanout=None, block_bytes=MIN_BLOCK_BYTES, blocks=4) as ring,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        ip("link set lo mtu 65535")
        receiver.bind(("127.0.0.1", 0))
        for _ in range(10):  # more than a block holds, less than four do
            client.sendto(payload, receiver.getsockname())
            receiver.recv(70_000)
        taken = take(ring, 10)
        assert [65_549] * 10 == taken.columns["wirelen"]
        assert [payload] * 10 == [frame[42:] for frame in taken.frames]


def test_a_tag_that_the_kernel_strips_is_told(cable: socket.socket) -> None:
    """The VLAN tag that is missing in a frame stands beside it."""
    plain = bytes(Ether(**MACS) / IP() / TCP(dport=443))
    tagged = bytes(Ether(**MACS) / Dot1Q(prio=5, vlan=123) / IP() / TCP(dport=443))
    with Ring("mirror", filter=watch_filter((443,)), fanout=None) as ring:
        for frame in (plain, tagged):
            cable.send(frame)
        taken = take(ring, 2)
        assert [0, 5 << 13 | 123] == taken.columns["vlan"]
        assert [plain, plain] == taken.frames


def test_only_what_the_filter_lets_through_comes(cable: socket.socket) -> None:
    """The filter holds from the first packet on."""
    wanted = bytes(
        Ether(**MACS) / IP() / UDP(dport=4789) / VXLAN() / Ether(**MACS) / IP() / TCP(dport=443) / bytes(300)
    )
    other = bytes(Ether(**MACS) / IP() / UDP(dport=4789) / VXLAN() / Ether(**MACS) / IP() / TCP(dport=80) / bytes(300))
    with Ring("mirror", filter=watch_filter((443,)), fanout=None) as ring:
        for frame in (other, wanted, other, wanted):
            cable.send(frame)
        assert [wanted, wanted] == gather(ring, 2)


def test_a_ring_that_nobody_reads_counts_what_it_drops(cable: socket.socket) -> None:
    """When the ring is full packets are dropped and counted; what is in it is read, and then new packets come again."""
    with Ring("mirror", filter=None, fanout=None, block_bytes=MIN_BLOCK_BYTES, blocks=4) as ring:
        for number in range(2000):
            cable.send(numbered(number, 1400))
        counters = ring.drops()
        assert (2000, True) == (counters.packets, counters.drops > 0)
        assert counters.freezes >= 1
        assert [f"{counters.drops:,} of 2,000 packets dropped: the ring on mirror was full"] == ring.troubles
        kept = gather(ring, 2000 - counters.drops)
        assert [numbered(number, 1400) for number in range(2000 - counters.drops)] == kept
        cable.send(numbered(7))
        assert [numbered(7)] == gather(ring, 1)
        assert counters.drops == ring.drops().drops
        assert 2001 == ring.drops().packets


def test_the_ring_goes_round(cable: socket.socket) -> None:
    """Many times what the ring holds passes through it, in order and whole, with sizes of all kinds."""
    with Ring("mirror", filter=None, fanout=None, block_bytes=MIN_BLOCK_BYTES, blocks=4) as ring:
        sent, taken = [], []
        for number in range(6000):
            frame = numbered(number, 60 + number * 37 % 1400)
            cable.send(frame)
            sent.append(frame)
            if number % 100 == 0:
                taken += frames(ring.take(0))
        taken += gather(ring, len(sent) - len(taken))
        assert sent == taken
        assert 0 == ring.drops().drops


def test_an_interface_that_goes_away_is_told_after_its_last_packet(cable: socket.socket) -> None:
    """What came before the interface vanished is read, then the source is lost."""
    with Ring("mirror", filter=None, fanout=None) as ring:
        for number in range(10):
            cable.send(numbered(number))
        ip("link del mirror")
        taken: list[bytes] = []
        with pytest.raises(SourceLost, match="mirror went away"):
            taken.extend(frame for batch in ring.batches() for frame in frames(batch))
        assert [numbered(number) for number in range(10)] == taken


def test_an_interface_may_go_down_and_come_up_again(cable: socket.socket) -> None:
    """A short outage is a trouble to tell of; the capture goes on."""
    with Ring("mirror", filter=None, fanout=None) as ring:
        cable.send(numbered(1))
        ip("link set mirror down")
        assert [numbered(1)] == gather(ring, 1)
        ip("link set mirror up")
        again: list[bytes] = []
        while not again:  # the carrier comes up some time after the command
            cable.send(numbered(2))
            again = frames(ring.take(0.1))
        assert {numbered(2)} == set(again)
        assert ["mirror was down for"] == [trouble[:19] for trouble in ring.troubles]


def test_an_interface_that_stays_down_is_lost(cable: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while nobody waits any more."""
    assert cable
    monkeypatch.setattr(ring_module, "_DOWN_PATIENCE_S", 0.2)
    with Ring("mirror", filter=None, fanout=None) as ring:
        ip("link set mirror down")
        with pytest.raises(SourceLost, match="mirror has been down"):
            all(len(batch) == 0 for batch in ring.batches())


def test_promiscuous_mode_is_for_those_who_ask(cable: socket.socket) -> None:
    """The interface takes other machines' packets only while a ring that asked for it is open."""
    assert cable
    with Ring("mirror", filter=None, fanout=None):
        assert "promiscuity 0" in details("mirror")
    with Ring("mirror", filter=None, fanout=None, promiscuous=True):
        assert "promiscuity 1" in details("mirror")
    assert "promiscuity 0" in details("mirror")


def details(interface: str) -> str:
    """What the `ip` command tells of an interface."""
    command = ["ip", "-details", "link", "show", interface]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def plain(source: str, target: str, sport: int, dport: int) -> Packet:
    """TCP over IPv4 or IPv6."""
    layer = IPv6 if ":" in source else IP
    return Ether(**MACS) / layer(src=source, dst=target) / TCP(sport=sport, dport=dport)


def mirrored(source: str, target: str, sport: int, dport: int) -> Packet:
    """The same in VXLAN, to a port of its own; the outer port depends on the direction, as a mirror chooses it."""
    outer = IP(src="10.9.0.1", dst="10.9.0.2") / UDP(sport=49152 + sport % 1000, dport=MIRROR_PORT)
    return Ether(**MACS) / outer / VXLAN(vni=5) / plain(source, target, sport, dport)


@pytest.mark.parametrize("make", [plain, mirrored])
@pytest.mark.parametrize("ends", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_sockets_share_connections_not_packets(cable: socket.socket, make: object, ends: tuple[str, str]) -> None:
    """In a fanout group each packet comes to one socket, and both directions of a connection to the same."""
    assert callable(make)
    a, b = ends
    there = {port: bytes(make(a, b, port, 443)) for port in range(40_000, 40_040)}
    back = {port: bytes(make(b, a, 443, port)) for port in there}
    with ExitStack() as stack:
        ring = partial(
            Ring, "mirror", filter=watch_filter((443,), (MIRROR_PORT,)), fanout=4242, vxlan_ports=(MIRROR_PORT,)
        )
        rings = [stack.enter_context(ring()) for _ in range(2)]
        for frame in (*there.values(), *back.values()):
            cable.send(frame)
        shares = [set(gather(ring, 2)) for ring in rings]
    assert all(shares)
    assert set() == shares[0] & shares[1]
    assert {*there.values(), *back.values()} == shares[0] | shares[1]
    for port, frame in there.items():
        assert (frame in shares[0]) == (back[port] in shares[0])


def test_packets_without_a_link_header_begin_with_ip() -> None:
    """On an interface without Ethernet the batch shows raw IP."""
    if not Path("/dev/net/tun").exists():
        pytest.skip("no /dev/net/tun to make an interface without Ethernet")
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    packet = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=443))
    with Path("/dev/net/tun").open("r+b", buffering=0) as tun:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tunnel", IFF_TUN | IFF_NO_PI))
        ip("link set tunnel up")
        with Ring("tunnel", filter=watch_filter((443,)), fanout=None) as ring:
            tun.write(packet)
            taken = take(ring, 1)
            assert [packet] == taken.frames
            assert [len(packet)] == taken.columns["wirelen"]
            assert [LinkType.RAW] == taken.columns["link"]


def test_waiting_ends_with_an_empty_batch() -> None:
    """Where nothing comes, the consumer gets its turn."""
    with Ring("lo", filter=None, fanout=None) as ring:
        assert 0 == len(ring.take(0))
        assert 0 == len(next(ring.batches()))
        assert ring.fileno() >= 0


def test_a_batch_outlives_its_ring(cable: socket.socket) -> None:
    """Closed in the middle, the ring leaves the consumer the batch that it holds; closing twice does no harm."""
    with Ring("mirror", filter=None, fanout=None) as ring:
        cable.send(numbered(3))
        batch = next(batch for batch in ring.batches() if len(batch))
        ring.close()
    assert [numbered(3)] == frames(batch)
    assert np.uint8 == batch.data.dtype


def test_what_cannot_be_captured_is_said_in_words(cable: socket.socket) -> None:
    """An unknown interface, one that is down, one without a clock, a ring beyond reason: each says what to do."""
    assert cable
    with pytest.raises(CannotCapture, match=r"no network interface 'nothing'; there are: lo, .*mirror"):
        Ring("nothing", filter=None, fanout=None)
    with pytest.raises(CannotCapture, match="mirror cannot stamp received packets in hardware"):
        Ring("mirror", filter=None, fanout=None, hardware=True)
    with pytest.raises(CannotCapture, match="1000 bytes: a power of two from 262144 on"):
        Ring("mirror", filter=None, fanout=None, block_bytes=1000)
    with pytest.raises(CannotCapture, match="refuses to capture on mirror: Invalid argument"):
        Ring("mirror", filter=b"\xff" * 8, fanout=None)
    ip("link set mirror down")
    with pytest.raises(CannotCapture, match="mirror is down; set it up with: ip link set mirror up"):
        Ring("mirror", filter=None, fanout=None)


def test_a_missing_right_is_named() -> None:
    """Without CAP_NET_RAW the message says so, and how to get it."""
    program = "from capture.live.ring import Ring; Ring('lo', filter=None, fanout=None)"
    command = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=TIMEOUT_S, check=False)
    assert 1 == done.returncode
    assert "capture.errors.CannotCapture: no right to capture" in done.stderr
    assert "CAP_NET_RAW" in done.stderr
