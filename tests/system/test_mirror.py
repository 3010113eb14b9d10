"""Three namespaces and a kernel's mirror: every frame of the feed link reaches the monitor once; nothing is left."""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wirestamp import namespaces
from wirestamp.mirror import VNI, Mirror, MirrorError, inside_namespace, missing
from wirestamp.namespaces import Namespaces, remove_leftovers

NAMES = Path("/run/netns")
OUTER_BYTES = 50  # Ethernet 14, IPv4 20, UDP 8, VXLAN 8
TCP, UDP = 6, 17
MARKER = b"the last packet"
_CHILD = """
import signal, sys
from wirestamp.mirror import Mirror

def interrupt(number, frame):
    raise KeyboardInterrupt

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, interrupt)
with Mirror():
    print("built", flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module", autouse=True)
def _can_be_built() -> None:
    """Skip where the set-up cannot be built."""
    absent = missing()
    if absent:
        pytest.skip(absent)


@pytest.fixture
def start_child() -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start processes that build a mirror, print a line and wait for a signal."""
    with contextlib.ExitStack() as running:

        def start() -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", _CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            running.callback(process.communicate, timeout=20)
            running.callback(process.kill)
            return process

        yield start


others: set[str] = set()  # namespaces that other tests of this process keep standing


@pytest.fixture(autouse=True)
def look_around() -> None:
    """Know what stood before the test."""
    others.clear()
    others.update(left_by(os.getpid()))


def left_by(pid: int) -> list[str]:
    """Return the namespaces of a process that have a name, but for those of other tests."""
    return sorted({path.name for path in NAMES.glob(f"wirestamp-{pid}-*")} - others)


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Ask again and again."""
    give_up = time.monotonic() + 10
    while not done():
        assert time.monotonic() < give_up, f"waited in vain for {what}"


def frames(capture: Path) -> Iterator[bytes]:
    """Yield the frames of a little-endian pcap file, as far as it is written."""
    content = capture.read_bytes()
    at = 24
    while at + 16 <= len(content):
        _, _, caplen, wirelen = struct.unpack_from("<4I", content, at)
        if at + 16 + caplen > len(content):
            return
        assert caplen == wirelen
        yield content[at + 16 : at + 16 + caplen]
        at += 16 + caplen


@contextlib.contextmanager
def tcpdump(mirror: Mirror, where: str, interface: str, capture: Path) -> Iterator[None]:
    """Capture into a file until the block ends."""
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    options = ["-i", interface, "-n", "-U", "-B", "16384", "-w", "-"]
    with (
        capture.open("wb") as file,
        subprocess.Popen(
            mirror.command(where, ["tcpdump", *options]), stdout=file, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            assert process.stderr is not None
            assert "listening on" in process.stderr.readline()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def echo(mirror: Mirror, sizes: list[int]) -> None:
    """Send messages from the trader to the exchange, each once the one before has come back, then the marker."""
    with inside_namespace(mirror.names["exchange"]):
        server = socket.create_server((mirror.exchange_address, 0))
        marked = socket.socket(type=socket.SOCK_DGRAM)
        marked.bind((mirror.exchange_address, 0))
    with inside_namespace(mirror.names["trader"]):
        client = socket.create_connection(server.getsockname())
        marker = socket.socket(type=socket.SOCK_DGRAM)
    answering = threading.Thread(target=_answer, args=[server])
    answering.start()
    with server, marked, client, marker:
        client.settimeout(10)
        for size in sizes:
            client.sendall(bytes(size))
            came = 0
            while came < size:
                came += len(client.recv(1 << 20))
        client.shutdown(socket.SHUT_WR)
        assert b"" == client.recv(1)
        answering.join()
        marker.sendto(MARKER, marked.getsockname())


def _answer(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(1 << 20):
            connection.sendall(data)


def captured(mirror: Mirror, folder: Path, sizes: list[int]) -> tuple[list[bytes], list[bytes]]:
    """Return what tcpdump saw of an echo on the feed link, and on the monitor."""
    feed, monitor = folder / "feed.pcap", folder / "monitor.pcap"
    with (
        tcpdump(mirror, "trader", mirror.feed_interface, feed),
        tcpdump(mirror, "monitor", mirror.monitor_interface, monitor),
    ):
        echo(mirror, sizes)
        for capture in (feed, monitor):
            wait_until(lambda path=capture: any(frame.endswith(MARKER) for frame in frames(path)), "the marker")
    return list(frames(feed)), list(frames(monitor))


@pytest.mark.parametrize(("gso_max_segs", "longest"), [(None, 65_226), (1, 1514)])
def test_each_frame_once(gso_max_segs: int | None, longest: int, tmp_path: Path) -> None:
    """Both directions, frames of 64 KB and of 1.5 KB: the copies are the very frames, and nothing else passes."""
    sizes = [300] * 2000 + [1 << 10, 1 << 14, 1 << 16, 1 << 20]
    with Mirror(gso_max_segs=gso_max_segs) as mirror:
        feed, monitor = captured(mirror, tmp_path, sizes)
    copies = [frame for frame in monitor if frame[12:14] == b"\x08\x00"]
    assert {UDP} == {frame[23] for frame in copies}
    assert {4789} == {int.from_bytes(frame[36:38], "big") for frame in copies}
    assert {VNI} == {int.from_bytes(frame[46:49], "big") for frame in copies}
    assert Counter(feed) == Counter(frame[OUTER_BYTES:] for frame in copies)
    senders = Counter(frame[26:30] for frame in feed if frame[23] == TCP)
    assert {socket.inet_aton("10.77.0.1"), socket.inet_aton("10.77.0.2")} == set(senders)
    assert min(senders.values()) > len(sizes)
    assert longest // 2 < max(map(len, feed)) <= longest


def test_the_two_directions_have_ports_of_their_own(tmp_path: Path) -> None:
    """The outer source port hashes the inner addresses and ports, in which the directions differ."""
    with Mirror() as mirror:
        _, monitor = captured(mirror, tmp_path, [100])
    ports = {(frame[76:80], frame[34:36]) for frame in monitor if frame[12:14] == b"\x08\x00" and frame[73] == TCP}
    assert 2 == len(ports)
    assert 2 == len({port for _, port in ports})


def test_the_monitor_reaches_the_responder(tmp_path: Path) -> None:
    """A probe and its answer pass the mirror link, and are not mirrored."""
    capture = tmp_path / "monitor.pcap"
    with Mirror(vni=7) as mirror:
        with inside_namespace(mirror.names["trader"]):
            responder = socket.socket(type=socket.SOCK_DGRAM)
            responder.bind((mirror.responder_address, 0))
        with inside_namespace(mirror.names["monitor"]):
            prober = socket.socket(type=socket.SOCK_DGRAM)
        with responder, prober, tcpdump(mirror, "monitor", mirror.monitor_interface, capture):
            responder.settimeout(5)
            prober.settimeout(5)
            prober.sendto(b"probe", responder.getsockname())
            _, sender = responder.recvfrom(100)
            responder.sendto(b"answer", sender)
            assert b"answer" == prober.recv(100)
            wait_until(lambda: any(b"answer" in frame for frame in frames(capture)), "the answer in the capture")
    assert [b"probe", b"answer"] == [frame[42:48].rstrip(b"\0") for frame in frames(capture) if frame[23] == UDP]


def test_a_command_runs_in_its_namespace() -> None:
    """The process that is started is that of the command itself, so that a signal reaches it."""
    with Mirror() as mirror:
        command = mirror.command(
            "monitor", [sys.executable, "-c", "import os; print(os.getpid(), os.listdir('/sys/class/net'))"]
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            said, _ = process.communicate(timeout=10)
    assert f"{process.pid} " in said
    assert "'mirror'" in said
    assert "'feed'" not in said


def test_two_at_once() -> None:
    """Each has namespaces of its own, and takes only these away."""
    with Mirror() as first:
        with Mirror() as second:
            assert set() == set(first.names.values()) & set(second.names.values())
        assert sorted(first.names.values()) == left_by(os.getpid())
    assert [] == left_by(os.getpid())


def test_ctrl_c_at_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal while the first command runs, the second, and so on to the last: nothing is left."""
    steps = chosen = 0

    class Interrupted(subprocess.Popen[str]):
        """A process; the chosen one is slow, and just started when the signal comes."""

        def __init__(self, command: list[str], **options: Any) -> None:  # noqa: ANN401 - whatever Popen takes
            nonlocal steps
            steps += 1
            slow = ["sh", "-c", 'sleep 0.05; exec "$@"', "sh"] if steps == chosen else []
            super().__init__([*slow, *command], **options)
            if slow:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with Mirror():
        built = steps
    assert built > 20
    for chosen in range(1, built + 1):
        steps = 0
        with pytest.raises(KeyboardInterrupt), Mirror():
            pytest.fail(f"step {chosen} was not interrupted")
        assert [] == left_by(os.getpid()), chosen


def test_ctrl_c_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal while the first namespace is being removed: the removal goes on to the last."""
    run = namespaces._failure
    signals = iter([signal.SIGINT])

    def interrupted(command: list[str]) -> str:
        for number in signals if "del" in command else ():
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        return run(command)

    mirror = Mirror()
    with pytest.raises(KeyboardInterrupt), mirror:
        monkeypatch.setattr(namespaces, "_failure", interrupted)
    wait_until(lambda: not left_by(os.getpid()), "the end of the namespaces")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("made", [1, 2, 3])
def test_signal_to_a_process_that_builds(number: signal.Signals, made: int, start_child: Callable[[], Any]) -> None:
    """As soon as so many namespaces are there."""
    process = start_child()
    wait_until(lambda: len(left_by(process.pid)) >= made, "the namespaces")
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in error
    assert [] == left_by(process.pid)


def test_what_a_killed_process_left(start_child: Callable[[], Any]) -> None:
    """The next one removes it, but not what belongs to one that lives."""
    killed, living = start_child(), start_child()
    assert ["built\n", "built\n"] == [process.stdout.readline() for process in (killed, living)]
    killed.kill()
    killed.wait(10)
    assert 3 == len(left_by(killed.pid))
    with Mirror():
        assert [] == left_by(killed.pid)
        assert 3 == len(left_by(living.pid))


def test_a_dead_process_of_the_same_pid() -> None:
    """A container's first process has always the same pid: what it left does not stand in the way."""
    left = Namespaces(("trader",))
    left.make()
    namespaces._standing.discard(left._number)
    assert list(left.names.values()) == remove_leftovers()
    left.remove()


def test_what_the_kernel_refuses() -> None:
    """The message names the part and the command; what was built before is gone."""
    with pytest.raises(MirrorError, match=r"the VXLAN tunnel \(CONFIG_VXLAN\): `ip .* id 16777216 .*` failed"):
        Mirror(vni=1 << 24).__enter__()
    assert [] == left_by(os.getpid())


def test_without_rights() -> None:
    """An ordinary user is told what is missing."""
    program = "import os; from wirestamp.mirror import missing; os.setuid(65534); print(missing())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert "CAP_NET_ADMIN and CAP_SYS_ADMIN missing: network namespaces need root" == done.stdout.strip()
