"""The C programs of this folder: compiled when needed, and the exchange as a process with a beginning and an end."""

import datetime as dt
import ipaddress
import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = Path(__file__).resolve().parent
STOP_SECONDS = 5.0


class BuildError(Exception):
    """A C program could not be compiled, or the exchange did not start."""


def compile_program(name: str, directory: Path) -> Path:
    """Compile `exchange` or `client` with `cc -O2`.

    Args:
        name: the program.
        directory: where the executable goes.

    Returns:
        The executable.

    Raises:
        BuildError: the compiler is missing or refused.
    """
    sources, libraries = {
        "exchange": (["exchange.c", "binance.c"], ["-lssl", "-lcrypto"]),
        "client": (["client.c"], []),
    }[name]
    program = directory / name
    command = ["cc", "-O2", "-D_GNU_SOURCE", "-o", str(program), *(str(HERE / source) for source in sources)]
    try:
        done = subprocess.run([*command, *libraries], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BuildError("there is no C compiler `cc`: `make system-deps` installs one on Debian") from error
    if done.returncode:
        raise BuildError(f"cc refused {name}; are the OpenSSL headers (libssl-dev) installed?\n{done.stderr}")
    return program


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1, good for a day.

    Args:
        directory: where `cert.pem` and `key.pem` go.

    Returns:
        Both files.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
    )
    return cert_file, key_file


class Exchange:
    """One run of the exchange; a context manager that stops it.

    Args:
        program: the compiled exchange.
        certificate: certificate and key for the TLS port.
        rate: trades per second to each subscriber; 0 is as fast as it takes them.
        ticks: trades after which a stream falls silent; 0 is never.
        core: the CPU it is pinned to.

    Attributes:
        port, tls_port: where it listens on 127.0.0.1.

    Raises:
        BuildError: it did not start; why is on standard error.
    """

    def __init__(self, program: Path, certificate: tuple[Path, Path], rate: float, core: int, ticks: int = 0) -> None:
        self._process = subprocess.Popen(
            [str(program), str(rate), str(ticks), *map(str, certificate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self._process.pid, {core})
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            raise BuildError(f"the exchange did not start: it ended with status {self._process.returncode}")
        ports = json.loads(line)
        self.port: int = ports["port"]
        self.tls_port: int = ports["tls_port"]

    def counts(self) -> dict[str, int]:
        """Return how many trades it has sent (`ticks`) and how many `orders` it has taken so far."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._process.stdout.readline())
        return counts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=STOP_SECONDS)  # closes its standard input
        finally:
            self._process.kill()
            self._process.wait()
