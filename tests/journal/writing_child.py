"""A process that writes a journal until it is killed, or until the disk is full.

`writing_child.py forever RUN` appends one record and one row per index, with small segments, and reports each index on
standard output after both appends returned. `writing_child.py full RUN` appends records until the journal is full,
while another file takes every last byte of the disk, and prints what it saw as JSON.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from journal.errors import JournalFull
from journal.layout import ROW_LOGS, RecordType
from journal.writer import Journal

SEGMENT_BYTES = 16384


def payloads() -> Iterator[bytes]:
    """Yield the payload of each record: its index and up to 700 reproducible bytes."""
    source = random.Random(17)
    noise = source.randbytes(4096)
    index = 0
    while True:
        start = source.randrange(3000)
        yield index.to_bytes(8, "little") + noise[start : start + source.randrange(700)]
        index += 1


def write_forever(run: Path) -> None:
    """Append without end."""
    rows = {"transmitted": ROW_LOGS["transmitted"]}
    journal = Journal(run, rows, record_segment_bytes=SEGMENT_BYTES, row_segment_bytes=SEGMENT_BYTES)
    append_row = journal.rows["transmitted"].append
    for index, payload in enumerate(payloads()):
        journal.records.append(RecordType.INBOUND, index, index, 1, payload)
        append_row(index, 1, 0, index)
        os.write(1, index.to_bytes(8, "little"))


def fill_the_disk(run: Path) -> dict[str, object]:
    """Append until there is no room, and a little further."""
    journal = Journal(run, {}, record_segment_bytes=1 << 18)
    seen: dict[str, object] = {"warned_at": None, "full_at": None, "appended": 0, "refused_again": False}
    hog = (run.parent / "hog").open("wb", buffering=0)
    for index, payload in enumerate(payloads()):
        journal._pool.submit(int).result()  # let the background finish what it is at
        if (reason := journal.failure()) and seen["warned_at"] is None:
            seen |= {"warned_at": index, "warning": reason}
            take_all(hog.fileno())
        try:
            journal.records.append(RecordType.INBOUND, index, index, 1, payload)
        except JournalFull as error:
            seen |= {"full_at": index, "error": str(error)}
            break
        seen["appended"] = index + 1
    try:
        journal.records.append(RecordType.INBOUND, 0, 0, 1, bytes(700))
    except JournalFull:
        seen["refused_again"] = True
    journal.close()
    return seen


def take_all(descriptor: int) -> None:
    """Write until the disk has no room for another byte."""
    for size in (4096, 1):
        try:
            while os.write(descriptor, bytes(size)):
                pass
        except OSError:
            continue


if __name__ == "__main__":
    signal.alarm(60)  # never outlive a test that went wrong
    if sys.argv[1] == "forever":
        write_forever(Path(sys.argv[2]))
    else:
        print(json.dumps(fill_the_disk(Path(sys.argv[2]))))  # noqa: T201 - its report
