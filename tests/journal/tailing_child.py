"""A process that tails a journal: `tailing_child.py RUN` reports what it has read until the END record.

For each record it prints the trace id and the CRC-32 of the payload, as soon as it has read it.
"""

import os
import signal
import sys
from pathlib import Path
from zlib import crc32

from journal.layout import RecordType
from journal.reader import RecordReader


def main(run: Path) -> None:
    """Read until the end, asking again and again."""
    reader = RecordReader(run)
    while True:
        for record in reader:
            os.write(1, b"%d %d\n" % (record.trace, crc32(record.payload)))
            if record.type is RecordType.END:
                return
        os.sched_yield()


if __name__ == "__main__":
    signal.alarm(60)  # never outlive a test that went wrong
    main(Path(sys.argv[1]))
