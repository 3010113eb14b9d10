"""Reading back: round trips, tailing, corruption, and rows without copying."""

import mmap
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.errors import Corrupt, NoJournal
from journal.layout import ABSENT, PAGE_BYTES, RECORDS, ROW_LOGS, RecordType, record_bytes
from journal.reader import Record, RecordReader, Rows, read_records, read_rows, repair_seal
from journal.writer import Journal

PAYLOADS = [b"", b"x", b"1234567", b"12345678", bytes(300)]
ROWS = 3

records = st.builds(
    Record,
    st.sampled_from(RecordType),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=64) | st.binary(min_size=1000, max_size=4056),
)


@settings(deadline=None, max_examples=60)
@given(written=st.lists(records, max_size=12))
def test_what_was_appended_reads_back(written: list[Record]) -> None:
    """Any records over segments of one page, while the journal is open and after it was closed."""
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), {}, record_segment_bytes=8192)
        for record in written:
            journal.records.append(*record)
        tail = list(read_records(Path(folder)))
        journal.close()
        assert written == tail == list(read_records(Path(folder)))


@settings(deadline=None, max_examples=40)
@given(
    log=st.sampled_from(sorted(ROW_LOGS)),
    count=st.integers(0, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_that_were_appended_read_back(log: str, count: int, seed: int) -> None:
    """Any values of every field, absent hops too, over segments of one page."""
    dtype = ROW_LOGS[log]
    assert dtype.names is not None
    source = random.Random(seed)
    spans = {"i": (ABSENT, 2**63 - 1), "u": (0, None)}
    written = []
    for _ in range(count):
        fields = []
        for name in dtype.names[1:]:
            low, high = spans[dtype[name].kind]
            fields.append(source.choice((low, source.randint(low, high or 2 ** (8 * dtype[name].itemsize) - 1))))
        written.append(tuple(fields))
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), {log: dtype}, record_segment_bytes=8192, row_segment_bytes=8192)
        for row in written:
            journal.rows[log].append(*row)
        journal.close()
        read = [row[1:] for segment in read_rows(Path(folder), log) for row in segment.tolist()]
    assert written == read


def mapping(rows: Rows) -> object:
    """Follow an array to the object that owns its bytes."""
    base: object = rows
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, memoryview)
    return base.obj


def test_rows_are_views_of_the_mapped_file(run: Path, write: Callable[..., Journal]) -> None:
    """Nothing is copied, nothing can be written, and hops are numpy's without conversion."""
    journal = write()
    journal.rows["transmitted"].append(1, 2, 3, ABSENT)
    (rows,) = read_rows(run, "transmitted")
    owner = mapping(rows)
    assert isinstance(owner, mmap.mmap)
    assert np.shares_memory(rows, np.frombuffer(owner, np.uint8))
    assert not rows.flags.writeable
    assert ROW_LOGS["transmitted"] == rows.dtype
    assert np.isnat(rows["time"].view("datetime64[ns]"))[0]


def test_a_log_that_only_its_segments_describe_is_read(run: Path, write: Callable[..., Journal]) -> None:
    """The header holds the dtype, so a reader needs no table."""
    dtype = np.dtype([("seal", "<u8"), ("a", "<i8"), ("b", "<u4"), ("c", "<u2"), ("d", "<u2")])
    write(rows={"other": dtype}).rows["other"].append(-1, 2, 3, 4)
    (rows,) = read_rows(run, "other")
    assert (dtype, (-1, 2, 3, 4)) == (rows.dtype, rows.tolist()[0][1:])


def test_a_reader_goes_on_where_it_stopped(run: Path, write: Callable[..., Journal]) -> None:
    """Across rolls, whether the reader stood at the end of a segment or before; nothing twice."""
    journal = write(rows={})
    reader = RecordReader(run)
    assert [] == list(reader)
    trace = 0
    for burst in (1, 1, 3, 1, 9, 2):
        for _ in range(burst):
            trace += 1
            journal.records.append(RecordType.INBOUND, trace, 1, 1, bytes(1900))
        assert list(range(trace - burst + 1, trace + 1)) == [record.trace for record in reader]
        assert [] == list(reader)


def test_a_record_that_is_committed_while_the_reader_looks_ahead_is_not_skipped(
    run: Path, write: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer finishes this segment and begins the next between the reader's look at the one and at the other."""
    journal = write(rows={})
    reader = RecordReader(run)
    advance = reader._advance

    def overtaken() -> bool:
        monkeypatch.setattr(reader, "_advance", advance)
        for trace in (1, 2):
            journal.records.append(RecordType.INBOUND, trace, 1, 1, bytes(4000))
        return advance()

    monkeypatch.setattr(reader, "_advance", overtaken)
    assert [1, 2] == [record.trace for record in reader]


def test_another_process_tails_what_is_being_written(run: Path, write: Callable[..., Journal]) -> None:
    """Record by record at first: each is read before the next is written. Then 20,000 at full speed over many rolls."""
    journal = write(rows={}, record_segment_bytes=1 << 17)
    source = random.Random(31)
    command = [sys.executable, str(Path(__file__).with_name("tailing_child.py")), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            for trace in range(200):
                journal.records.append(RecordType.INBOUND, trace, 1, 1, payload := source.randbytes(trace * 13))
                assert b"%d %d\n" % (trace, crc32(payload)) == child.stdout.readline()
            expected = []
            for trace in range(20_000):
                journal.records.append(RecordType.INBOUND, trace, 1, 1, payload := source.randbytes(trace % 700))
                expected.append(b"%d %d\n" % (trace, crc32(payload)))
            journal.records.append(RecordType.END, 0, 1, 0, b"")
            assert [*expected, b"0 0\n"] == child.stdout.readlines()
        finally:
            child.kill()


def test_a_reader_that_retention_overtook_is_told(run: Path, write: Callable[..., Journal]) -> None:
    """It never skips silently."""
    journal = write(rows={})
    reader = RecordReader(run)
    for trace in range(4):
        journal.records.append(RecordType.INBOUND, trace, 1, 1, bytes(4000))
    (run / "records-000001.wsj").unlink()
    with pytest.raises(Corrupt, match="records-000001"):
        list(reader)


def test_a_hole_in_the_chain_is_corrupt(run: Path, write: Callable[..., Journal]) -> None:
    """Retention deletes from the front; anything else that is missing is missed."""
    journal = write()
    for trace in range(4):
        journal.records.append(RecordType.INBOUND, trace, 1, 1, bytes(4000))
    journal.close()
    (run / "records-000000.wsj").unlink()
    assert [1, 2, 3] == [record.trace for record in read_records(run)]
    assert 1 == RecordReader(run).first_sequence
    (run / "records-000002.wsj").unlink()
    with pytest.raises(Corrupt, match=r"the segment is missing, yet records-000003\.wsj is there"):
        read_records(run)


@pytest.fixture
def small(run: Path, write: Callable[..., Journal]) -> Path:
    """A closed run of a few records and rows, the first record's seal at the start of the second page."""
    journal = write()
    for trace, payload in enumerate(PAYLOADS, 1):
        journal.records.append(RecordType.INBOUND, trace, 1_700_000_000_000_000_000, 3, payload)
    for name, dtype in ROW_LOGS.items():
        assert dtype.names is not None
        for row in range(ROWS):
            journal.rows[name].append(*range(row, row + len(dtype.names) - 1))
    journal.close()
    return run


def read_log(run: Path, log: str) -> int:
    """Read all of a log and return how many entries it has."""
    return len(list(read_records(run))) if log == RECORDS else sum(map(len, read_rows(run, log)))


def committed_bytes(log: str) -> int:
    """Size of header and entries of the run `small`."""
    if log == RECORDS:
        return PAGE_BYTES + sum(record_bytes(len(payload)) for payload in PAYLOADS)
    return PAGE_BYTES + ROWS * ROW_LOGS[log].itemsize


@contextmanager
def changed(path: Path, at: int, mask: int) -> Iterator[None]:
    """Flip bits of one byte of a file, and flip them back."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        before = os.pread(descriptor, 1, at)
        os.pwrite(descriptor, bytes([before[0] ^ mask]), at)
        yield
        os.pwrite(descriptor, before, at)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("log", [RECORDS, *ROW_LOGS])
def test_every_single_flipped_byte_is_reported(small: Path, log: str) -> None:
    """Of header, seals, fields, payloads and padding, with all bits flipped and with a random part of them."""
    path = small / f"{log}-000000.wsj"
    source = random.Random(527)
    unseen = []
    for at in range(committed_bytes(log)):
        for mask in (0xFF, source.randrange(1, 255)):
            with changed(path, at, mask):
                try:
                    read_log(small, log)
                    unseen.append((at, mask))
                except Corrupt:
                    pass
    assert [] == unseen
    assert (len(PAYLOADS) if log == RECORDS else ROWS) == read_log(small, log)


@pytest.mark.parametrize("log", [RECORDS, *ROW_LOGS])
@pytest.mark.parametrize("kept", [0, 1, 4095, 4096, 4097, 4104, 4136, 4136 + 7, 4184, 8184, 8191])
def test_a_truncated_file_is_reported(small: Path, log: str, kept: int) -> None:
    """At any length, between two entries too."""
    os.truncate(small / f"{log}-000000.wsj", kept)
    with pytest.raises(Corrupt):
        read_log(small, log)


def test_corruption_names_file_byte_and_trace(small: Path) -> None:
    """So that a person can look."""
    at = PAGE_BYTES + 40
    with changed(small / "records-000000.wsj", at + 40, 1), pytest.raises(Corrupt) as caught:
        list(read_records(small))
    assert f"{small}/records-000000.wsj is corrupt at byte {at}: the record of trace 2 does not match its CRC" == str(
        caught.value
    )
    assert at == caught.value.offset


def test_records_before_the_corrupt_one_are_read(small: Path) -> None:
    """What is whole is worth having."""
    with changed(small / "records-000000.wsj", committed_bytes(RECORDS) - 1, 1):
        reading = read_records(small)
        assert [1, 2, 3, 4] == [next(reading).trace for _ in range(4)]
        with pytest.raises(Corrupt):
            next(reading)


def test_unchecked_rows_are_read_as_they_are(small: Path) -> None:
    """`verify=False` trusts the bytes behind a commit word, and nothing without one."""
    path = small / "transmitted-000000.wsj"
    with changed(path, PAGE_BYTES + 9, 1):
        assert ROWS == sum(map(len, read_rows(small, "transmitted", verify=False)))
    with changed(path, PAGE_BYTES + 7, 1), pytest.raises(Corrupt, match="row 0 has no commit word"):
        read_rows(small, "transmitted", verify=False)


def test_a_record_of_an_unknown_type_is_corrupt(small: Path) -> None:
    """Also when its seal is right: a reader does not guess."""
    path = small / "records-000000.wsj"
    data = bytearray(path.read_bytes())
    data[PAGE_BYTES + 12] = 99
    repair_seal(data, PAGE_BYTES, PAGE_BYTES + record_bytes(0))
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="the record of trace 1 has an unknown type, 99"):
        list(read_records(small))


def test_a_repaired_seal_makes_a_changed_record_valid(small: Path) -> None:
    """What a test of replay needs: other content, no corruption."""
    path = small / "records-000000.wsj"
    start = PAGE_BYTES + record_bytes(0)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        data[start + 40] = ord("y")
        repair_seal(data, start, start + record_bytes(1))
    assert [b"", b"y"] == [record.payload for record in read_records(small)][:2]


def test_foreign_files_beside_a_journal_are_left_alone(small: Path) -> None:
    """Notes, copies with other names, and what a killed writer had not finished making."""
    for name in ("records-old.wsj", "new-records-000001.wsj", "records-000001.wsj.bak", "notes.txt"):
        (small / name).write_text("not a segment")
    assert len(PAYLOADS) == read_log(small, RECORDS)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 a zip file", bytes(8192)], ids=["empty", "foreign", "zeros"])
@pytest.mark.parametrize("log", [RECORDS, "received"])
def test_a_file_that_is_no_segment_is_corrupt(run: Path, log: str, content: bytes) -> None:
    """Under a segment's name it is reported, never taken for an empty journal."""
    (run / f"{log}-000000.wsj").write_bytes(content)
    with pytest.raises(Corrupt):
        read_log(run, log)


def test_no_journal_is_an_error_that_says_where(run: Path) -> None:
    """For records and for rows."""
    with pytest.raises(NoJournal, match=f"{run} holds no journal"):
        RecordReader(run)
    with pytest.raises(NoJournal, match=f"{run} holds no 'sent' log"):
        read_rows(run, "sent")
