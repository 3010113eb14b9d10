"""Secrets of TLS connections, out of a key log (RFC 9850). They are held in memory and shown nowhere.

A line is a label, the ClientHello's random and the secret, both in hexadecimal, parted by blanks; `#` begins a comment.
Lines that are none of that are passed over and counted: a log that is still being written may end within one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Self


class KeyLog:
    """The secrets of some connections.

    Attributes:
        malformed: how many lines could not be understood.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self.malformed = 0
        self._secrets: dict[tuple[bytes, str], bytes] = {}
        for line in lines:
            self._take(line)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            OSError: it cannot be read.
        """
        with path.open(encoding="ascii", errors="replace") as file:
            return cls(file)

    def __len__(self) -> int:
        return len(self._secrets)

    def __repr__(self) -> str:
        return f"<KeyLog of {len(self)} secrets>"

    def secret(self, label: str, client_random: bytes) -> bytes | None:
        """Return a connection's secret, None when the log does not hold it.

        Args:
            label: `CLIENT_RANDOM` (a master secret of TLS 1.2), `CLIENT_TRAFFIC_SECRET_0` and so on (TLS 1.3).
            client_random: from the connection's ClientHello, 32 bytes.
        """
        return self._secrets.get((client_random, label))

    def _take(self, line: str) -> None:
        words = line.partition("#")[0].split()
        if not words:
            return
        try:
            label, random, secret = words
            self._secrets[bytes.fromhex(random), label] = bytes.fromhex(secret)
        except ValueError:
            self.malformed += 1
