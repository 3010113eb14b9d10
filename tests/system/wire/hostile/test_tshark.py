"""tshark and editcap judge what the capture counts and decrypts, over files that tcpdump wrote of real traffic."""

import select
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from capture.inspect import decrypt_capture
from capture.inspect.keylog import KeyLog
from capture.inspect.tls import ContentType
from journal.wire import TcpFlag

from .frames import Ends
from .scene import Kind, Lossy, Recorded
from .verdict import is_copy, is_sent_again, read_wire, whole

Captured = Callable[[Path, int], AbstractContextManager[None]]
ANALYSIS = ("retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "zero_window")


class Seen(NamedTuple):
    """A TCP packet as tshark tells of it; `notes` are those of ANALYSIS that it attached."""

    time_ns: int
    stream: int
    ends: Ends
    size: int
    flags: int
    notes: frozenset[str]


def seen_by_tshark(path: Path) -> list[Seen]:
    """Return the TCP packets of a file; tshark takes VXLAN apart by itself."""
    names = ["frame.time_epoch", "tcp.stream", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.len", "tcp.flags"]
    names += [f"tcp.analysis.{name}" for name in ANALYSIS]
    fields = [argument for name in names for argument in ("-e", name)]
    seen = []
    for line in tool(
        "tshark", "-r", str(path), "-Y", "tcp", "-T", "fields", "-E", "occurrence=l", *fields
    ).splitlines():
        time, stream, source, port, target, other_port, size, flags, *notes = line.split("\t")
        attached = frozenset(name for name, note in zip(ANALYSIS, notes, strict=True) if note)
        ends = f"{source}:{port}", f"{target}:{other_port}"
        seen.append(Seen(int(time.replace(".", "")), int(stream), ends, int(size), int(flags, 16), attached))
    return seen


def tool(*command: str) -> str:
    """Run a program of Wireshark's to its end, and return what it printed."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(params=["clean", "lossy"])
def run(request: pytest.FixtureRequest) -> Recorded:
    """A run of which nothing was lost, and one of which much was."""
    found: Recorded | Lossy = request.getfixturevalue(request.param)
    return found.run if isinstance(found, Lossy) else found


def test_packets_streams_and_bytes(run: Recorded) -> None:
    """So many packets and connections; of each direction so many packets, payload bytes and resets."""
    judged, wire = seen_by_tshark(run.mirrored), read_wire(run.mirrored)
    assert len(judged) == len(whole(wire.packets)) > 1000
    assert len({each.stream for each in judged}) == len(wire.connections)
    expected: Counter[tuple[Ends, str]] = Counter()
    for each in judged:
        expected[each.ends, "packets"] += 1
        expected[each.ends, "bytes"] += each.size
        expected[each.ends, "resets"] += bool(each.flags & TcpFlag.RST)
    found: Counter[tuple[Ends, str]] = Counter()
    for met in wire.connections:
        for side, ends in enumerate([(met.a, met.b), (met.b, met.a)]):
            rows = wire.packets[wire.packets["stream"] == 2 * met.number + side]
            found[ends, "packets"] += len(whole(rows))
            found[ends, "bytes"] += int(rows["size"].sum())
            found[ends, "resets"] += np.count_nonzero(whole(rows)["tcp"] & TcpFlag.RST)
    assert expected == found


def test_retransmissions(run: Recorded) -> None:
    """What we call sent again tshark does too, and what it alone calls so came for the first time.

    It calls a packet with bytes below those that came before out of order where it comes within the connection's first
    round trip or 3 ms, and nobody asked for it; and it calls a packet a spurious retransmission where the mirror let
    its acknowledgement overtake it (packet-tcp.c). `test_retransmissions.py` shows which of them are what.
    A SYN that is answered twice within a millisecond is the one thing that it sees and we cannot: the answers have no
    identification and the same timestamps, as a mirror's copies have.
    """
    rows = read_wire(run.mirrored).packets
    judged = [each for each in seen_by_tshark(run.mirrored) if not each.flags & TcpFlag.SYN]
    found = set(rows["time"][is_sent_again(rows) & (rows["tcp"] & TcpFlag.SYN == 0)].tolist())
    assert found <= {each.time_ns for each in judged if each.notes & {"retransmission", "out_of_order"}}
    sure = {each.time_ns for each in judged if each.notes & {"retransmission"}}
    guessed = {each.time_ns for each in judged if each.notes & {"spurious_retransmission"}}
    assert sure - guessed <= found


def test_copies(clean: Recorded, tmp_path: Path) -> None:
    """Each packet twice, as mergecap makes it: what editcap removes as duplicates are copies, not sent again."""
    twice, once = tmp_path / "twice.pcap", tmp_path / "once.pcap"
    tool("mergecap", "-F", "nsecpcap", "-w", str(twice), str(clean.mirrored), str(clean.mirrored))
    tool("editcap", "-D", "3", "-F", "nsecpcap", str(twice), str(once))
    kept = seen_by_tshark(once)
    taking = sum(each.size > 0 or bool(each.flags & (TcpFlag.SYN | TcpFlag.FIN)) for each in kept)
    rows, single = whole(read_wire(twice).packets), whole(read_wire(once).packets)
    assert 2 * len(kept) == len(rows)
    assert taking == np.count_nonzero(is_copy(rows))
    assert np.count_nonzero(is_sent_again(single)) == np.count_nonzero(is_sent_again(rows))


def stall_and_reset(listener: socket.socket) -> None:
    """Fill a receiver's window, let it read, and reset the connection."""
    with socket.create_connection(listener.getsockname()) as sender, listener.accept()[0] as end:
        sender.setblocking(False)  # noqa: FBT003 - the socket's own signature
        sent = 0
        while select.select([], [sender], [], 0.5)[1]:  # full for half a second: both buffers are, and probes were sent
            sent += sender.send(bytes(65536))
        while sent:
            sent -= len(end.recv(65536))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_zero_windows_and_resets(captured: Captured, tmp_path: Path) -> None:
    """Packets that forbid to send, those that probe the closed window, and the reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with captured(tmp_path / "stall.pcap", listener.getsockname()[1]):
            stall_and_reset(listener)
    judged, rows = seen_by_tshark(tmp_path / "stall.pcap"), whole(read_wire(tmp_path / "stall.pcap").packets)
    zero = sum("zero_window" in each.notes for each in judged)
    assert zero == np.count_nonzero(rows["tcp"] & TcpFlag.ZERO_WINDOW) > 0
    assert 1 == sum(bool(each.flags & TcpFlag.RST) for each in judged) == np.count_nonzero(rows["tcp"] & TcpFlag.RST)
    assert len(judged) == len(rows)


def decrypted_by_tshark(path: Path, keys: Path, stream: int, ends: Ends) -> dict[Ends, bytes]:
    """Return what was sent each way on a stream, decrypted."""
    preferences = (
        "-o",
        f"tls.keylog_file:{keys}",
        "-o",
        "tcp.reassemble_out_of_order:TRUE",
        "-d",
        "tcp.port==9443,tls",
    )
    text = tool("tshark", "-r", str(path), "-q", *preferences, "-z", f"follow,tls,raw,{stream}")
    ways = ends, ends[::-1]
    sent = ["", ""]
    for line in text.splitlines():
        if line.startswith("Node 0: ") and line.split()[-1] != ends[0]:
            ways = ways[::-1]
        if line and set(line.strip()) <= set("0123456789abcdef"):
            sent[line.startswith("\t")] += line.strip()
    return {way: bytes.fromhex(text) for way, text in zip(ways, sent, strict=True) if text}


def test_decrypted_payloads(kind: Kind) -> None:
    """With the trader's own key log: the same bytes, each way of each connection; of a plain one, none.

    tshark reads what tcpdump saw on the trader's link: it loses a TLS stream at the first packet that the mirror lets
    its acknowledgement overtake, and leaves one of the ends of a stream in a tunnel without a name.
    """
    ours: dict[Ends, bytes] = {}
    for each in decrypt_capture([kind.run.mirrored], KeyLog.read(kind.run.keys)):
        if each.plain.content_type == ContentType.APPLICATION_DATA:
            ends = each.sender, each.receiver
            ours[ends] = ours.get(ends, b"") + each.plain.data
    path = kind.run.passed
    theirs: dict[Ends, bytes] = {}
    for stream, ends in {each.stream: each.ends for each in seen_by_tshark(path)}.items():
        theirs |= decrypted_by_tshark(path, kind.run.keys, stream, ends)
    assert theirs == ours
    assert (kind.encryption[0] is not None) == (sum(map(len, ours.values())) > 100_000)
