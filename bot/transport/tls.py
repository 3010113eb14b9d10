"""The trader's TLS settings: whom it trusts, and whether the secrets of its connections are written to a key log.

A key log (RFC 9850) lets whoever reads it decrypt a capture of this trader's connections. It is off unless
SSLKEYLOGFILE names a file; then nobody but the trader's own user may be able to read that file.
`ssl.create_default_context` would follow the variable by itself, whatever the file's mode, so it is not used here.
"""

import os
import ssl
import stat
from pathlib import Path

from bot.errors import ConfigurationError, StartError

KEY_LOG_VARIABLE = "SSLKEYLOGFILE"

# O_NOFOLLOW: a symbolic link is refused; O_NONBLOCK: a pipe that nobody reads is refused, not waited for
_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def client_context(ca: Path | None) -> ssl.SSLContext:
    """Return settings that verify the peer's certificate and its name; they log no keys.

    Args:
        ca: certificates to trust besides the system's, a PEM file; None for none.

    Raises:
        StartError: the file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or str(error)
            raise StartError(f"local.ca: {ca}: {reason}; `wirestamp sandbox` makes one when it starts") from error
    return context


def key_log_path() -> Path | None:
    """Return the file that SSLKEYLOGFILE names, None when it is unset or empty."""
    value = os.environ.get(KEY_LOG_VARIABLE, "")
    return Path(value) if value else None


def log_keys(context: ssl.SSLContext, path: Path) -> None:
    """Have the secrets of all connections made with these settings appended to a file of mode 0600.

    Args:
        context: the settings.
        path: the file; made where there is none.

    Raises:
        ConfigurationError: others can read the file, or it is none of this user's own.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        link = " (it is a symbolic link: name the file itself)" if path.is_symlink() else ""
        raise _refusal(path, f"{error.strerror}{link}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "was no regular file, expected one that is not there yet or one of mode 0600")
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
            was = f"mode {stat.S_IMODE(status.st_mode):04o} of user {status.st_uid}"
            raise _refusal(path, f"was {was}, expected mode 0600 of user {os.geteuid()}: others could read the secrets")
        context.keylog_filename = str(path)
    finally:
        os.close(descriptor)


def _refusal(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(KEY_LOG_VARIABLE, [f"{path}: {reason}"])
