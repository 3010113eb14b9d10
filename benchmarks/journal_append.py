"""What an append to the journal costs, beside writing the same bytes to a file.

Two kinds of entries: records with 300 bytes of payload (a market-data message) and rows of the log `sent` (the stamps
of an order). Each contender gets the same entries, in rounds that take turns:

    journal        `append`: pack, copy and CRC-32 into mapped memory, no system call
    os.write       pack and CRC-32 as the journal does, then one `write(2)` an entry
    write + flush  the same through a buffered file, flushed after each entry

Throughput comes from untimed loops; the percentiles from a further round that reads the clock around each append and
so contain about 50 ns for it. At the speed of these loops a segment fills in a tenth of a second, faster than the next
one is made: the journal's worst times are those waits (`Journal.stalls`).

Usage: `python benchmarks/journal_append.py [--entries N] [--rounds N] [--folder DIR]`.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from zlib import crc32

from journal.layout import RECORD_HEADER, SEAL, SENT, RecordType, row_struct
from journal.writer import Journal

Append = Callable[[int], object]

PAYLOAD = bytes(range(256)) + bytes(44)
NOW_NS = 1_723_075_200_000_000_000
ROW_TAIL = (4_242, 7, 1, 1, 300, 2, 0, NOW_NS, NOW_NS + 9_000, NOW_NS + 13_000, NOW_NS + 90_000)
_pack_row = row_struct(SENT).pack


def record_entry(trace: int) -> bytes:
    """Return a record as bytes: seal, header, payload, padding."""
    body = RECORD_HEADER.pack(len(PAYLOAD), RecordType.INBOUND, 0, trace, NOW_NS, 1, 0) + PAYLOAD + bytes(4)
    return SEAL.pack(crc32(body)) + body


def row_entry(trace: int) -> bytes:
    """Return a row as bytes."""
    body = _pack_row(trace, *ROW_TAIL)
    return SEAL.pack(crc32(body)) + body


@contextmanager
def journal_records(folder: Path) -> Iterator[Append]:
    """Append records to a journal."""
    journal = Journal(folder, {})
    append = journal.records.append
    yield lambda trace: append(RecordType.INBOUND, trace, NOW_NS, 1, PAYLOAD)
    journal.close()


@contextmanager
def journal_rows(folder: Path) -> Iterator[Append]:
    """Append rows to a journal."""
    journal = Journal(folder, {"sent": SENT})
    append = journal.rows["sent"].append
    yield lambda trace: append(trace, *ROW_TAIL)
    journal.close()


@contextmanager
def unbuffered(folder: Path, entry: Callable[[int], bytes]) -> Iterator[Append]:
    """Write each entry with one system call."""
    descriptor = os.open(folder / "file", os.O_CREAT | os.O_WRONLY)
    yield lambda trace: os.write(descriptor, entry(trace))
    os.close(descriptor)


@contextmanager
def flushed(folder: Path, entry: Callable[[int], bytes]) -> Iterator[Append]:
    """Write each entry to a buffered file and flush it."""
    with (folder / "file").open("wb") as file:

        def append(trace: int) -> None:
            file.write(entry(trace))
            file.flush()

        yield append


CONTENDERS: dict[str, dict[str, Callable[[Path], AbstractContextManager[Append]]]] = {
    "300-byte record": {
        "journal": journal_records,
        "os.write": lambda folder: unbuffered(folder, record_entry),
        "write + flush": lambda folder: flushed(folder, record_entry),
    },
    f"{SENT.itemsize}-byte row": {
        "journal": journal_rows,
        "os.write": lambda folder: unbuffered(folder, row_entry),
        "write + flush": lambda folder: flushed(folder, row_entry),
    },
}


def loop_ns(append: Append, entries: int) -> float:
    """Return the mean time of an append, ns."""
    start = time.perf_counter_ns()
    for trace in range(entries):
        append(trace)
    return (time.perf_counter_ns() - start) / entries


def each_ns(append: Append, entries: int) -> list[int]:
    """Return the sorted times of single appends, ns."""
    clock = time.perf_counter_ns
    times = []
    for trace in range(entries):
        start = clock()
        append(trace)
        times.append(clock() - start)
    return sorted(times)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entries", type=int, default=200_000, help="entries a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each contender (default %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    options = parser.parse_args()
    print(
        f"{'entry':18}{'contender':16}{'appends/s':>12}{'ns/append':>11}{'p50':>8}{'p99':>8}{'p99.9':>8}{'max':>11}  ns"
    )
    for kind, contenders in CONTENDERS.items():
        means: dict[str, list[float]] = {name: [] for name in contenders}
        times: dict[str, list[int]] = {}
        for turn in range(options.rounds + 1):
            for name, contender in contenders.items():
                with tempfile.TemporaryDirectory(dir=options.folder) as folder, contender(Path(folder)) as append:
                    if turn < options.rounds:
                        means[name].append(loop_ns(append, options.entries))
                    else:
                        times[name] = each_ns(append, options.entries)
        for name in contenders:
            mean = statistics.median(means[name])
            ranks = [times[name][int(share * (options.entries - 1))] for share in (0.5, 0.99, 0.999, 1)]
            columns = "".join(f"{rank:>{width},}" for rank, width in zip(ranks, (8, 8, 8, 11), strict=True))
            print(f"{kind:18}{name:16}{1e9 / mean:>12,.0f}{mean:>11,.0f}{columns}")


if __name__ == "__main__":
    main()
