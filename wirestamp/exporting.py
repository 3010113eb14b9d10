"""`wirestamp export`: what two journals know, in the formats of other tools.

`pcapng` takes the captured packets that carried messages, each with a comment, for Wireshark; `perfetto` makes a trace
for the Perfetto UI; `plaintext` decrypts captured TLS connections with a key log, one JSON object a message. No output
takes the place of what was recorded.
"""

import base64
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import numpy as np

from capture.decode import Decoder
from capture.errors import CaptureError
from capture.files import FileSource
from capture.files.pcapng_writer import PcapngWriter
from capture.inspect import Inspection
from capture.inspect.keylog import KeyLog
from capture.inspect.messages import Message, messages
from capture.packets import Batch, Segments
from crosscheck.model import Column, Index, Rows
from journal.errors import Corrupt, NoJournal
from journal.layout import RECORDS, SUFFIX
from journal.wire import PacketFlag
from review.agreement import Agreement, check_against
from review.monitor import DifferentClocks, MonitorRun, read_monitor, wire_side
from review.packet_comments import packet_comments
from review.perfetto import perfetto_trace
from review.records import RunRecords, Unreadable, read_run_records
from review.stamps import RowLogs, read_row_logs
from wirestamp.directories import capture_runs, trader_run
from wirestamp.failing import fail

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer  # for type checkers alone


class ExportError(Exception):
    """What was asked for cannot be made from what was given; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a person may choose.

    Attributes:
        directory: the trader's run, or its folder of runs.
        monitors: captures of its packets, likewise.
        to: `pcapng`, `perfetto` or `plaintext`.
        output: the file to write, None for stdout.
        packets: capture files that hold the packets; the monitors' own stores when there are none.
        key_log: the secrets of the TLS connections, for `plaintext`.
    """

    directory: Path
    monitors: list[Path]
    to: str
    output: Path | None
    packets: list[Path]
    key_log: Path | None


def run_export(options: ExportOptions) -> int:
    """Write an export.

    Returns:
        The exit status: 0 done, 2 when something that it needs was not given or the output is a recording, 4 when a
        journal is not what was written, 1 when it cannot be read or written.
    """
    make = {"pcapng": _export_pcapng, "perfetto": _export_perfetto, "plaintext": _export_plaintext}[options.to]
    try:
        with _output(options) as out:
            said = make(options, out)
    except (NoJournal, DifferentClocks, ExportError) as error:
        return fail("export", error, 2)
    except (Corrupt, Unreadable) as error:
        return fail("export", error, 4)
    except (CaptureError, OSError) as error:
        if isinstance(error, BrokenPipeError) and error.filename == _STDOUT:
            return 1  # whoever reads has seen enough
        return fail("export", error, 1)
    print(said, file=sys.stderr)  # noqa: T201 - stdout may be the export itself
    return 0


# -- the output -------------------------------------------------------------------------------------------------------

_STDOUT = "standard output"


@contextlib.contextmanager
def _naming(name: Path | str) -> Iterator[None]:
    """Let an operating system's error name this file: of a full disk it says none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(name)) from error


class _Output(io.FileIO):
    """A file whose errors carry a name that the user knows."""

    def __init__(self, file: int | Path, name: Path | str, *, closefd: bool = True) -> None:
        super().__init__(file, "wb", closefd=closefd)
        self._name = name

    def write(self, data: "ReadableBuffer", /) -> int:
        with _naming(self._name):
            return super().write(data)


@contextlib.contextmanager
def _output(options: ExportOptions) -> Iterator[BinaryIO]:
    """Open what an export goes to; a file takes its place whole when the block ends well, or not at all.

    What was encrypted is for its owner alone, as the key log is.
    """
    path = options.output
    if path is None:
        if options.to == "pcapng" and sys.stdout.isatty():
            raise ExportError("--to pcapng writes no text, so not to a terminal: expected -o FILE")
        sys.stdout.flush()
        with io.BufferedWriter(_Output(sys.stdout.fileno(), _STDOUT, closefd=False)) as out:
            yield out
        return
    if path.exists() and not path.is_file():  # a pipe or a device has no place to take; a folder cannot be opened
        with io.BufferedWriter(_Output(path, path)) as out:
            yield out
        return
    place = _place(path, options)
    with _naming(path):
        part, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with io.BufferedWriter(_Output(part, path)) as out:
            os.fchmod(part, 0o600 if options.to == "plaintext" else 0o640)
            yield out
        Path(name).replace(place)
    finally:
        Path(name).unlink(missing_ok=True)


def _place(path: Path, options: ExportOptions) -> Path:
    """Return where the file of an output is, links followed.

    Raises:
        ExportError: no file can be there, or what is there, or beside it, must not be lost.
    """
    place = Path(os.path.realpath(path))  # `Path.resolve` raises where links lead in a circle
    if not place.parent.is_dir():
        raise ExportError(f"-o {path}: there is no folder {path.parent}")
    for folder in place.parents:
        if any(folder.glob(f"{RECORDS}-*{SUFFIX}")):
            raise ExportError(f"-o {path} is inside the run {folder}, which is evidence: expected a file outside of it")
    given = [("--packets", file) for file in options.packets]
    if options.key_log is not None:
        given.append(("--key-log", options.key_log))
    for option, file in given:
        if place.is_file() and file.exists() and place.samefile(file):
            raise ExportError(f"-o {path} is the file that {option} names: expected another one")
    return place


# -- what is read -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Story:
    """The trader's journal and what the captures say of it."""

    records: RunRecords
    logs: RowLogs
    captures: list[MonitorRun]
    agreement: Agreement | None


def _story(options: ExportOptions) -> _Story:
    run, folders = trader_run(options.directory), capture_runs(options.monitors)
    logs, records = read_row_logs(run), read_run_records(run)  # a row's connection is recorded before the row
    captures = [read_monitor(folder) for folder in folders]
    return _Story(records, logs, captures, check_against(records, logs, captures) if captures else None)


def _export_perfetto(options: ExportOptions, out: BinaryIO) -> str:
    story = _story(options)
    wire = story.agreement.columns if story.agreement is not None else None
    names = {number: f"{each.local} → {each.remote}" for number, each in story.records.connections.items()}
    size = 0
    for text in perfetto_trace(story.logs, wire, names):
        size += out.write(text.encode())
    return f"{size:,} bytes: open them in the Perfetto UI"


# -- packets ----------------------------------------------------------------------------------------------------------


def _export_pcapng(options: ExportOptions, out: BinaryIO) -> str:
    if not options.monitors:
        raise ExportError("--to pcapng needs the capture: wirestamp export TRADER_DIR MONITOR_DIR --to pcapng")
    story = _story(options)
    assert story.agreement is not None
    check = story.agreement.check
    rows = wire_side(story.captures, story.records.boot_id).packets
    stamped_ns = np.concatenate([capture.stamped_ns for capture in story.captures])
    comments = dict(packet_comments(story.logs, story.agreement.columns, check.inbound.packet, check.outbound.packet))
    wanted = _Wanted(rows, stamped_ns, np.array(sorted(comments), np.intp))
    writer, found = PcapngWriter(out, ()), 0
    decoder = _decoder(story.captures)
    for batch in FileSource(_packet_files(options, story.captures)).batches():
        for packet, row in wanted.find(decoder.decode(batch)):
            writer.write_commented(*_packet(batch, packet), comments[row], int(batch.link[packet]))
            found += 1
    missing = len(comments) - found
    if not found:
        raise ExportError(
            f"there is nothing to export: of {missing:,} packets with messages the packet files hold none"
        )
    return f"{found:,} packets with their messages" + (
        f"; {missing:,} more are not in the packet files (any longer)" if missing else ""
    )


class _Wanted:
    """The packets to export, to be recognised by time and sequence number when they are read again.

    Args:
        rows: of all captured packets, shape (n,).
        stamped_ns: when they were captured by the clock that stamped them, as packet files have it, shape (n,).
        wanted: places of some of them.
    """

    def __init__(self, rows: Rows, stamped_ns: Column, wanted: Index) -> None:
        first = wanted.copy()
        while len(pieces := np.flatnonzero((rows["flags"][first] & PacketFlag.PART) != 0)):
            first[pieces] -= 1  # a piece has its packet's row before it
        self._rows_by_key = {
            (int(time_ns), int(position) & 0xFFFFFFFF): int(row)
            for time_ns, position, row in zip(stamped_ns[first], rows["position"][first], wanted, strict=True)
        }
        self._times = np.unique(stamped_ns[first])

    def find(self, segments: Segments) -> Iterator[tuple[int, int]]:
        """Yield (index of the packet in its batch, row) of those that are wanted."""
        for index in np.flatnonzero(np.isin(segments.time_ns, self._times)).tolist():
            row = self._rows_by_key.get((int(segments.time_ns[index]), int(segments.seq[index])))
            if row is not None:
                yield int(segments.packet[index]), row


def _decoder(captures: Sequence[MonitorRun]) -> Decoder:
    """Return a decoder that looks into the same tunnels as the captures did; without any, into the usual ones."""
    if not captures:
        return Decoder()
    vxlan = {port for capture in captures for port in capture.vxlan_ports}
    geneve = {port for capture in captures for port in capture.geneve_ports}
    return Decoder(sorted(vxlan), sorted(geneve))


def _packet(batch: Batch, packet: int) -> tuple[bytes, int, int]:
    start = int(batch.start[packet])
    data = batch.data[start : start + int(batch.caplen[packet])].tobytes()
    return data, int(batch.time_ns[packet]), int(batch.wirelen[packet])


def _packet_files(options: ExportOptions, captures: Sequence[MonitorRun]) -> list[Path]:
    files = options.packets or [path for each in captures for path in sorted(each.folder.glob("packets-*.pcapng"))]
    if not files:
        raise ExportError(
            "the capture kept no packets: capture with --store SIZE, or name the files that hold them with --packets"
        )
    return files


# -- plaintext --------------------------------------------------------------------------------------------------------


def _export_plaintext(options: ExportOptions, out: BinaryIO) -> str:
    if options.key_log is None:
        raise ExportError("--to plaintext needs the secrets: --key-log FILE, written by a trader under SSLKEYLOGFILE")
    trader_run(options.directory)
    captures = [read_monitor(run) for run in capture_runs(options.monitors)]
    keys = KeyLog.read(options.key_log)
    inspection = Inspection(FileSource(_packet_files(options, captures)), keys, _decoder(captures))
    count = 0
    for message in messages(inspection.records()):
        out.write(msgspec.json.encode(_line(message)) + b"\n")
        count += 1
    told = "".join(f"; {reason} ({n:,} ×)" for reason, n in inspection.stopped.items())
    if keys.malformed:
        told += f"; lines of {options.key_log} that are no secrets ({keys.malformed:,} ×)"
    if not count:
        raise ExportError(f"there is nothing to export: no record could be decrypted{told}")
    return f"{count:,} messages decrypted{told}"


def _line(message: Message) -> dict[str, int | str]:
    """Return a message as JSON has it: `text`, or `base64` of bytes that are no UTF-8.

    `off` is what the trader's journal has, so the two join by connection and offset.
    """
    line: dict[str, int | str] = {
        "time_ns": message.time_ns,
        "from": message.sender,
        "to": message.receiver,
        "off": message.off,
    }
    try:
        return line | {"kind": message.kind, "text": message.data.decode()}
    except UnicodeDecodeError:
        return line | {"kind": message.kind, "base64": base64.b64encode(message.data).decode()}
