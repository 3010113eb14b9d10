"""Live capture: tcpreplay sends mirrored packets of 300 bytes through a veth pair; wirestamp and tcpdump take turns.

The cable lies in a network namespace of the benchmark's own. tcpreplay sends at top speed from the first core, and the
kernel does its part of the reception there too; the tool under test has the last core. Every packet is a different one
(no --loop), so that streams advance as real ones do. wirestamp captures, decapsulates and follows the streams, to every
row that its journal gets, and with `--stage journal` writes it; `tcpdump -w /dev/null` only copies, `tcpdump -n` prints
the outer header. Both get a ring as large as ours. CPU is the tool's own, user and kernel mode; its start does not
count.

Usage: `python benchmarks/ring.py [--packets 2000000] [--rounds 1] [--stage streams] [--json]`. Needs root, tcpreplay,
tcpdump. Exit status: 0 done, 2 bad usage, 3 could not start (rights, programs), 1 a tool failed.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ring_receiver import STAGES
from traffic import Traffic

SENDER, RECEIVER = "mirror0", "monitor0"
START_S = 20.0
RUN_S = 120.0
QUIET_S = 0.3  # a tool that used no CPU for so long has taken all that came
TCPDUMP_BUFFER_KIB = 64 << 10
TCPDUMP = {"tcpdump": ["-w", "/dev/null"], "tcpdump -n": ["-n"]}

stderr = Console(stderr=True)


class BenchmarkError(Exception):
    """A tool did not do its work."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one tool did with one sending of the file.

    Attributes:
        sent, received, dropped: packets.
        packets_per_s: at which they were sent.
        cpu_us_per_packet: of the tool's process, per packet received.
    """

    sent: int
    received: int
    dropped: int
    packets_per_s: float
    cpu_us_per_packet: float


def sent_by(report: str) -> tuple[int, float]:
    """Read tcpreplay's report: packets sent, and packets per second."""
    sent = re.search(r"Actual: (\d+) packets", report)
    rate = re.search(r"Rated: .*?([\d.]+) pps", report)
    if sent is None or rate is None:
        raise BenchmarkError(f"tcpreplay reported no packets: {report.strip()}")
    return int(sent[1]), float(rate[1])


def counted_by(report: str) -> tuple[int, int]:
    """Read tcpdump's report: packets captured, and packets dropped by the kernel."""
    captured = re.search(r"(\d+) packets? captured", report)
    dropped = re.search(r"(\d+) packets? dropped by kernel", report)
    if captured is None or dropped is None:
        raise BenchmarkError(f"tcpdump reported no packets: {report.strip()}")
    return int(captured[1]), int(dropped[1])


@contextmanager
def cable() -> Iterator[list[str]]:
    """Make a namespace with a veth pair in it; yield the command's beginning that runs a program there."""
    name = f"wirestamp-bench-{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*inside, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"], check=True)
        subprocess.run(
            [*inside, "ip", "link", "add", "name", SENDER, "type", "veth", "peer", "name", RECEIVER], check=True
        )
        for end in (SENDER, RECEIVER):
            subprocess.run([*inside, "ip", "link", "set", end, "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextmanager
def running(command: list[str], *, out: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """Run a program, which ends with the block at the latest."""
    with subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def replay(inside: list[str], core: int, file: Path) -> tuple[int, float]:
    """Send the file at top speed, from memory."""
    command = [*inside, "taskset", "-c", str(core), "tcpreplay", "-t", "-K", "-i", SENDER, str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=RUN_S)
    return sent_by(done.stdout + done.stderr)


def run_wirestamp(inside: list[str], cores: tuple[int, int], file: Path, stage: str) -> Run:
    """Measure our chain."""
    program = Path(__file__).with_name("ring_receiver.py")
    command = [*inside, "taskset", "-c", str(cores[1]), sys.executable, str(program), RECEIVER, "--stage", stage]
    with running(command) as receiver:
        assert receiver.stdout is not None
        if receiver.stdout.readline() != "ready\n":
            raise BenchmarkError(f"the receiver did not start: {receiver.communicate(timeout=START_S)[1]}")
        sent, rate = replay(inside, cores[0], file)
        receiver.send_signal(signal.SIGTERM)
        output, error = receiver.communicate(timeout=RUN_S)
    if receiver.returncode:
        raise BenchmarkError(f"the receiver failed: {error}")
    result = json.loads(output)
    cpu_s = result["user_s"] + result["kernel_s"]
    return Run(sent, result["received"], result["dropped"], rate, cpu_s / max(result["received"], 1) * 1e6)


def run_tcpdump(inside: list[str], cores: tuple[int, int], file: Path, options: list[str]) -> Run:
    """Measure tcpdump."""
    command = [*inside, "taskset", "-c", str(cores[1]), "tcpdump", "-i", RECEIVER, "-B", str(TCPDUMP_BUFFER_KIB)]
    with running([*command, *options], out=subprocess.DEVNULL) as tool:
        assert tool.stderr is not None
        said = ""
        while "listening on" not in said:
            line = tool.stderr.readline()
            if not line:
                raise BenchmarkError(f"tcpdump did not start: {said}")
            said += line
        begin_s = cpu_of(tool.pid)
        sent, rate = replay(inside, cores[0], file)
        cpu_s = settled_cpu(tool.pid) - begin_s
        tool.send_signal(signal.SIGINT)
        captured, dropped = counted_by(tool.communicate(timeout=RUN_S)[1])
    return Run(sent, captured, dropped, rate, cpu_s / max(captured, 1) * 1e6)


def cpu_of(pid: int) -> float:
    """Return the CPU time that a process has used so far, seconds (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settled_cpu(pid: int) -> float:
    """Wait until a process has used no CPU for a while; return what it had used by then."""
    used, since_s = cpu_of(pid), time.monotonic()
    while time.monotonic() - since_s < QUIET_S:
        time.sleep(QUIET_S / 10)
        now = cpu_of(pid)
        if now != used:
            used, since_s = now, time.monotonic()
    return used


def best(runs: list[Run]) -> Run:
    """Choose the run that the machine disturbed least: the fewest drops, then the least CPU."""
    return min(runs, key=lambda run: (run.dropped, run.cpu_us_per_packet))


def measure(options: argparse.Namespace) -> dict[str, Run]:
    """Run every tool in turn, some rounds."""
    allowed = sorted(os.sched_getaffinity(0))
    cores = (allowed[0], allowed[-1])
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder, cable() as inside:
        file = Path(folder) / "mirrored.pcap"
        Traffic().write(file, options.packets)
        for _ in range(options.rounds):
            runs.setdefault("wirestamp", []).append(run_wirestamp(inside, cores, file, options.stage))
            for name, arguments in TCPDUMP.items():
                runs.setdefault(name, []).append(run_tcpdump(inside, cores, file, arguments))
    return {name: best(some) for name, some in runs.items()}


def table(results: dict[str, Run]) -> Table:
    """Lay the results out for a terminal."""
    shown = Table("tool", "sent", "received", "dropped", "packets/s", "CPU µs/packet")
    for column in shown.columns[1:]:
        column.justify = "right"
    for name, run in results.items():
        rate, cpu = f"{run.packets_per_s:,.0f}", f"{run.cpu_us_per_packet:.2f}"
        shown.add_row(name, f"{run.sent:,}", f"{run.received:,}", f"{run.dropped:,}", rate, cpu)
    return shown


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--stage", choices=STAGES, default="streams", help="how far wirestamp's chain goes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    absent = [program for program in ("ip", "taskset", "tcpdump", "tcpreplay") if shutil.which(program) is None]
    if absent or os.geteuid() != 0:
        stderr.print(f"cannot start: {', '.join(absent)} not found" if absent else "cannot start: needs root")
        return 3
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that all that was made is removed
    try:
        results = measure(options)
    except (BenchmarkError, subprocess.SubprocessError) as error:
        stderr.print(f"failed: {error}")
        return 1
    if options.json:
        print(json.dumps({name: asdict(run) for name, run in results.items()}))
    else:
        Console().print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
