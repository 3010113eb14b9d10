"""Runs between namespaces of which every packet is kept twice, by the capture agent and by tcpdump, and what they hold.

What is read from tcpdump's files here is read byte by byte, and shares no code with what it judges.
"""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from capture.decode import Decoder
from capture.files import FileSource
from capture.streams import Streams
from crosscheck.check import CrossCheck, crosscheck
from crosscheck.model import TraderConnection, TraderSide, WireConnection, WireSide
from journal.errors import NoJournal
from journal.reader import Rows, read_rows
from journal.runs import find_run
from journal.wire import PROBE
from review.records import read_run_records
from review.stamps import read_row_logs
from wirestamp.children import Child, child
from wirestamp.mirror import Mirror, inside_namespace

PORT, HIDDEN_PORT, RESPONDER_PORT = 9443, 9080, 9319  # of namespaces of our own: nobody else has them
TIMEOUT_S = 60
POLL_S = 0.05
MARKER = b"nothing follows this datagram"
FRONT = Path(__file__).parent / "front.py"
VXLAN_BYTES = 50  # outer Ethernet, IPv4, UDP and VXLAN headers

CONFIGURATION = """\
[trader]
name = "trader"
data_dir = "."
[local]
url = "{url}"
{ca}
[[feed]]
venue = "binance"
environment = "local"
symbols = ["BTC-USDT"]
channels = ["trade", "book", "quote"]
[[route]]
name = "main"
kind = "venue"
venue = "binance"
environment = "local"
[[strategy]]
use = "strategies.volume_modulo:VolumeModulo"
route = "main"
"""
COMPRESSING_TRADER = """
import functools, pathlib, sys
import bot.service
from bot.transport.dial import Dialer
bot.service.Dialer = functools.partial(Dialer, compress=True)
from wirestamp.running import run_trader
sys.exit(run_trader(pathlib.Path(sys.argv[-1])))
"""
# tc-bpf(8): the kernel's own random number, at the ancillary offset 56, compared with a threshold.
CHANCE = "4,32 0 0 4294963256,37 1 0 {threshold},6 0 0 0,6 0 0 4294967295"


@dataclass(frozen=True)
class Recorded:
    """A finished run.

    Attributes:
        trader, monitor: the runs of trader and capture agent.
        mirrored: what tcpdump saw beside the agent.
        passed: what tcpdump saw on the trader's own feed link.
        keys: the trader's TLS secrets.
    """

    trader: Path
    monitor: Path
    mirrored: Path
    passed: Path
    keys: Path


class Front(NamedTuple):
    """How an exchange's front of the test's own speaks; see `front.py`."""

    version: str = ""
    ciphers: str = ""
    compress: bool = False


class Frame(NamedTuple):
    """A captured TCP packet.

    Attributes:
        time_ns: its stamp.
        record: what the file has of it behind the stamp and its two sizes, as bytes.
        inner: where its own Ethernet frame begins in `record`.
        stream: the ends, `address:port`, of sender and receiver.
        seq, flags, size, ip_id: sequence number, TCP flags, payload bytes, IPv4 identification.
    """

    time_ns: int
    record: bytes
    inner: int
    stream: tuple[str, str]
    seq: int
    flags: int
    size: int
    ip_id: int

    @property
    def ethernet(self) -> bytes:
        """The frame itself, without the mirror's wrapping."""
        return self.record[self.inner :]


def read_frames(path: Path) -> list[Frame]:
    """Return the TCP packets of a file of tcpdump's (ns, little-endian, Ethernet), those of VXLAN unwrapped."""
    data = path.read_bytes()
    assert struct.pack("<I", 0xA1B23C4D) == data[:4]
    frames = []
    at = 24
    while at + 16 <= len(data):
        seconds, ns, caplen, wirelen = struct.unpack_from("<4I", data, at)
        record = data[at + 16 : at + 16 + caplen]
        at += 16 + caplen
        assert caplen == wirelen
        inner = VXLAN_BYTES if record[23] == 17 and record[36:38] == b"\x12\xb5" else 0
        if record[inner + 12 : inner + 14] == b"\x08\x00" and record[inner + 23] == 6:
            frames.append(frame_of(seconds * 10**9 + ns, record, inner))
    return frames


def frame_of(time_ns: int, record: bytes, inner: int) -> Frame:
    """Return what a packet says of itself (RFC 791, section 3.1; RFC 9293, section 3.1)."""
    ip = inner + 14
    total, ip_id = struct.unpack_from("!2xHH", record, ip)
    tcp = ip + 4 * (record[ip] & 15)
    ports = struct.unpack_from("!HH", record, tcp)
    ends = [f"{socket.inet_ntoa(record[ip + low : ip + low + 4])}:{port}" for low, port in zip((12, 16), ports)]
    (seq,) = struct.unpack_from("!I", record, tcp + 4)
    size = total - (tcp - ip) - 4 * (record[tcp + 12] >> 4)
    return Frame(time_ns, record, inner, (ends[0], ends[1]), seq, record[tcp + 13], size, ip_id)


def write_frames(path: Path, frames: list[Frame]) -> Path:
    """Write packets as tcpdump does."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)]
    for frame in frames:
        size = len(frame.record)
        parts += [struct.pack("<4I", *divmod(frame.time_ns, 10**9), size, size), frame.record]
    path.write_bytes(b"".join(parts))
    return path


class Bytes:
    """Which packet of a file first brought each byte of each stream: one element a byte.

    Args:
        frames: the file's, with the SYN of every stream.
    """

    def __init__(self, frames: list[Frame]) -> None:
        self.isn: dict[tuple[str, str], int] = {}
        spans = defaultdict(list)
        for index, frame in enumerate(frames):
            if frame.flags & 2:
                assert frame.seq == self.isn.setdefault(frame.stream, frame.seq), "ports were used twice"
            elif frame.size:
                low = (frame.seq - self.isn[frame.stream] - 1) % 2**32
                spans[frame.stream].append((low, low + frame.size, index))
        self.first: dict[tuple[str, str], np.ndarray] = {}
        for stream, parts in spans.items():
            first = np.full(max(high for _, high, _ in parts), -1)
            for low, high, index in reversed(parts):
                first[low:high] = index
            self.first[stream] = first

    def brought(self, stream: tuple[str, str], off: int) -> int:
        """Return the index of the packet that first brought a byte, -1 where none did."""
        first = self.first.get(stream, np.empty(0))
        return int(first[off]) if off < len(first) else -1


@dataclass(frozen=True)
class Messages:
    """What the trader's journal says of a run; `stream` and `off` tell each message's last byte."""

    side: TraderSide
    connections: dict[int, TraderConnection] = field(default_factory=dict)

    def stream(self, row: Any, *, inbound: bool) -> tuple[str, str]:
        """Return sender and receiver of a row's message."""
        connection = self.connections[int(row["conn"])]
        ends = connection.local, connection.remote
        return ends[::-1] if inbound else ends

    def each(self) -> Iterator[tuple[bool, Rows]]:
        """Yield both directions."""
        yield True, self.side.received
        yield False, self.side.sent


def read_messages(run: Path) -> Messages:
    """Return the trader's journal of a run."""
    records, logs = read_run_records(run), read_row_logs(run)
    side = TraderSide(logs.received, logs.sent, logs.transmitted, list(records.connections.values()))
    return Messages(side, records.connections)


def read_wire(*paths: Path) -> WireSide:
    """Return what the capture agent makes of files, without a journal between; one machine, so one clock."""
    decoder = Decoder()
    streams = Streams(decoder.address)
    found = [streams.take(segments) for batch in FileSource(paths).batches() if len(segments := decoder.decode(batch))]
    found.append(streams.finish())
    packets, losses = (np.concatenate([getattr(part, name) for part in found]) for name in ("packets", "losses"))
    met = [WireConnection(one.number, one.a, one.b, one.tunnel) for part in found for one in part.opened]
    return WireSide(packets, losses, np.zeros(0, PROBE), met, one_clock=True)


class Judged(NamedTuple):
    """What the crosscheck says of a file, and what it had to go by."""

    wire: WireSide
    check: CrossCheck


class Scene:
    """Three namespaces, and the processes of a run in them."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def _start(
        self,
        running: contextlib.ExitStack,
        data: Path,
        where: str,
        name: str,
        *arguments: str,
        program: tuple[str, ...] = (),
    ) -> Child:
        """Start a `wirestamp` command in a namespace, or a program that finds its argument before or behind those."""
        return running.enter_context(child(name, arguments, data, [*self._mirror.command(where, []), *program]))

    @contextlib.contextmanager
    def _tcpdump(self, where: str, interface: str, path: Path) -> Iterator[None]:
        """Keep every packet of an interface; the last of them is a datagram that marks the end."""
        command = ["tcpdump", "-i", interface, "-n", "-U", "--immediate-mode", "--time-stamp-precision", "nano"]
        # In this mode each packet takes a slot of the largest size.
        command += ["-s", "9100", "-B", "65536", "-w", str(path)]
        process = subprocess.Popen(self._mirror.command(where, command), stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            said = ""
            while "listening on" not in said:
                line = process.stderr.readline()
                assert line, f"tcpdump ended: {said}"
                said += line
            yield
            until(lambda: MARKER in path.read_bytes()[-500:], "the last packet")
        finally:
            process.terminate()
            _, said = process.communicate(timeout=10)
        assert "\n0 packets dropped by kernel" in said, said

    def _mark(self) -> None:
        """Send the datagram that passes the trader's feed link, and so the mirror."""
        with inside_namespace(self._mirror.names["trader"]):
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with end:
            end.sendto(MARKER, (self._mirror.exchange_address, 9))

    @contextlib.contextmanager
    def losing(self, share: float) -> Iterator[None]:
        """Lose some packets between exchange and trader, both ways, behind the exchange's kernel.

        They are redirected into a link that leads nowhere: the sender's kernel does not learn of it.
        """
        exchange = self._mirror.names["exchange"]
        code = CHANCE.format(threshold=int((1 - share) * 2**32))
        commands = [f"ip -n {exchange} link add hole type veth peer name bottom"]
        commands += [f"ip -n {exchange} link set {end} addrgenmode none up" for end in ("hole", "bottom")]
        commands.append(f"tc -n {exchange} qdisc add dev feed clsact")
        try:
            for command in commands:
                subprocess.run(command.split(), check=True, capture_output=True)
            for direction in ("ingress", "egress"):
                command = f"tc -n {exchange} filter add dev feed {direction} protocol ip bpf bytecode".split()
                command += [code, *"action mirred egress redirect dev hole".split()]
                subprocess.run(command, check=True, capture_output=True)
            yield
        finally:
            for command in (f"tc -n {exchange} qdisc del dev feed clsact", f"ip -n {exchange} link del hole"):
                subprocess.run(command.split(), check=False, capture_output=True)

    def play(
        self,
        data: Path,
        recording: Path,
        *,
        messages: int = 4000,
        speed: str = "20",
        plain: bool = False,
        front: Front | None = None,
    ) -> Recorded:
        """Run exchange, capture and trader until the trader has received some messages.

        Args:
            data: an empty folder.
            recording: what the exchange plays.
            messages: how many must have come.
            speed: of the exchange.
            plain: no TLS.
            front: what stands before the exchange, None for nothing.
        """
        paths = data / "mirrored.pcap", data / "passed.pcap"
        with contextlib.ExitStack() as running:
            exchange = self._exchange(running, data, ["--replay", str(recording), "--speed", speed], front, plain=plain)
            asked = ("--host", self._mirror.responder_address, "--port", str(RESPONDER_PORT))
            responder = self._start(running, data, "trader", "responder", "responder", *asked)
            on = ("-i", self._mirror.monitor_interface, "--port", str(PORT), "--data", str(data / "monitor"))
            to = ("--probe", f"{self._mirror.responder_address}:{RESPONDER_PORT}")
            capture = self._start(running, data, "monitor", "capture", "capture", *on, *to)
            running.enter_context(self._tcpdump("monitor", self._mirror.monitor_interface, paths[0]))
            running.enter_context(self._tcpdump("trader", self._mirror.feed_interface, paths[1]))
            running.callback(self._mark)
            said = [process.line() for process in (responder, capture, exchange)]
            assert None not in said, [process.last_words() for process in (responder, capture, exchange)]
            self._trade(data, (said[-1] or {})["ca"], messages, compress=front is not None and front.compress)
        return Recorded(find_run(data / "trader"), find_run(data / "monitor"), *paths, data / "keys.log")

    def _exchange(
        self, running: contextlib.ExitStack, data: Path, market: list[str], front: Front | None, *, plain: bool
    ) -> Child:
        """Start an exchange; return the process that says which authority to trust."""
        host, behind = self._mirror.exchange_address, "127.0.0.1"
        market += ["--data", str(data / "sandbox")]
        if front is None:
            at = ("--host", host, "--port", str(PORT), *(["--plain"] if plain else []))
            return self._start(running, data, "exchange", "exchange", "sandbox", *at, *market)
        at = ("--host", behind, "--port", str(HIDDEN_PORT), "--plain")
        hidden = self._start(running, data, "exchange", "exchange", "sandbox", *at, *market)
        assert hidden.line() is not None, hidden.last_words()
        given = front._asdict() | {"host": host, "port": PORT, "behind": f"http://{behind}:{HIDDEN_PORT}"}
        program = (sys.executable, str(FRONT), json.dumps(given | {"folder": str(data / "front")}))
        return self._start(running, data, "exchange", "front", program=program)

    def _trade(self, data: Path, ca: str | None, messages: int, *, compress: bool) -> None:
        """Run a trader until it has received some messages and an answer to every order."""
        url = f"{'https' if ca else 'http'}://{self._mirror.exchange_address}:{PORT}"
        config = data / "trader.toml"
        config.write_text(CONFIGURATION.format(url=url, ca=f'ca = "{Path(ca).absolute()}"' if ca else ""))
        program = ("env", f"SSLKEYLOGFILE={data / 'keys.log'}")
        if compress:
            program += (sys.executable, "-c", COMPRESSING_TRADER)
        with contextlib.ExitStack() as running:
            trader = self._start(running, data, "trader", "trader", "run", "-c", str(config), program=program)
            until(lambda: received(data / "trader") >= messages, f"{messages} messages", trader)


def received(runs: Path) -> int:
    """Return how many messages the latest run has received."""
    try:
        return sum(map(len, read_rows(find_run(runs), "received", verify=False)))
    except NoJournal:
        return 0


def until(done: Callable[[], bool], what: str, *running: Child) -> None:
    """Ask again and again until it is so; a process that ends instead is told with its last words."""
    give_up = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < give_up, f"waited in vain for {what}"
        for process in running:
            assert not process.ended, f"the {process.name} ended: {process.last_words()}"
        time.sleep(POLL_S)


@pytest.fixture(scope="session")
def scene(mirror_possible: None) -> Iterator[Scene]:
    """The namespaces, with frames no longer than the feed link's MTU, for one run after the other."""
    for program in ("tcpdump", "tshark"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    with Mirror(gso_max_segs=1) as mirror:
        yield Scene(mirror)


@pytest.fixture(scope="session")
def clean(scene: Scene, tmp_path_factory: pytest.TempPathFactory, spot_recording: Path) -> Recorded:
    """A run over TLS 1.3 of which nothing was lost."""
    return scene.play(tmp_path_factory.mktemp("clean"), spot_recording)


@pytest.fixture(scope="session")
def lossy(scene: Scene, tmp_path_factory: pytest.TempPathFactory, spot_recording: Path) -> Recorded:
    """A run between whose exchange and trader two packets in a hundred are really lost, both ways."""
    with scene.losing(0.02):
        return scene.play(tmp_path_factory.mktemp("lossy"), spot_recording)
