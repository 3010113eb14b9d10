"""What can go wrong that is the operator's to mend.

    SandboxError
    ├── OptionsError      the options contradict each other or name nothing
    ├── RecordingError    a recording cannot be read or is not what it should be
    └── StoreError        the saved accounts do not fit the options or cannot be read

A client's mistakes are no errors of the sandbox: it answers them as the venue would (`binance_errors`).
"""

from pathlib import Path


class SandboxError(Exception):
    """The sandbox cannot start or go on; the message says what it was and what was expected."""


class OptionsError(SandboxError):
    """The options contradict each other or name nothing."""


class StoreError(SandboxError):
    """The saved accounts do not fit the options or cannot be read."""


class RecordingError(SandboxError):
    """A recording cannot be read or is not what it should be.

    Args:
        path: the file.
        line: number of the line, from 1.
        reason: what was expected there and what was found.
    """

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line
