"""`wirestamp export` writes a whole file or none, and says what is missing."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scapy.all import IP, TCP, UDP, VXLAN, Ether, wrpcap

from capture.agent import Agent, read_through
from capture.decode import Decoder
from capture.files import FileSource
from capture.files.store import PacketStore
from capture.inspect import Decrypted
from capture.inspect.keylog import KeyLog
from capture.inspect.tls import Plain
from capture.packets import Batch
from capture.streams import Streams
from capture.wire_journal import WireJournal
from journal.layout import ABSENT, MessageKind, RecordType
from journal.runs import create_run, find_run
from journal.wire import PacketFlag
from journal.writer import Journal
from review.monitor import read_monitor
from wirestamp import exporting
from wirestamp.exporting import ExportOptions, run_export

NOW_NS = 1_700_000_000_000_000_000
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
TRADER, VENUE = ("10.0.0.1", 4000), ("10.0.0.2", 443)
MESSAGES = 5
VXLAN_PORT = 5000  # not one that is looked into unless asked for


def frame(*, inbound: bool, seq: int, ack: int, size: int = 100, flags: str = "A") -> Ether:
    """A TCP segment in a tunnel."""
    source, target = (VENUE, TRADER) if inbound else (TRADER, VENUE)
    inner = IP(src=source[0], dst=target[0]) / TCP(sport=source[1], dport=target[1], seq=seq, ack=ack, flags=flags)
    outer = IP(src="192.168.0.1", dst="192.168.0.2") / UDP(sport=1, dport=VXLAN_PORT)
    return Ether(**MACS) / outer / VXLAN(vni=7, flags=8) / Ether(**MACS) / inner / bytes(size)


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture file: a handshake and messages of 100 bytes both ways."""
    frames = [frame(inbound=False, seq=999, ack=0, size=0, flags="S")]
    frames += [frame(inbound=True, seq=4999, ack=1000, size=0, flags="SA")]
    for sent in range(0, 100 * MESSAGES, 100):
        frames += [frame(inbound=True, seq=5000 + sent, ack=1000 + sent)]
        frames += [frame(inbound=False, seq=1000 + sent, ack=5100 + sent)]
    for at, each in enumerate(frames):
        each.time = NOW_NS // 10**9 + at / 1000
    file = tmp_path_factory.mktemp("packets") / "mirror.pcap"
    wrpcap(str(file), frames)
    return file


@pytest.fixture(scope="module")
def trader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a trader that sent and received them."""
    run = create_run(tmp_path_factory.mktemp("trader"), NOW_NS)
    journal = Journal(run, record_segment_bytes=8192, row_segment_bytes=8192)
    config = {"config": {"trader": {"name": "t", "loop": "uvloop"}}}
    ends = {"local": "{}:{}".format(*TRADER), "remote": "{}:{}".format(*VENUE)}
    opened = {"event": "open", "role": "route", "name": "main"} | ends
    for kind, payload, conn in ((RecordType.CONFIG, config, 0), (RecordType.CONNECTION, opened, 1)):
        journal.records.append(kind, 0, NOW_NS, conn, json.dumps(payload).encode())
    for at in range(1, MESSAGES + 1):
        place, now = (at, 100 * at - 1, 0, 1, 0, 100, MessageKind.SESSION, 0), NOW_NS + at * 2_000_000
        journal.rows["received"].append(*place, ABSENT, ABSENT, now, now + 10, now + 20)
        journal.rows["sent"].append(*place, now + 30, now + 40, now + 50, now + 60)
    journal.close()
    return run.parent


@pytest.fixture
def captured(packets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Read the packets into a capture's journal; return the folder of its runs."""
    monkeypatch.setattr("capture.wire_journal._SEGMENT_BYTES", 1 << 16)

    def read(*, stored: bool) -> Path:
        journal = WireJournal(tmp_path / "capture", NOW_NS)
        journal.configuration(NOW_NS, {"source": str(packets), "vxlan_ports": [VXLAN_PORT]}, own_clock=False)
        decoder = Decoder([VXLAN_PORT])
        store = PacketStore(journal.folder, 2 << 20) if stored else None
        agent = Agent(journal, decoder, Streams(decoder.address), store)
        read_through(agent, FileSource([packets]), lambda: False, lambda _progress, _news: None)
        journal.close()
        return tmp_path / "capture"

    return read


@pytest.fixture
def export(tmp_path: Path, trader: Path) -> Callable[..., int]:
    """Export to `out` unless told otherwise."""

    def run(to: str, *monitors: Path, **more: object) -> int:
        given: dict[str, Any] = {"directory": trader, "output": tmp_path / "out", "packets": [], "key_log": None} | more
        return run_export(ExportOptions(monitors=list(monitors), to=to, **given))

    return run


def test_matched_packets_have_comments(
    export: Callable[..., int], captured: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The packets of the capture's own store, also out of a tunnel at a port of its own."""
    assert 0 == export("pcapng", captured(stored=True))
    assert ("", f"{2 * MESSAGES} packets with their messages\n") == capsys.readouterr()
    assert 2 * MESSAGES == sum(len(batch) for batch in FileSource([tmp_path / "out"]).batches())
    assert MESSAGES == (tmp_path / "out").read_bytes().count(b"wire_out")
    assert ["capture", "out"] == sorted(path.name for path in tmp_path.iterdir())


def test_packets_of_another_file(
    export: Callable[..., int], captured: Callable[..., Path], packets: Path, tmp_path: Path
) -> None:
    """As tcpdump may have written it beside the capture."""
    assert 0 == export("pcapng", captured(stored=False), packets=[packets])
    assert 2 * MESSAGES == sum(len(batch) for batch in FileSource([tmp_path / "out"]).batches())


def test_packets_that_are_no_longer_there_are_counted(
    export: Callable[..., int],
    captured: Callable[..., Path],
    packets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A store keeps the latest; the first are gone."""
    cut = tmp_path / "cut.pcap"
    content = packets.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    assert 0 == export("pcapng", captured(stored=False), packets=[cut])
    assert "4 packets with their messages; 6 more are not in the packet files (any longer)" in capsys.readouterr().err


def test_a_trace(export: Callable[..., int], captured: Callable[..., Path], tmp_path: Path) -> None:
    """It is JSON, with or without a capture; the file that was there is replaced."""
    (tmp_path / "out").write_text("before")
    assert 0 == export("perfetto")
    alone = json.loads((tmp_path / "out").read_text())
    assert 0 == export("perfetto", captured(stored=False))
    assert {"traceEvents", "otherData"} <= alone.keys() & json.loads((tmp_path / "out").read_text()).keys()


def test_a_trace_on_standard_output(export: Callable[..., int], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The export alone; the words about it are on standard error."""
    assert 0 == export("perfetto", output=None)
    out, error = capfdbinary.readouterr()
    assert json.loads(out)
    assert error.startswith(f"{len(out):,} bytes".encode())


@pytest.mark.parametrize(
    ("to", "case"),
    [
        ("pcapng", (False, {}, 2, "the capture kept no packets: capture with --store SIZE, or name the files")),
        ("pcapng", (False, {"packets": [Path(__file__)]}, 1, "it begins with")),
        ("pcapng", (False, {"packets": [Path("nowhere.pcap")]}, 1, "nowhere.pcap cannot be read at byte 0: No such")),
        ("pcapng", (True, {"directory": Path("nowhere")}, 2, "nowhere is not a folder: expected a run")),
        ("perfetto", (True, {"directory": Path("nowhere")}, 2, "nowhere is not a folder: expected a run")),
        ("plaintext", (True, {}, 2, "--to plaintext needs the secrets: --key-log FILE")),
        ("plaintext", (True, {"key_log": Path("nowhere.log")}, 1, "nowhere.log: No such file or directory")),
        (
            "plaintext",
            (True, {"key_log": Path(__file__)}, 2, "there is nothing to export: no record could be decrypted"),
        ),
        ("plaintext", (True, {"directory": Path("nowhere"), "key_log": Path(__file__)}, 2, "nowhere is not a folder")),
    ],
)
def test_what_is_missing_leaves_no_file(
    export: Callable[..., int],
    captured: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    to: str,
    case: tuple[bool, dict[str, Any], int, str],
) -> None:
    """It is named, with the way to get it; what was there before stays."""
    stored, more, status, words = case
    monitor = captured(stored=stored)
    assert status == export(to, monitor, **more)
    out, error = capsys.readouterr()
    assert ("", 1) == (out, error.count("\n"))
    assert error.startswith("wirestamp export: ")
    assert words in error
    assert ["capture"] == [path.name for path in tmp_path.iterdir()]
    (tmp_path / "out").write_text("before")
    assert status == export(to, monitor, **more)
    assert "before" == (tmp_path / "out").read_text()


def test_a_capture_is_needed(export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message shows the whole command."""
    assert 2 == export("pcapng")
    assert "wirestamp export TRADER_DIR MONITOR_DIR --to pcapng" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_folders_in_the_wrong_order(
    export: Callable[..., int], captured: Callable[..., Path], trader: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is what, and what was expected."""
    assert 2 == export("perfetto", trader, directory=captured(stored=False))
    assert "is the journal of a capture; expected the trader's folder first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [("missing/out", 2, "there is no folder"), (".", 1, "Is a directory")],
)
def test_an_output_that_cannot_be_written(
    export: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    output: str,
    status: int,
    words: str,
) -> None:
    """Said in words, nothing left behind."""
    assert status == export("perfetto", output=tmp_path / output)
    assert words in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["records-000000.wsj", "new.json", "sub/new.json", "link"])
@pytest.mark.parametrize("of_the_trader", [True, False])
def test_recordings_are_not_overwritten(
    export: Callable[..., int],
    captured: Callable[..., Path],
    trader: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    *,
    of_the_trader: bool,
) -> None:
    """Nothing is written into a run, of a trader or of a capture, wherever it is, and by no link."""
    run = find_run(trader if of_the_trader else captured(stored=True))
    (run / "sub").mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    output = run / place
    if place == "link":
        output = tmp_path / "link"
        output.symlink_to(run / "records-000000.wsj")
    assert 2 == export("perfetto", output=output)
    assert f"-o {output} is inside the run {run}, which is evidence" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("option", ["packets", "key_log"])
@pytest.mark.parametrize("link", [False, True])
def test_what_is_read_is_not_overwritten(
    export: Callable[..., int],
    captured: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    *,
    link: bool,
) -> None:
    """Neither packets nor secrets, by none of their names."""
    file, output = tmp_path / "given", tmp_path / "given"
    file.write_text("precious")
    if link:
        output = tmp_path / "other"
        output.hardlink_to(file)
    given = {"packets": [tmp_path / "absent", file], "key_log": Path("/dev/null")} if option == "packets" else {}
    assert 2 == export("plaintext", captured(stored=True), output=output, **({"key_log": file} | given))
    assert f"is the file that --{option.replace('_', '-')} names" in capsys.readouterr().err
    assert "precious" == file.read_text()


def test_the_file_beside_it_is_left_alone(export: Callable[..., int], tmp_path: Path) -> None:
    """While an export is made it has a name that nobody else has."""
    (tmp_path / "out.part").write_text("mine")
    assert 0 == export("perfetto")
    assert ["out", "out.part"] == sorted(path.name for path in tmp_path.iterdir())
    assert "mine" == (tmp_path / "out.part").read_text()
    assert 0o640 == (tmp_path / "out").stat().st_mode & 0o777


def test_a_full_disk_is_named(export: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """By the file that does not fit on it."""
    assert 1 == export("perfetto", output=Path("/dev/full"))
    assert "wirestamp export: /dev/full: No space left on device\n" == capsys.readouterr().err


def test_a_device_is_written_as_it_is(export: Callable[..., int]) -> None:
    """No file takes its place."""
    assert 0 == export("perfetto", output=Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_packets_are_not_for_a_terminal(
    export: Callable[..., int],
    captured: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They would only disturb it."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert 2 == export("pcapng", captured(stored=True), output=None)
    assert "not to a terminal: expected -o FILE" in capsys.readouterr().err


def test_decrypted_messages_are_lines(
    export: Callable[..., int],
    captured: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One JSON object each, whatever their bytes; what could not be decrypted is counted."""

    class Inspected:
        def __init__(self, *_: object) -> None:
            self.stopped = {"a gap": 1}

        def records(self) -> Iterator[Decrypted]:
            """Three records of a request and of what follows it."""
            for off, data in ((50, b"GET / HTTP/1.1\r\n"), (90, b"Host: \\x41\r\n\r\n"), (120, b"\xff\n")):
                yield Decrypted(NOW_NS, "a:1", "b:2", 7, 0, Plain(0, off, 23, data))

    monkeypatch.setattr(exporting, "Inspection", Inspected)
    (tmp_path / "out").touch(0o644)
    assert 0 == export("plaintext", captured(stored=True), key_log=Path("/dev/null"))
    place = {"time_ns": NOW_NS, "from": "a:1", "to": "b:2"}
    expected = [
        place | {"off": 90, "kind": "http", "text": "GET / HTTP/1.1\r\nHost: \\x41\r\n\r\n"},
        place | {"off": 120, "kind": "data", "base64": "/wo="},
    ]
    assert expected == [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert "2 messages decrypted; a gap (1 ×)\n" == capsys.readouterr().err
    assert 0o600 == (tmp_path / "out").stat().st_mode & 0o777


def test_what_a_nic_stamped_is_found_by_its_own_time(
    export: Callable[..., int], captured: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The packet files have the NIC's clock, the crosscheck the monitor's."""
    ahead_ns = 10**9
    seen = FileSource.batches

    def stamped(source: FileSource) -> Iterator[Batch]:
        for batch in seen(source):
            yield replace(batch, hardware=np.ones(len(batch), np.bool_))

    def with_readings(journal: WireJournal, now_ns: int, settings: dict[str, Any], *, own_clock: bool) -> None:
        configure(journal, now_ns, settings, own_clock=own_clock)
        for number in range(1, 4):
            system_ns = NOW_NS + ahead_ns + number * 10_000_000
            journal.nic(number, system_ns - 50, system_ns - ahead_ns, system_ns - ahead_ns, system_ns + 50)

    configure = WireJournal.configuration
    monkeypatch.setattr(WireJournal, "configuration", with_readings)
    monkeypatch.setattr(FileSource, "batches", stamped)
    folder = captured(stored=True)
    assert not (read_monitor(find_run(folder)).packets["flags"] & PacketFlag.HARDWARE).any()
    assert 0 == export("pcapng", folder)
    assert MESSAGES == (tmp_path / "out").read_bytes().count(b"wire_out")


def test_tls_in_a_tunnel_of_the_captures_own(
    export: Callable[..., int],
    captured: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever inspects looks into the tunnels that the capture looked into; a key log's odd lines are counted."""
    asked: list[Decoder] = []

    class Inspected(exporting.Inspection):
        def __init__(self, source: FileSource, keys: KeyLog, decoder: Decoder) -> None:
            super().__init__(source, keys, decoder)
            asked.append(decoder)

    monkeypatch.setattr(exporting, "Inspection", Inspected)
    key_log = tmp_path / "keys"
    key_log.write_text("half a line")
    assert 2 == export("plaintext", captured(stored=True), key_log=key_log)
    assert {} == asked[0].counts
    assert f"lines of {key_log} that are no secrets (1 ×)" in capsys.readouterr().err
