"""One mapped file: allocation, header, release."""

import errno
import os
import re
from pathlib import Path

import pytest

from journal.errors import Corrupt, JournalFull
from journal.layout import PAGE_BYTES
from journal.segment import Segment, read_header

SIZE = 16 * PAGE_BYTES
LAYOUT = {"entries": "records"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A released segment, the second of its log."""
    segment = Segment.create(tmp_path, "records", 1, SIZE, LAYOUT)
    segment.release()
    return segment.path


def test_a_segment_is_allocated_in_full_and_describes_itself(tmp_path: Path) -> None:
    """No block is missing, so no store can fail later."""
    segment = Segment.create(tmp_path, "records", 0, SIZE, LAYOUT)
    status = segment.path.stat()
    head = read_header(segment.path, segment.view)
    assert (SIZE, True, 0o640) == (status.st_size, status.st_blocks * 512 >= SIZE, status.st_mode & 0o777)
    assert ("records", 0, SIZE, "records") == (head["log"], head["sequence"], head["bytes"], head["entries"])
    segment.release()


def test_a_segment_has_its_name_only_once_its_header_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill leaves behind in between is no segment."""

    def killed(_: object, __: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("journal.segment.write_header", killed)
    with pytest.raises(KeyboardInterrupt):
        Segment.create(tmp_path, "records", 0, SIZE, LAYOUT)
    assert ["new-records-000000.wsj"] == [path.name for path in tmp_path.iterdir()]


def test_a_segment_is_never_written_twice(path: Path) -> None:
    """The file that is there stays as it is."""
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="never written twice"):
        Segment.create(path.parent, "records", 1, SIZE, LAYOUT)
    assert before == path.read_bytes()


def test_a_refused_allocation_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names size, file and the system's reason."""

    def refuse(*_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(
        JournalFull, match=re.escape(f"cannot allocate 65,536 bytes for {tmp_path}/records-000000.wsj: ")
    ):
        Segment.create(tmp_path, "records", 0, SIZE, LAYOUT)
    assert [] == list(tmp_path.iterdir())


def test_trimming_gives_unused_pages_back_and_keeps_size_and_content(tmp_path: Path) -> None:
    """A reader's mapping stays whole: what was trimmed reads as zeros."""
    segment = Segment.create(tmp_path, "records", 0, SIZE, LAYOUT)
    segment.map[PAGE_BYTES : PAGE_BYTES + 5] = b"hello"
    before = segment.path.stat()
    segment.trim(PAGE_BYTES + 5)
    after = segment.path.stat()
    assert before.st_size == after.st_size
    assert (SIZE - 2 * PAGE_BYTES) // 512 == before.st_blocks - after.st_blocks
    assert b"hello" + bytes(SIZE - PAGE_BYTES - 5) == segment.path.read_bytes()[PAGE_BYTES:]
    segment.release()


def test_release_says_when_the_segment_was_last_in_use(tmp_path: Path) -> None:
    """Stores into a populated mapping leave the file's time as it was, and retention goes by it."""
    segment = Segment.create(tmp_path, "records", 0, SIZE, LAYOUT)
    os.utime(segment.path, (1, 1))
    segment.map[PAGE_BYTES] = 1
    segment.release()
    assert segment.path.stat().st_mtime > 1_000_000_000


def test_a_discarded_segment_is_gone(tmp_path: Path) -> None:
    """Also when somebody else has deleted it before."""
    segment = Segment.create(tmp_path, "records", 0, SIZE, LAYOUT)
    segment.path.unlink()
    segment.discard()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:0], "expected a header of 4096 bytes, the file has 0"),
        (lambda data: data[:4095], "expected a header of 4096 bytes, the file has 4095"),
        (lambda data: b"PK\3\4" + data[4:], "expected the magic b'WIRESTMP', was b'PK"),
        (lambda data: data[:8] + b"\2" + data[9:], "expected journal format version 1, was 2"),
        (lambda data: data[:12] + b"\xff\xff\xff\xff" + data[16:], "the header does not match its CRC"),
        (lambda data: data[:4000] + b"x" + data[4001:], "the header does not match its CRC"),
        (lambda data: data[:-1], "expected a file of 65,536 bytes, was 65,535"),
        (lambda data: data + b"\0", "expected a file of 65,536 bytes, was 65,537"),
    ],
    ids=["empty", "header cut", "foreign", "version", "length", "padding", "cut", "grown"],
)  # fmt: skip
def test_a_header_that_is_not_what_was_written_is_corrupt(path: Path, spoil: object, message: str) -> None:
    """The message says what was expected."""
    assert callable(spoil)
    with pytest.raises(Corrupt, match=re.escape(message)):
        read_header(path, memoryview(spoil(path.read_bytes())))


def test_a_segment_under_another_name_is_corrupt(path: Path) -> None:
    """A file that was renamed or copied into a log is not part of it."""
    with pytest.raises(Corrupt, match=r"the header is that of records-000001\.wsj"):
        read_header(path.with_name("records-000002.wsj"), memoryview(path.read_bytes()))
