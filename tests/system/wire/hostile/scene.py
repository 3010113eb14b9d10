"""Runs between namespaces, every packet of which is kept by the capture agent and by tcpdump alike."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from journal.errors import NoJournal
from journal.reader import read_rows
from journal.runs import find_run
from wirestamp.children import Child, child
from wirestamp.mirror import Mirror, inside_namespace

from .frames import Frame, read_frames
from .verdict import Messages

PORT, HIDDEN_PORT, RESPONDER_PORT = 9443, 9080, 9319  # of namespaces of our own: nobody else has them
TIMEOUT_S = 60
POLL_S = 0.05
MARKER = b"nothing of the run follows this datagram"
MARKED_BYTES = 65_536  # an ICMP error and clock probes may follow it
FRONT = Path(__file__).parent / "front.py"

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


@dataclass(frozen=True, eq=False)
class Recorded:
    """A finished run.

    Attributes:
        trader, monitor: the runs of trader and capture agent.
        mirrored: what tcpdump saw beside the agent.
        passed: what tcpdump saw on the trader's own feed link.
        keys: the trader's TLS secrets.
        exchange: its end of every connection, `address:port`.
    """

    trader: Path
    monitor: Path
    mirrored: Path
    passed: Path
    keys: Path
    exchange: str

    @cached_property
    def messages(self) -> Messages:
        """What the trader's journal says."""
        return Messages(self.trader)

    @cached_property
    def frames(self) -> list[Frame]:
        """What the mirror brought."""
        return read_frames(self.mirrored)


@dataclass(frozen=True, eq=False)
class Lossy:
    """A run whose network lost packets, and those."""

    run: Recorded
    lost: list[Frame]


class Kind(NamedTuple):
    """A run, and what its connections must have negotiated."""

    run: Recorded
    encryption: tuple[str | None, str | None]
    compressed: bool


class Front(NamedTuple):
    """How an exchange's front of the test's own speaks; see `front.py`."""

    version: str = ""
    ciphers: str = ""
    compress: bool = False


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
    def _tcpdump(self, where: str, interface: str, path: Path, *, marked: bool = True) -> Iterator[None]:
        """Keep every packet of an interface; the last, unless told otherwise, is the datagram that marks the end."""
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
            until(lambda: not marked or MARKER in path.read_bytes()[-MARKED_BYTES:], "the last packet")
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
    def losing(self, share: float, path: Path) -> Iterator[None]:
        """Lose some packets between exchange and trader, both ways, behind the exchange's kernel.

        They are redirected into a link that leads nowhere, where tcpdump writes them to a file: the sender's kernel
        does not learn of it.
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
                chosen = ["tc", "-n", exchange, "filter", "add", "dev", "feed", direction, "protocol", "ip"]
                chosen += ["bpf", "bytecode", code, "action", "mirred", "egress", "redirect", "dev", "hole"]
                subprocess.run(chosen, check=True, capture_output=True)
            with self._tcpdump("exchange", "hole", path, marked=False):
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
        return Recorded(
            find_run(data / "trader"),
            find_run(data / "monitor"),
            *paths,
            data / "keys.log",
            f"{self._mirror.exchange_address}:{PORT}",
        )

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
