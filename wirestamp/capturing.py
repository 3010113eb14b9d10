"""`wirestamp capture` and `wirestamp responder`: one process each, its signals, its progress and its exit status."""

import contextlib
import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from types import FrameType

from rich.console import Console

from capture.agent import Agent, OnBeat, Progress, follow, read_through
from capture.clocks import Clocks
from capture.clocks.nic_clock import NicClock
from capture.clocks.probe import ProbeSocket
from capture.clocks.responder import DEFAULT_PORT, PRIVATE, serve
from capture.decode import Decoder
from capture.errors import CannotCapture, CaptureError, NotACapture
from capture.files import FileSource
from capture.files.store import MIN_STORE_BYTES, PacketStore
from capture.live.bpf import watch_filter
from capture.live.ring import Ring
from capture.streams import Streams
from capture.wire_journal import WireJournal
from journal.errors import JournalError
from journal.retention import Retention
from wirestamp.failing import fail

_Drive = Callable[[OnBeat], None]  # walks through all packets

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """What a person may choose.

    Attributes:
        interface: where to capture, None to read files.
        files: captures to read, one after the other.
        data: the folder of runs.
        ports: TCP ports of the connections to watch, empty for all.
        vxlan_ports, geneve_ports: UDP ports of the mirror's tunnels.
        probe: host and port of the trader's responder, None for none.
        probes_per_s: how often to ask it.
        store_bytes: how much of the packets themselves to keep, 0 for nothing.
        keep_bytes: how much the journals of all runs may take before the oldest are deleted, None for no limit.
        fanout: the group that shares the interface's connections among several agents, None for none.
        hardware: use the NIC's own stamps.
        promiscuous: take also packets that are for other machines.
        seconds: when to stop, None for never.
    """

    interface: str | None
    files: list[Path]
    data: Path
    ports: tuple[int, ...] = ()
    vxlan_ports: tuple[int, ...] = ()
    geneve_ports: tuple[int, ...] = ()
    probe: tuple[str, int] | None = None
    probes_per_s: float = 20.0
    store_bytes: int = 0
    keep_bytes: int | None = None
    fanout: int | None = None
    hardware: bool = False
    promiscuous: bool = False
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: naming what it was and what was expected.
        """
        if (self.interface is None) == (not self.files):
            raise ValueError("expected either an interface to capture from (-i) or files to read (-r)")
        live = {
            "--probe": self.probe is not None,
            "--fanout": self.fanout is not None,
            "--hardware": self.hardware,
            "--promiscuous": self.promiscuous,
        }
        if self.files and (given := [option for option, is_given in live.items() if is_given]):
            raise ValueError(
                f"{' and '.join(given)}: expected an interface (-i) with it, files have been captured already"
            )
        if 0 < self.store_bytes < MIN_STORE_BYTES:
            raise ValueError(
                f"--store: was {self.store_bytes:,} bytes, expected 0 or at least {MIN_STORE_BYTES >> 20}M"
            )

    def settings(self) -> dict[str, object]:
        """Return what the journal says of the capture."""
        return {
            "source": self.interface or ", ".join(str(path) for path in self.files),
            "ports": self.ports,
            "vxlan_ports": self.vxlan_ports,
            "geneve_ports": self.geneve_ports,
            "probe": "{}:{}".format(*self.probe) if self.probe else None,
            "store_bytes": self.store_bytes,
            "fanout": self.fanout,
            "hardware": self.hardware,
            "promiscuous": self.promiscuous,
        }


def size_bytes(option: str, text: str) -> int:
    """Return what a size such as `500M` means.

    Args:
        option: what it was given for, for the error.
        text: a number and a unit, K, M, G or T, of 1024.

    Raises:
        ValueError: it is no such size.
    """
    number = text.rstrip("KMGTkmgt")
    unit = text[len(number) :].upper()
    if not number.isascii() or not number.isdigit() or unit not in _UNITS:
        raise ValueError(f"{option}: was {text!r}, expected a size such as 500M or 20G")
    return int(number) * _UNITS[unit]


def probe_target(text: str) -> tuple[str, int]:
    """Return host and port of `HOST` or `HOST:PORT`, an IPv6 address in brackets when a port follows it.

    Raises:
        ValueError: there is no host, or the port is none.
    """
    host, port = text, str(DEFAULT_PORT)
    if text.count(":") == 1 or "]:" in text:
        host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if not host or "[" in host or "]" in host or not is_port:
        raise ValueError(f"--probe: was {text!r}, expected HOST or HOST:PORT")
    return host, int(port)


@dataclass(slots=True)
class _Stop:
    """Set by a signal, or by the time."""

    until: float | None = None
    asked: bool = field(default=False, init=False)

    def take(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked or (self.until is not None and time.monotonic() >= self.until)


def run_capture(options: CaptureOptions) -> int:
    """Capture until told to stop, or read files to their end.

    Prints one JSON object on stdout when it has begun, `{"run": …}`, for whoever started it.

    Returns:
        The exit status: 0 done, 1 when it had to stop, 2 when a file is no capture, 3 when it could not start.
    """
    stop = _Stop(None if options.seconds is None else time.monotonic() + options.seconds)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.take)
    try:
        source = FileSource(options.files)
        with contextlib.ExitStack() as parts:
            ring = parts.enter_context(_ring(options)) if options.interface is not None else None
            probe = parts.enter_context(_probe(options)) if options.probe is not None else None
            nic = parts.enter_context(_nic_clock(options)) if options.hardware else None
            now_ns = time.time_ns()
            journal = parts.enter_context(contextlib.closing(_journal(options, now_ns)))
            journal.configuration(now_ns, options.settings(), own_clock=ring is not None)
            journal.retain()
            agent = _agent(options, journal)
            print(json.dumps({"run": str(journal.folder)}), flush=True)  # noqa: T201 - for whoever started it
            drive: _Drive = partial(read_through, agent, source, stop)
            if ring is not None:
                drive = partial(follow, agent, journal, ring, Clocks(journal, probe, nic), stop)
            return _run(agent, drive)
    except NotACapture as error:
        return fail("capture", error, 2)
    except (CannotCapture, JournalError, OSError) as error:
        return fail("capture", error, 3)


def _journal(options: CaptureOptions, now_ns: int) -> WireJournal:
    try:
        return WireJournal(options.data, now_ns, Retention(options.keep_bytes))
    except OSError as error:
        raise CannotCapture(f"--data {options.data}: no folder for the run can be made: {error.strerror}") from error


def _ring(options: CaptureOptions) -> Ring:
    assert options.interface is not None
    kernel_filter = watch_filter(options.ports or None, options.vxlan_ports, options.geneve_ports)
    return Ring(
        options.interface,
        filter=kernel_filter,
        fanout=options.fanout,
        vxlan_ports=options.vxlan_ports,
        hardware=options.hardware,
        promiscuous=options.promiscuous,
    )


def _probe(options: CaptureOptions) -> contextlib.closing[ProbeSocket]:
    assert options.probe is not None
    return contextlib.closing(ProbeSocket(*options.probe, rate=options.probes_per_s))


def _nic_clock(options: CaptureOptions) -> contextlib.closing[NicClock]:
    assert options.interface is not None
    return contextlib.closing(NicClock(options.interface))


def _agent(options: CaptureOptions, journal: WireJournal) -> Agent:
    decoder = Decoder(options.vxlan_ports, options.geneve_ports)
    store = PacketStore(journal.folder, options.store_bytes) if options.store_bytes else None
    ports = {f":{port}" for port in options.ports}

    def watched(a: str, b: str, _tunnel: int) -> bool:
        return not ports or a[a.rindex(":") :] in ports or b[b.rindex(":") :] in ports

    return Agent(journal, decoder, Streams(decoder.address, watched), store)


def _run(agent: Agent, drive: _Drive) -> int:
    console = _console()
    with console.status(_progress_text(agent.progress)) as status:

        def on_beat(progress: Progress, troubles: list[str]) -> None:
            for trouble in troubles:
                console.print(f"wirestamp capture: {trouble}", soft_wrap=True)
            status.update(_progress_text(progress))

        try:
            drive(on_beat)
        except NotACapture as error:
            return fail("capture", error, 2)
        except (CaptureError, JournalError, OSError) as error:
            return fail("capture", error, 1)
    console.print(_progress_text(agent.progress), soft_wrap=True)
    return 0


def _console() -> Console:
    """Return what shows progress; paths and addresses are not to be read as markup."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def _progress_text(progress: Progress) -> str:
    parts = [
        _count(progress.packets, "packet"),
        f"{progress.journalled:,} journalled of {_count(progress.connections, 'connection')}",
    ]
    if progress.source:
        parts.append(f"{progress.source['drops']:,} dropped")
    if progress.probes is not None:
        parts.append(f"{progress.probes['answered']:,} of {_count(progress.probes['sent'], 'clock probe')} answered")
    return ", ".join(parts)


def _count(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def run_responder(host: str, port: int, allow: list[str]) -> int:
    """Answer clock probes until SIGTERM or Ctrl-C.

    Prints one JSON object on stdout when it answers, `{"host": …, "port": …}`, for whoever started it.

    Returns:
        The exit status: 0 done, 2 when a network is none, 3 when it could not start.
    """
    console = _console()
    try:
        networks = [ip_network(text) for text in allow]
    except ValueError as error:
        return fail("responder", ValueError(f"--allow: {error}; expected a network such as 10.0.0.0/16"), 2)

    def on_bound(address: str, bound: int) -> None:
        print(json.dumps({"host": address, "port": bound}), flush=True)  # noqa: T201 - for whoever started it
        console.print(f"answering clock probes at {address} port {bound}")

    try:
        counts = serve(host, port, allow=networks or PRIVATE, on_bound=on_bound)
    except CannotCapture as error:
        return fail("responder", error, 3)
    console.print(", ".join(f"{name} {count:,}" for name, count in asdict(counts).items()))
    return 0
