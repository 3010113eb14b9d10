"""Capture files of other programs, capture files for other programs, and memory and disks that end."""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import zstandard
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from capture.files import FileSource
from capture.files.pcapng_writer import PcapngWriter
from capture.packets import Batch, LinkType

ROOT = Path(__file__).parents[2]
NOW_NS = 1_700_000_000 * 10**9
SIZES = [54, 60, 1_514, 9_014, 61, 62, 63]
Row = tuple[int, int, int, str]  # time in ns, bytes on the wire, bytes captured, their MD5

READ_ALL = """
import json, sys
from pathlib import Path
from capture.files import FileSource
source = FileSource([Path(path) for path in sys.argv[1:]])
packets = sum(len(batch) for batch in source.batches())
most = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(json.dumps([packets, source.troubles, int(most)]))
"""
STORE_ALL = """
import json, sys
from pathlib import Path
from capture.files import FileSource
from capture.files.store import PacketStore
store = PacketStore(Path(sys.argv[2]), 64 << 20)
for batch in FileSource([Path(sys.argv[1])]).batches():
    store.append(batch)
store.close()
stored = FileSource(sorted(Path(sys.argv[2]).iterdir()))
read = sum(len(batch) for batch in stored.batches())
print(json.dumps([store.stored, store.left_out, store.troubles, read, stored.troubles]))
"""


def program(name: str) -> str:
    """Return where a program is; the test is skipped where it is not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str | Path) -> str:
    """Run a program and return what it says; its complaints are shown when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def rows(*paths: Path) -> list[Row]:
    """Return what we read, without any trouble."""
    source = FileSource(paths)
    read = []
    for batch in source.batches():
        columns = (batch.time_ns, batch.wirelen, batch.start, batch.caplen)
        for time_ns, wirelen, start, caplen in zip(*(column.tolist() for column in columns), strict=True):
            digest = hashlib.md5(batch.data[start : start + caplen].tobytes()).hexdigest()
            read.append((time_ns, wirelen, caplen, digest))
    assert [] == source.troubles
    return read


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """Return fields of all packets as tshark tells them."""
    names = [part for field in fields for part in ("-e", field)]
    told = run(program("tshark"), "-n", "-r", path, "-o", "frame.generate_md5_hash:TRUE", "-T", "fields", *names)
    return [line.split("\t") for line in told.splitlines()]


def tshark_rows(path: Path) -> list[Row]:
    """Return what tshark reads."""
    read = []
    for epoch, *sizes, digest in tshark(path, "frame.time_epoch", "frame.len", "frame.cap_len", "frame.md5_hash"):
        seconds, _, fraction = epoch.partition(".")
        time_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        read.append((time_ns, int(sizes[0]), int(sizes[1]), digest))
    return read


def packets(count: int, vlan: int = 0) -> Batch:
    """Return Ethernet packets of mixed sizes that can be told apart."""
    below = {
        size: bytes(
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x800)
            / IP(src="10.0.0.1", dst="10.0.0.2", proto=6, len=size - 14)
        )
        for size in SIZES
    }
    frames = [
        (below[size] + struct.pack(">HHIIBBHHH", 9_000, n % 60_000 + 1, n, 0, 5 << 4, 16, 500, 0, 0)).ljust(
            size, b"\xa5"
        )
        for n, size in zip(range(count), cycle(SIZES), strict=False)
    ]
    caplen = np.array([len(frame) for frame in frames])
    return Batch(
        data=np.frombuffer(b"".join(frames), np.uint8),
        start=np.cumsum(caplen) - caplen,
        caplen=caplen,
        wirelen=caplen,
        time_ns=NOW_NS + np.arange(count) * 1_001_003,
        link=np.full(count, LinkType.ETHERNET, np.uint16),
        hardware=np.zeros(count, np.bool_),
        vlan=np.full(count, vlan, np.uint16),
    )


def write(path: Path, batch: Batch) -> Path:
    """Write a batch with our writer."""
    with path.open("wb") as file:
        PcapngWriter(file).write(batch, np.arange(len(batch)))
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand packets, written by us."""
    return write(tmp_path_factory.mktemp("original") / "original.pcapng", packets(1_000))


def test_tshark_reads_what_we_wrote(original: Path) -> None:
    """Every packet, its lengths, its bytes, and its time to the nanosecond."""
    read = tshark_rows(original)
    assert 1_000 == len(read)
    assert (packets(1_000).time_ns).tolist() == [row[0] for row in read]
    assert rows(original) == read


@pytest.mark.parametrize("options", [(), ("-s", "60")], ids=["whole", "cut"])
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "modpcap", "pcapng"])
def test_what_editcap_wrote(original: Path, tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    """Every format that is read, also with packets that are cut: the same that tshark reads."""
    written = tmp_path / "written"
    run(program("editcap"), "-F", kind, *options, original, written)
    read = rows(written)
    assert tshark_rows(written) == read
    assert [(wirelen, min(caplen, 60) if options else caplen) for _, wirelen, caplen, _ in rows(original)] == [
        row[1:3] for row in read
    ]


@pytest.mark.parametrize("precision", ["micro", "nano"])
def test_what_tcpdump_wrote(original: Path, tmp_path: Path, precision: str) -> None:
    """It keeps those packets that its filter lets through."""
    nanoseconds, written = tmp_path / "ns.pcap", tmp_path / "written.pcap"
    run(program("editcap"), "-F", "nsecpcap", original, nanoseconds)
    precisely = f"--time-stamp-precision={precision}"
    run(program("tcpdump"), "-Z", "root", precisely, "-r", nanoseconds, "-w", written, "tcp[4:4] < 500")
    unit = 1_000 if precision == "micro" else 1
    assert [(row[0] // unit * unit, *row[1:]) for row in rows(original)[:500]] == rows(written)


def test_what_mergecap_wrote(original: Path, tmp_path: Path) -> None:
    """Interfaces of different link types and resolutions in one section, in the order of time."""
    other, merged = tmp_path / "other.pcap", tmp_path / "merged.pcapng"
    run(program("editcap"), "-F", "pcap", "-T", "rawip", "-t", "0.0005", original, other)
    run(program("mergecap"), "-w", merged, original, other)
    read = rows(merged)
    assert 2_000 == len(read)
    assert tshark_rows(merged) == read
    links = np.concatenate([batch.link for batch in FileSource([merged]).batches()])
    assert [1, 101] * 1_000 == links.tolist()


def test_sections_behind_one_another(original: Path, tmp_path: Path) -> None:
    """Files that were only appended to each other are one capture."""
    other, appended = tmp_path / "other.pcapng", tmp_path / "appended.pcapng"
    run(program("editcap"), "-F", "pcapng", "-s", "60", original, other)
    appended.write_bytes(original.read_bytes() + other.read_bytes() + original.read_bytes())
    read = rows(appended)
    assert 3_000 == len(read)
    assert tshark_rows(appended) == read


def test_comments_are_shown(tmp_path: Path) -> None:
    """Wireshark shows the comment of each packet beside it."""
    written, batch = tmp_path / "written.pcapng", packets(7)
    comments = [f"trace {n}: wire_in → wire_out {n * 17} µs" for n in range(7)]
    with written.open("wb") as file:
        writer = PcapngWriter(file)
        for start, caplen, time_ns, comment in zip(batch.start, batch.caplen, batch.time_ns, comments, strict=True):
            packet = batch.data[start : start + caplen].tobytes()
            writer.write_commented(packet, int(time_ns), int(caplen), comment, LinkType.ETHERNET)
    assert [[comment] for comment in comments] == tshark(written, "frame.comment")
    assert rows(written) == tshark_rows(written)


def test_the_vlan_tag_is_shown(tmp_path: Path) -> None:
    """What the kernel had taken out of the frame is where it belongs."""
    written = write(tmp_path / "written.pcapng", packets(7, vlan=3 << 13 | 42))
    expected = [["42", "3", "10.0.0.1", str(n + 1)] for n in range(7)]
    assert expected == tshark(written, "vlan.id", "vlan.priority", "ip.src", "tcp.dstport")


def test_memory_does_not_grow_with_the_file(original: Path, tmp_path: Path) -> None:
    """A gigabyte of packets, and a record that claims the most there may be, stay under 300 MB."""
    section = original.read_bytes()
    packed = tmp_path / "large.pcapng.zst"
    packer = zstandard.ZstdCompressor().compressobj()
    with packed.open("wb") as file:
        for _ in range((1 << 30) // len(section)):
            file.write(packer.compress(section))
        claim = np.array([6, 256 << 20, 0, 0, 0, (256 << 20) - 32, 256 << 20], "<u4").tobytes()
        file.write(packer.compress(claim + bytes((256 << 20) - 32) + (256 << 20).to_bytes(4, "little")))
        file.write(packer.compress(section))
        file.write(packer.flush())
    count, troubles, most_kib = json.loads(run(sys.executable, "-c", READ_ALL, packed))
    assert 1_000 * ((1 << 30) // len(section) + 1) == count
    assert [f"{packed}: 1 records larger than 16,777,216 bytes were left out"] == troubles
    assert most_kib * 1_024 < 300_000_000


def test_a_full_disk_does_not_end_the_capture(tmp_path: Path) -> None:
    """The store says so once and keeps what it has, which can be read to its end."""
    capture, disk = write(tmp_path / "capture.files.pcapng", packets(7_000)), tmp_path / "disk"
    disk.mkdir()
    if subprocess.run([program("unshare"), "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a mount namespace may not be made: CAP_SYS_ADMIN is missing")
    mounted = 'mount -t tmpfs -o size=5m none "$0" && exec "$@"'
    command = ("unshare", "--mount", "sh", "-c", mounted, disk, sys.executable, "-c", STORE_ALL, capture, disk)
    stored, left_out, troubles, read, read_troubles = json.loads(run(*command))
    assert 7_000 == stored + left_out
    assert [f"{disk}: packets are no longer stored (No space left on device) after {stored:,} of them"] == troubles
    assert stored == read > 2_000
    assert [] == read_troubles
