"""`wirestamp export`: what two journals know, in the formats of other tools.

`pcapng` takes the captured packets that carried messages, each with a comment, for Wireshark; `perfetto` makes a trace
for the Perfetto UI; `plaintext` decrypts captured TLS connections with a key log, one JSON object a record.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from capture.decode import Decoder
from capture.errors import CaptureError
from capture.files import FileSource
from capture.files.pcapng_writer import PcapngWriter
from capture.inspect import Inspection
from capture.inspect.keylog import KeyLog
from capture.packets import Batch, Segments
from crosscheck.model import Index, Rows
from journal.errors import Corrupt, NoJournal
from journal.wire import PacketFlag
from review.agreement import Agreement, check_against
from review.monitor import DifferentClocks, MonitorRun, read_monitor, wire_side
from review.packet_comments import packet_comments
from review.perfetto import perfetto_trace
from review.records import RunRecords, Unreadable, read_run_records
from review.stamps import RowLogs, read_row_logs
from wirestamp.directories import capture_runs, trader_run
from wirestamp.failing import fail


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
        The exit status: 0 done, 2 when something that it needs was not given, 4 when a journal is not what was
        written, 1 when it cannot be read or written.
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
        return fail("export", error, 1)
    print(said, file=sys.stderr)  # noqa: T201 - stdout may be the export itself
    return 0


@contextlib.contextmanager
def _output(options: ExportOptions) -> Iterator[BinaryIO]:
    """Open what an export goes to; a file takes its place whole when the block ends well, or not at all."""
    path = options.output
    if path is None:
        if options.to == "pcapng" and sys.stdout.isatty():
            raise ExportError("--to pcapng writes no text, so not to a terminal: expected -o FILE")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():  # a pipe or a device has no place to take; a folder cannot be opened
        with path.open("wb") as out:
            yield out
    elif not path.parent.is_dir():
        raise ExportError(f"-o {path}: there is no folder {path.parent}")
    else:
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as out:
                yield out
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Story:
    """The trader's journal and what the captures say of it."""

    records: RunRecords
    logs: RowLogs
    captures: list[MonitorRun]
    agreement: Agreement | None


def _story(options: ExportOptions) -> _Story:
    run, folders = trader_run(options.directory), capture_runs(options.monitors)
    records, logs = read_run_records(run), read_row_logs(run)
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
    comments = dict(packet_comments(story.logs, story.agreement.columns, check.inbound.packet, check.outbound.packet))
    wanted = _Wanted(rows, np.array(sorted(comments), np.intp))
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
    """The packets to export, to be recognised by time and sequence number when they are read again."""

    def __init__(self, rows: Rows, wanted: Index) -> None:
        first = wanted.copy()
        while len(pieces := np.flatnonzero((rows["flags"][first] & PacketFlag.PART) != 0)):
            first[pieces] -= 1  # a piece has its packet's row before it
        self._rows_by_key = {
            (int(time_ns), int(position) & 0xFFFFFFFF): int(row)
            for time_ns, position, row in zip(rows["time"][first], rows["position"][first], wanted, strict=True)
        }
        self._times = np.unique(rows["time"][first])

    def find(self, segments: Segments) -> Iterator[tuple[int, int]]:
        """Yield (index of the packet in its batch, row) of those that are wanted."""
        for index in np.flatnonzero(np.isin(segments.time_ns, self._times)).tolist():
            row = self._rows_by_key.get((int(segments.time_ns[index]), int(segments.seq[index])))
            if row is not None:
                yield int(segments.packet[index]), row


def _decoder(captures: Sequence[MonitorRun]) -> Decoder:
    """Return a decoder that looks into the same tunnels as the captures did."""
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
    inspection = Inspection(FileSource(_packet_files(options, captures)), KeyLog.read(options.key_log))
    count = 0
    for record in inspection.records():
        line = {
            "time_ns": record.time_ns,
            "from": record.sender,
            "to": record.receiver,
            "off": record.plain.off,
            "type": record.plain.content_type,
            "text": record.plain.data.decode(errors="backslashreplace"),
        }
        out.write(msgspec.json.encode(line) + b"\n")
        count += 1
    told = "".join(f"; {reason} ({n:,} ×)" for reason, n in inspection.stopped.items())
    if not count:
        raise ExportError(f"there is nothing to export: no record could be decrypted{told}")
    return f"{count:,} records decrypted{told}"
