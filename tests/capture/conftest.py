"""TLS connections made in memory by OpenSSL, with a key log and what a capture between their ends would hold.

And capture files packed by hand, which share no code with what reads and writes them.
"""

import _ssl
import ctypes
import ssl
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from capture.files import FileSource
from capture.inspect.keylog import KeyLog
from capture.packets import Batch

CLIENT, SERVER = 0, 1
WORDS = [(CLIENT, b"GET / HTTP/1.1\r\n\r\n"), (SERVER, b"x" * 40_000), (CLIENT, b"\x00" * 7), (SERVER, b"bye\0\0")]

Wire = list[tuple[int, int, bytes]]  # side, offset of the first byte, bytes

# What Python's ssl cannot do, asked of the OpenSSL that it uses: both structures hold the pointer behind a fixed head.
_OPENSSL = ctypes.CDLL(_ssl.__file__)
_POINTER = ctypes.sizeof(ctypes.c_void_p)


def _connection(end: ssl.SSLObject) -> ctypes.c_void_p:
    return ctypes.c_void_p.from_address(id(end._sslobj) + 3 * _POINTER)  # type: ignore[attr-defined]


def make_certificate(folder: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> Path:
    """Write a self-signed certificate with its key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exchange.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / f"{type(key).__name__}.pem"
    file.write_bytes(private + certificate.public_bytes(pem))
    return file


def said(side: int) -> bytes:
    """Return all words of a side, one after the other."""
    return b"".join(data for who, data in WORDS if who == side)


class Pair:
    """A client and a server that talk through memory; `wire` is what a capture between them would hold."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self.wire: Wire = []
        self.offsets = [0, 0]
        self._in = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ends = (
            client.wrap_bio(self._in[CLIENT], self._out[CLIENT], session=session),
            server.wrap_bio(self._in[SERVER], self._out[SERVER], server_side=True),
        )
        self._do(lambda end: end.do_handshake())

    def _do(self, act: Callable[[ssl.SSLObject], Any]) -> None:
        """Have both sides act until neither waits for the other."""
        waiting = {CLIENT, SERVER}
        while waiting:
            for side in (CLIENT, SERVER):
                try:
                    act(self.ends[side])
                    waiting.discard(side)
                except ssl.SSLWantReadError:
                    waiting.add(side)
                self.carry(side)

    def carry(self, side: int) -> int:
        """Carry what a side has written to the other; returns the offset of its last byte."""
        if data := self._out[side].read():
            self.wire.append((side, self.offsets[side], data))
            self.offsets[side] += len(data)
            self._in[1 - side].write(data)
        return self.offsets[side] - 1

    def say(self, side: int, data: bytes) -> int:
        """Send application data in records of 16 KiB at most; returns the offset of the last one's last byte."""
        self.ends[side].write(data)
        end = self.carry(side)
        left = len(data)
        while left:
            left -= len(self.ends[1 - side].read(left))
        return end

    def talk(self) -> None:
        """Say `WORDS`."""
        for side, data in WORDS:
            self.say(side, data)

    def said(self, side: int) -> bytes:
        """Return what a side says in `talk`."""
        return said(side)

    def update_key(self, side: int, *, of_both: bool) -> None:
        """Have a side send a KeyUpdate before its next words, and ask the other for one as well."""
        assert 1 == _OPENSSL.SSL_key_update(_connection(self.ends[side]), int(of_both))

    def renegotiate(self) -> None:
        """Have the server ask for another handshake."""
        assert 1 == _OPENSSL.SSL_renegotiate(_connection(self.ends[SERVER]))
        self.ends[SERVER].do_handshake()
        self.carry(SERVER)


class Network:
    """Makes connections with one key log."""

    def __init__(self, folder: Path, certificates: Iterable[Path]) -> None:
        self.key_log = folder / "keys.log"
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client.check_hostname, self.client.verify_mode = False, ssl.CERT_NONE
        self.client.keylog_filename = str(self.key_log)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for certificate in certificates:
            self.server.load_cert_chain(certificate)

    def limit(self, version: ssl.TLSVersion) -> None:
        """Speak no later version."""
        self.client.maximum_version = version

    def insist(self, suite: str) -> None:
        """Offer one cipher suite of TLS 1.3 alone."""
        pointer = ctypes.c_void_p.from_address(id(self.client) + 2 * _POINTER)
        assert 1 == _OPENSSL.SSL_CTX_set_ciphersuites(pointer, suite.encode())

    def connect(self, session: ssl.SSLSession | None = None) -> Pair:
        """Make a connection."""
        return Pair(self.client, self.server, session)

    @property
    def keys(self) -> KeyLog:
        """What the key log holds by now."""
        return KeyLog.read(self.key_log)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One with an ECDSA key, one with an RSA key."""
    folder = tmp_path_factory.mktemp("certificates")
    keys = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    return [make_certificate(folder, key) for key in keys]


@pytest.fixture
def network(tmp_path: Path, certificates: list[Path]) -> Network:
    """Two ends that agree on TLS 1.3, or on 1.2 where it is limited."""
    return Network(tmp_path, certificates)


@pytest.fixture(scope="module")
def talks(
    tmp_path_factory: pytest.TempPathFactory, certificates: list[Path]
) -> dict[ssl.TLSVersion, tuple[Wire, KeyLog]]:
    """One finished talk of each version."""
    made = {}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        network = Network(tmp_path_factory.mktemp("talk"), certificates)
        network.limit(version)
        pair = network.connect()
        pair.talk()
        made[version] = pair.wire, network.keys
    return made


@pytest.fixture
def words() -> Callable[[int], bytes]:
    """What each side says in a talk."""
    return said


class Frame(NamedTuple):
    """A captured packet."""

    time_ns: int
    data: bytes
    wirelen: int
    link: int = 1


class Packing:
    """Packs capture files, block by block; `order` is "<" or ">"."""

    @staticmethod
    def pcap(frames: Sequence[Frame], order: str = "<", magic: int = 0xA1B23C4D, link: int = 1) -> bytes:
        """A whole pcap file."""
        unit = 1 if magic == 0xA1B23C4D else 1_000
        more = b"MODIFIED" if magic == 0xA1B2CD34 else b""
        packed = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262_144, link)]
        for frame in frames:
            seconds, ns = divmod(frame.time_ns, 10**9)
            header = struct.pack(order + "IIII", seconds, ns // unit, len(frame.data), frame.wirelen)
            packed.append(header + more + frame.data)
        return b"".join(packed)

    @staticmethod
    def block(kind: int, body: bytes, order: str = "<") -> bytes:
        """Any pcapng block."""
        body += bytes(-len(body) % 4)
        length = struct.pack(order + "I", len(body) + 12)
        return struct.pack(order + "I", kind) + length + body + length

    @staticmethod
    def option(code: int, value: bytes, order: str = "<") -> bytes:
        """An option of a block."""
        return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    @classmethod
    def section(cls, order: str = "<") -> bytes:
        """A section header."""
        return cls.block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)

    @classmethod
    def interface(
        cls, order: str = "<", link: int = 1, snaplen: int = 0, resolution: int = 9, offset_s: int = 0
    ) -> bytes:
        """An interface description with both options of its times, and one that means nothing here."""
        options = cls.option(2, b"eth0", order) + cls.option(9, bytes([resolution]), order)
        options += cls.option(14, struct.pack(order + "q", offset_s), order) + cls.option(0, b"", order)
        return cls.block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)

    @classmethod
    def enhanced(cls, frame: Frame, order: str = "<", interface: int = 0) -> bytes:
        """An enhanced packet block with an option; the frame's time counts in the interface's unit."""
        fields = interface, frame.time_ns >> 32, frame.time_ns & 0xFFFFFFFF, len(frame.data), frame.wirelen
        data = frame.data + bytes(-len(frame.data) % 4)
        return cls.block(6, struct.pack(order + "5I", *fields) + data + cls.option(1, b"seen", order), order)

    @classmethod
    def obsolete(cls, frame: Frame, order: str = "<", interface: int = 0) -> bytes:
        """An obsolete packet block that tells of 77 dropped packets."""
        fields = interface, 77, frame.time_ns >> 32, frame.time_ns & 0xFFFFFFFF, len(frame.data), frame.wirelen
        return cls.block(2, struct.pack(order + "HH4I", *fields) + frame.data, order)

    @classmethod
    def simple(cls, frame: Frame, order: str = "<") -> bytes:
        """A simple packet block."""
        return cls.block(3, struct.pack(order + "I", frame.wirelen) + frame.data, order)

    @classmethod
    def pcapng(cls, frames: Sequence[Frame], order: str = "<") -> bytes:
        """A section with an interface of each link type, and its packets."""
        links = sorted({frame.link for frame in frames})
        interfaces = b"".join(cls.interface(order, link) for link in links)
        blocks = [cls.enhanced(frame, order, links.index(frame.link)) for frame in frames]
        return cls.section(order) + interfaces + b"".join(blocks)


def frames_of(batch: Batch) -> list[Frame]:
    """Copy the packets out of a batch."""
    rows = zip(batch.start, batch.caplen, batch.time_ns, batch.wirelen, batch.link, strict=True)
    return [
        Frame(int(time_ns), batch.data[start : start + caplen].tobytes(), int(wirelen), int(link))
        for start, caplen, time_ns, wirelen, link in rows
    ]


def batch_of(frames: Sequence[Frame]) -> Batch:
    """Lay packets into a batch, with a gap between each two."""
    data = b"".join(b"gap" + frame.data for frame in frames)
    caplen = np.array([len(frame.data) for frame in frames], np.int64)
    return Batch(
        data=np.frombuffer(data, np.uint8),
        start=np.cumsum(caplen + 3) - caplen,
        caplen=caplen,
        wirelen=np.array([frame.wirelen for frame in frames], np.int64),
        time_ns=np.array([frame.time_ns for frame in frames], np.int64),
        link=np.array([frame.link for frame in frames], np.uint16),
        hardware=np.zeros(len(frames), np.bool_),
        vlan=np.zeros(len(frames), np.uint16),
    )


def read_files(*paths: Path, window_bytes: int = 1 << 16) -> tuple[list[Frame], list[str]]:
    """Read capture files to their end: the packets, and the troubles."""
    source = FileSource(paths, window_bytes)
    return [frame for batch in source.batches() for frame in frames_of(batch)], source.troubles


class CaptureFiles(NamedTuple):
    """What tests of capture files need."""

    packing: type[Packing]
    frame: type[Frame]
    frames_of: Callable[[Batch], list[Frame]]
    batch_of: Callable[[Sequence[Frame]], Batch]
    read: Callable[..., tuple[list[Frame], list[str]]]
    scratch: Path  # one file, overwritten again and again

    def read_bytes(self, content: bytes, window_bytes: int = 1 << 16) -> tuple[list[Frame], list[str]]:
        """Read a file with some content."""
        self.scratch.write_bytes(content)
        return self.read(self.scratch, window_bytes=window_bytes)


@pytest.fixture(scope="session")
def capture_files(tmp_path_factory: pytest.TempPathFactory) -> CaptureFiles:
    """Capture files packed by hand, and what the agent's reader finds in them."""
    scratch = tmp_path_factory.mktemp("captures") / "capture"
    return CaptureFiles(Packing, Frame, frames_of, batch_of, read_files, scratch)
