"""Recordings as lines: gzip text, one message a line, `<receive time, Unix ns> <message>`.

Knows the container only; what a message means is its venue's (`binance_recording`). Reads as it goes: a file of any
size needs the memory of one line, and damage is found when its line is reached.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from sandbox.errors import RecordingError


class Line(Struct, frozen=True, gc=False):
    """One recorded message.

    Attributes:
        path, number: where it stands, for errors; lines count from 1.
        received_ns: the recording host's clock at receipt, Unix ns.
        body: the message as received.
    """

    path: Path
    number: int
    received_ns: int
    body: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """Read one recording from its beginning.

    Args:
        path: a gzip file.

    Yields:
        Its lines in order.

    Raises:
        RecordingError: the file cannot be opened, is no gzip, is truncated or corrupt, or a line is not a time and a
            message, or goes back in time.
    """
    number = 0
    previous_ns = 0
    try:
        with gzip.open(path, "rb") as file:
            for text in file:
                number += 1
                stamp, separator, body = text.partition(b" ")
                if not separator or not stamp.isdigit() or len(stamp) > 19:
                    raise RecordingError(path, number, f"expected '<Unix ns> <message>', was {_excerpt(text)}")
                received_ns = int(stamp)
                if received_ns < previous_ns:
                    raise RecordingError(path, number, f"expected a time of {previous_ns} or later, was {received_ns}")
                previous_ns = received_ns
                yield Line(path, number, received_ns, body.rstrip(b"\r\n"))
    except EOFError:
        raise RecordingError(path, number + 1, "expected more gzip data: the file is truncated") from None
    except gzip.BadGzipFile as error:
        raise RecordingError(path, number + 1, f"expected gzip data: {error}") from None
    except zlib.error as error:
        raise RecordingError(path, number + 1, f"expected sound gzip data, it is corrupt: {error}") from None
    except OSError as error:
        raise RecordingError(path, number + 1, f"expected a readable file: {error.strerror}") from None


def _excerpt(text: bytes) -> str:
    return repr(text[:60].decode("latin-1"))
