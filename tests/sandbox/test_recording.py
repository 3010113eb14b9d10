"""Recordings are read line by line, and damage is named with its file and line."""

import gzip
from pathlib import Path

import pytest

from sandbox.errors import RecordingError
from sandbox.recording import Line, read_lines


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def test_lines_come_in_order_with_their_times(tmp_path: Path) -> None:
    """A line is its receive time and its message, without the line's end."""
    path = written(tmp_path / "a.gz", b'1 {"a":1}\n2 {"b":"x y"}\n')
    assert [(1, 1, b'{"a":1}'), (2, 2, b'{"b":"x y"}')] == [
        (line.number, line.received_ns, line.body) for line in read_lines(path)
    ]


@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        (b"1 {}\ngarbage\n", 2, "expected '<Unix ns> <message>', was 'garbage"),
        (b"x {}\n", 1, "expected '<Unix ns> <message>'"),
        (b"2 {}\n1 {}\n", 2, "expected a time of 2 or later, was 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, line: int, expected: str) -> None:
    """The error says which file, which line, what was expected and what was there."""
    path = written(tmp_path / "bad.gz", content)
    with pytest.raises(RecordingError) as caught:
        list(read_lines(path))
    assert line == caught.value.line
    assert str(caught.value).startswith(f"{path}, line {line}: {expected}")


def test_a_truncated_file_gives_what_it_has_and_then_fails(tmp_path: Path) -> None:
    """Lines before the truncation are delivered."""
    lines = b"".join(b"%d {}\n" % number for number in range(1, 20001))
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(lines)[:-2000])
    delivered: list[Line] = []
    with pytest.raises(RecordingError, match="truncated") as caught:
        delivered.extend(read_lines(path))
    assert len(delivered) > 1000
    assert len(delivered) + 1 == caught.value.line


def test_corrupt_data_is_reported(tmp_path: Path) -> None:
    """Bytes flipped inside the compressed data are an error, not a message."""
    packed = bytearray(gzip.compress(b"".join(b"%d {}\n" % number for number in range(1, 5000))))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "flipped.gz"
    path.write_bytes(packed)
    with pytest.raises(RecordingError, match="expected"):
        list(read_lines(path))


@pytest.mark.parametrize("content", [b"1 {}\n", b"\x00" * 100])
def test_what_is_no_gzip_is_refused(tmp_path: Path, content: bytes) -> None:
    """A plain file is no recording."""
    path = tmp_path / "plain"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="line 1: expected gzip data"):
        list(read_lines(path))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """The system's reason is in the message."""
    with pytest.raises(RecordingError, match="No such file"):
        list(read_lines(tmp_path / "absent.gz"))
