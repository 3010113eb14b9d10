"""Packets per second from a file: wirestamp beside tcpdump, dpkt, scapy and tshark, on the same file, one core each.

The file holds mirrored packets of 300 bytes, TCP in VXLAN, of 300 connections; a second one sizes from 104 to 1500
bytes. Both are in the page cache. wirestamp reads, decapsulates, looks up flows and follows the streams, to every row
that its journal gets; tcpdump -n and tshark -n print a line a packet to /dev/null, dpkt and scapy unpack the headers.
The slow ones read the file's beginning; the start of an interpreter does not count, nor that of tshark. Tools take
turns, and the best of some rounds counts: what disturbs a run makes it slower, never faster.

Usage: `python benchmarks/decode.py [--packets 3400000] [--rounds 3] [--tools wirestamp,tcpdump] [--json]`.
Exit status: 0 done, 2 bad usage, 3 could not start (programs, modules), 1 a tool failed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from traffic import HEADERS_BYTES, Traffic

LIMITS = {"wirestamp": 0, "tcpdump": 1_000_000, "dpkt": 100_000, "scapy": 4_000, "tshark": 40_000}  # packets; 0: all
PROGRAMS = ("tcpdump", "tshark")
MIXED = "wirestamp_mixed"
RUN_S = 300.0

stderr = Console(stderr=True)


class BenchmarkError(Exception):
    """A tool did not do its work."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one tool did with one file.

    Attributes:
        packets: that it read.
        packets_per_s: how fast.
        peak_rss_bytes: the most memory that it had; None where it was not measured.
    """

    packets: int
    packets_per_s: float
    peak_rss_bytes: int | None = None


def read_in_python(name: str, file: Path, limit: int, core: int) -> Figure:
    """Run one of the readers of `decode_readers` in a process of its own."""
    program = str(Path(__file__).with_name("decode_readers.py"))
    command = ["taskset", "-c", str(core), sys.executable, program, name, str(file), str(limit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=RUN_S)
    if done.returncode:
        raise BenchmarkError(f"{name} failed: {done.stderr}")
    result = json.loads(done.stdout)
    if result["segments"] != result["packets"]:
        raise BenchmarkError(f"{name} found {result['segments']} TCP segments in {result['packets']} packets")
    return Figure(result["packets"], result["packets"] / result["seconds"], result["peak_rss_bytes"])


def seconds_of(name: str, file: Path, limit: int, core: int) -> float:
    """Run a program over the file's first packets; return the time that it took."""
    command = ["taskset", "-c", str(core), name, "-n", "-r", str(file), "-c", str(limit)]
    begin_s = time.perf_counter()
    done = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=RUN_S
    )
    if done.returncode:
        raise BenchmarkError(f"{name} failed: {done.stderr}")
    return time.perf_counter() - begin_s


def run(name: str, file: Path, packets: int, core: int) -> Figure:
    """Run one tool once over a file of so many packets."""
    limit = min(LIMITS[name] or packets, packets)
    if name not in PROGRAMS:
        return read_in_python(name, file, limit, core)
    start_s = seconds_of(name, file, 1, core)
    return Figure(limit, (limit - 1) / (seconds_of(name, file, limit, core) - start_s))


def best(figures: list[Figure]) -> Figure:
    """Choose the fastest run, with the most memory that any had."""
    fastest = max(figures, key=lambda figure: figure.packets_per_s)
    peaks = [figure.peak_rss_bytes for figure in figures if figure.peak_rss_bytes is not None]
    return Figure(fastest.packets, fastest.packets_per_s, max(peaks, default=None))


def measure(options: argparse.Namespace) -> dict[str, Figure]:
    """Make the files and run every tool in turn, some rounds."""
    core = max(os.sched_getaffinity(0))
    figures: dict[str, list[Figure]] = {}
    with tempfile.TemporaryDirectory() as folder:
        same, mixed = Path(folder) / "same.pcap", Path(folder) / "mixed.pcap"
        packets = Traffic().write(same, options.packets)
        mixed_packets = Traffic(smallest=HEADERS_BYTES, largest=1500).write(mixed, options.packets // 4)
        for _ in range(options.rounds):
            for name in options.tools:
                figures.setdefault(name, []).append(run(name, same, packets, core))
                if name == "wirestamp":
                    figures.setdefault(MIXED, []).append(run(name, mixed, mixed_packets, core))
    return {name: best(some) for name, some in figures.items()}


def ratios(figures: dict[str, Figure]) -> dict[str, float]:
    """Return how many times faster wirestamp is than each other tool, on the same file."""
    if "wirestamp" not in figures:
        return {}
    ours = figures["wirestamp"].packets_per_s
    return {
        name: ours / other.packets_per_s for name, other in figures.items() if name in LIMITS and name != "wirestamp"
    }


def table(figures: dict[str, Figure]) -> Table:
    """Lay the figures out for a terminal."""
    shown = Table("tool", "packets", "packets/s", "wirestamp is", "peak memory")
    for column in shown.columns[1:]:
        column.justify = "right"
    times = ratios(figures)
    for name, figure in figures.items():
        ratio = f"{times[name]:,.1f} ×" if name in times else ""
        memory = "" if figure.peak_rss_bytes is None else f"{figure.peak_rss_bytes / 1e6:,.0f} MB"
        shown.add_row(name, f"{figure.packets:,}", f"{figure.packets_per_s:,.0f}", ratio, memory)
    return shown


def tools(text: str) -> list[str]:
    """Read a comma-separated list of tools."""
    names = text.split(",")
    unknown = [name for name in names if name not in LIMITS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such tool: {', '.join(unknown)}; there are {', '.join(LIMITS)}")
    return names


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--packets", type=int, default=3_400_000, help="in the file of equal sizes: 316 bytes each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", type=tools, default=list(LIMITS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    needed = ["taskset", *(name for name in PROGRAMS if name in options.tools)]
    absent = [program for program in needed if shutil.which(program) is None]
    absent += [name for name in ("dpkt", "scapy") if name in options.tools and find_spec(name) is None]
    if absent:
        stderr.print(f"cannot start: {', '.join(absent)} not found")
        return 3
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the files are removed
    try:
        figures = measure(options)
    except (BenchmarkError, subprocess.SubprocessError) as error:
        stderr.print(f"failed: {error}")
        return 1
    if options.json:
        print(json.dumps({name: asdict(figure) for name, figure in figures.items()}))
    else:
        Console().print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
