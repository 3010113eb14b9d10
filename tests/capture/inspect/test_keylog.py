"""Key logs are read line by line; what is no line of one is counted, and no secret is ever shown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.inspect.keylog import KeyLog

RANDOM, OTHER = b"\x01" * 32, b"\x02" * 32


def test_a_secret_is_found_by_its_label_and_its_connection() -> None:
    """Of two connections, each with its own."""
    log = KeyLog(
        [
            f"CLIENT_TRAFFIC_SECRET_0 {RANDOM.hex()} aa00\n",
            f"SERVER_TRAFFIC_SECRET_0 {RANDOM.hex()} aa01\n",
            f"CLIENT_RANDOM {OTHER.hex().upper()} BB02\r\n",
        ]
    )
    assert (b"\xaa\x00", b"\xaa\x01") == tuple(
        log.secret(f"{role}_TRAFFIC_SECRET_0", RANDOM) for role in ("CLIENT", "SERVER")
    )
    assert b"\xbb\x02" == log.secret("CLIENT_RANDOM", OTHER)
    assert None is log.secret("CLIENT_RANDOM", RANDOM)
    assert (3, 0) == (len(log), log.malformed)


@pytest.mark.parametrize("line", ["", "  \n", "# a comment", "#CLIENT_RANDOM 00 00"])
def test_comments_and_blank_lines_are_nothing(line: str) -> None:
    """Neither secrets nor mistakes."""
    log = KeyLog([line])
    assert (0, 0) == (len(log), log.malformed)


@pytest.mark.parametrize(
    "line", ["CLIENT_RANDOM", "CLIENT_RANDOM 00", "CLIENT_RANDOM 00 00 00", "CLIENT_RANDOM 0 00", "CLIENT_RANDOM zz 00"]
)
def test_a_line_that_makes_no_sense_is_counted(line: str) -> None:
    """And the next one is read."""
    log = KeyLog([line, f"CLIENT_RANDOM {RANDOM.hex()} 07"])
    assert (b"\x07", 1) == (log.secret("CLIENT_RANDOM", RANDOM), log.malformed)


@given(st.text(max_size=300))
def test_any_lines_are_read(content: str) -> None:
    """A file may be anything."""
    lines = content.splitlines()
    log = KeyLog(lines)
    assert len(log) + log.malformed <= len(lines)


def test_a_file_that_is_no_text_is_read(tmp_path: Path) -> None:
    """What is a line of a key log in it counts."""
    path = tmp_path / "keys.log"
    path.write_bytes(b"\xff\xfe\x00\n" + f"CLIENT_RANDOM {RANDOM.hex()} 07\n".encode() + b"CLIENT_RAN")
    log = KeyLog.read(path)
    assert (b"\x07", 2) == (log.secret("CLIENT_RANDOM", RANDOM), log.malformed)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """By the system's own error."""
    with pytest.raises(FileNotFoundError):
        KeyLog.read(tmp_path / "none.log")


def test_no_secret_is_shown() -> None:
    """Not by mistake in a traceback or a log either."""
    assert "<KeyLog of 1 secrets>" == repr(KeyLog([f"CLIENT_RANDOM {RANDOM.hex()} abcdef"]))
