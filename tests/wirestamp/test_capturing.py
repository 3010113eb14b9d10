"""`wirestamp capture`: options that make no sense are refused in words; files become a journal, or a reason."""

import json
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.all import IP, TCP, Ether, wrpcap

from capture.agent import Progress
from capture.clocks.responder import DEFAULT_PORT
from review.monitor import read_monitor
from wirestamp.capturing import CaptureOptions, _progress_text, probe_target, run_capture, run_responder, size_bytes

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command takes over signals: they are the test's again afterwards. Its journals are small."""
    monkeypatch.setattr("capture.wire_journal._SEGMENT_BYTES", 1 << 16)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture file of ten segments to port 443 and ten to port 80."""
    packets = [
        Ether(**MACS)
        / IP(src="10.0.0.1", dst="10.0.0.2")
        / TCP(sport=999, dport=port, seq=9 * at, flags="A")
        / bytes(9)
        for at in range(10)
        for port in (443, 80)
    ]
    file = tmp_path / "a.pcap"
    wrpcap(str(file), packets)
    return file


def options(tmp_path: Path, *files: Path, **more: object) -> CaptureOptions:
    """Options to read files."""
    return CaptureOptions(interface=None, files=list(files), data=tmp_path / "data", **more)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("0", 0), ("512", 512), ("4k", 4096), ("500M", 500 << 20), ("20G", 20 << 30), ("1T", 1 << 40)],
)
def test_a_size(said: str, meant: int) -> None:
    """A number and a unit of 1024."""
    assert meant == size_bytes("--store", said)


@pytest.mark.parametrize("said", ["", "M", "12Q", "1.5G", "-1", "1 G", "10MB", "1MM", "\u0661", "0x10", "1e9"])
def test_what_is_no_size(said: str) -> None:
    """The option, what it was, what was expected."""
    with pytest.raises(ValueError, match=r"^--keep: was '.*', expected a size such as 500M or 20G$"):
        size_bytes("--keep", said)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("trader", ("trader", DEFAULT_PORT)),
        ("10.0.0.5:7", ("10.0.0.5", 7)),
        ("fd00::5", ("fd00::5", DEFAULT_PORT)),
        ("[fd00::5]", ("fd00::5", DEFAULT_PORT)),
        ("[fd00::5]:7", ("fd00::5", 7)),
    ],
)
def test_a_probe_target(said: str, meant: tuple[str, int]) -> None:
    """An IPv6 address is in brackets when a port follows it."""
    assert meant == probe_target(said)


@pytest.mark.parametrize(
    "said", ["", ":", ":7", "host:", "host:x", "host:0", "host:65536", "[]:7", "[fd00::5", "[::1]7"]
)
def test_what_is_no_probe_target(said: str) -> None:
    """What it was, what was expected."""
    with pytest.raises(ValueError, match=r"^--probe: was '.*', expected HOST or HOST:PORT$"):
        probe_target(said)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"interface": None, "files": []}, "either an interface to capture from (-i) or files to read (-r)"),
        ({"interface": "lo"}, "either an interface to capture from (-i) or files to read (-r)"),
        ({"probe": ("h", 1)}, "--probe: expected an interface (-i) with it, files have been captured already"),
        ({"fanout": 0, "hardware": True}, "--fanout and --hardware: expected an interface (-i) with it"),
        ({"promiscuous": True}, "--promiscuous: expected an interface (-i) with it"),
        ({"store_bytes": 1 << 20}, "--store: was 1,048,576 bytes, expected 0 or at least 2M"),
    ],
)
def test_what_makes_no_sense(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Before anything is begun."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its words are tested below
        CaptureOptions(**({"interface": None, "files": [Path("a.pcap")], "data": tmp_path} | given))
    assert words in str(caught.value)


def test_files_become_a_journal(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is watched; the run is told on standard output, the counts on standard error."""
    assert 0 == run_capture(options(tmp_path, capture, capture, ports=(443,), store_bytes=2 << 20))
    out, error = capsys.readouterr()
    monitor = read_monitor(Path(json.loads(out)["run"]))
    assert ["10.0.0.1:999", "10.0.0.2:443"] == [end for met in monitor.connections.values() for end in (met.a, met.b)]
    assert (20, 40, "read to the end") == (len(monitor.packets), monitor.counts.packets, monitor.ended)
    assert (None, f"{capture}, {capture}") == (monitor.boot_id, monitor.source)
    assert "40 packets, 20 journalled of 1 connection\n" == error
    assert 1 == len(list(monitor.folder.glob("packets-*.pcapng")))


def test_a_truncated_file_is_read_as_far_as_it_goes(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And said to be so, on one line however long its name is."""
    cut = tmp_path / ("long-name-" * 20) / "cut[red].pcap"
    cut.parent.mkdir()
    cut.write_bytes(capture.read_bytes()[:-5])
    assert 0 == run_capture(options(tmp_path, cut))
    trouble, counts = capsys.readouterr().err.splitlines()
    assert trouble.startswith(f"wirestamp capture: {cut} ends in the middle of a record")
    assert "19 packets, 19 journalled of 2 connections" == counts


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("garbage.pcap", "it begins with deadbeef; expected pcap or pcapng"),
        ("nothing.pcap", "No such file or directory; expected a pcap or pcapng file"),
        (".", "Is a directory; expected a pcap or pcapng file"),
    ],
)
def test_what_is_no_capture(
    name: str, words: str, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, also behind one that is; no run is made for it."""
    (tmp_path / "garbage.pcap").write_bytes(struct.pack(">I", 0xDEADBEEF) * 100)
    assert 2 == run_capture(options(tmp_path, capture, tmp_path / name))
    out, error = capsys.readouterr()
    assert "" == out
    assert error.startswith(f"wirestamp capture: {tmp_path / name} cannot be read at byte 0: {words}")
    assert not (tmp_path / "data").exists()


def test_a_place_where_no_run_can_be(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The option is named."""
    chosen = CaptureOptions(interface=None, files=[capture], data=capture)
    assert 3 == run_capture(chosen)
    expected = f"wirestamp capture: --data {capture}: no folder for the run can be made: Not a directory\n"
    assert ("", expected) == capsys.readouterr()
    assert tmp_path.exists()


def test_an_unknown_interface(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that exist are named; no run is made."""
    assert 3 == run_capture(CaptureOptions(interface="nowhere0", files=[], data=tmp_path / "data"))
    out, error = capsys.readouterr()
    assert "" == out
    assert "there is no network interface 'nowhere0'; there are: " in error
    assert "lo" in error
    assert not (tmp_path / "data").exists()


def test_progress_is_one_sentence() -> None:
    """What the kernel dropped is always told of a live capture, none of a file's."""
    progress = Progress(packets=1, journalled=1234, connections=1)
    assert "1 packet, 1,234 journalled of 1 connection" == _progress_text(progress)
    progress.source = {"packets": 9, "drops": 0, "freezes": 0}
    progress.probes = {"sent": 2000, "answered": 1999}
    expected = "1 packet, 1,234 journalled of 1 connection, 0 dropped, 1,999 of 2,000 clock probes answered"
    assert expected == _progress_text(progress)


def test_a_responder_for_a_network_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, before it listens."""
    assert 2 == run_responder("127.0.0.1", 0, ["10.0.0.1/33"])
    assert capsys.readouterr().err.startswith("wirestamp responder: --allow: '10.0.0.1/33' ")


def test_a_responder_without_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 3: 192.0.2.0/24 is for documentation (RFC 5737), so nobody has it."""
    assert 3 == run_responder("192.0.2.1", 0, [])
    assert "the responder cannot answer at 192.0.2.1 port 0" in capsys.readouterr().err
