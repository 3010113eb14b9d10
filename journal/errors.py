"""What can go wrong with a journal, and whose fault it is.

JournalError
├── JournalFull        the disk (or its quota) has no room for the next segment
├── NoJournal          the folder that was named holds no journal
└── Corrupt            committed bytes are not what was written
"""

from pathlib import Path


class JournalError(Exception):
    """Base of all journal errors."""


class JournalFull(JournalError):
    """The next segment could not be allocated."""


class NoJournal(JournalError):
    """There is no journal where one was asked for."""


class Corrupt(JournalError):
    """A committed entry or a segment header does not match its CRC.

    Attributes:
        path, offset: the file and the byte at which the bad entry starts.
    """

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"{path} is corrupt at byte {offset}: {reason}")
        self.path = path
        self.offset = offset
