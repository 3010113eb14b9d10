"""What can go wrong with a capture, and whose fault it is.

CaptureError
├── NotACapture        a file is no capture that can be read
├── CannotCapture      the interface, or the right to read from it, is not there
└── SourceLost         the interface went away while it was being read
"""

from pathlib import Path


class CaptureError(Exception):
    """Base of all capture errors."""


class NotACapture(CaptureError):
    """A file is not what was expected.

    Attributes:
        path, offset: the file and the byte where it stops making sense.
    """

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"{path} cannot be read at byte {offset:,}: {reason}")
        self.path = path
        self.offset = offset


class CannotCapture(CaptureError):
    """The capture could not begin; the message says what is missing."""


class SourceLost(CaptureError):
    """The interface went away or went down."""
