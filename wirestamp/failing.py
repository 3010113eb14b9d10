"""How a command says why it failed: one line on standard error, which begins with its name, and a truthful status."""

import sys


def fail(command: str, error: Exception, status: int) -> int:
    """Print an error.

    Args:
        command: the command's name.
        error: what went wrong; of an operating system's error its words and the file that it names.
        status: the exit status that it means.

    Returns:
        That status.
    """
    print(f"wirestamp {command}: {_words(error)}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
    return status


def _words(error: Exception) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
