"""Real TLS connections, captured by tcpdump and decrypted: it is what was said, and what tshark decrypts."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from websockets.sync.client import connect as websocket_client
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as websocket_server

from capture.files import FileSource
from capture.inspect import Inspection
from capture.inspect.keylog import KeyLog
from capture.inspect.messages import messages
from capture.inspect.tls import ContentType
from sandbox.certificate import server_context

TIMEOUT_S = 20
Captured = Callable[[Path, int], AbstractContextManager[None]]
TALK = [(b"ask %d " % size * 3, bytes(range(256)) * size) for size in (1, 4, 300)]  # the last answer: 75 KB


def program(name: str) -> str:
    """Return a program's path; the test is skipped where it is absent."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name}")
    return path


def answer(server: socket.socket, context: ssl.SSLContext) -> None:
    """Serve one connection: each question with its answer."""
    accepted, _ = server.accept()
    with context.wrap_socket(accepted, server_side=True) as end:
        for question, reply in TALK:
            read_exactly(end, len(question))
            end.sendall(reply)
        end.unwrap().close()


def read_exactly(end: ssl.SSLSocket, size: int) -> bytes:
    """Read so many bytes."""
    data = b""
    while len(data) < size and (more := end.recv(size - len(data))):
        data += more
    return data


def talk(client: ssl.SSLContext, server: ssl.SSLContext, captured: Captured, file: Path) -> int:
    """Talk on loopback while it is captured; returns the server's port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT_S)
        port = int(listening.getsockname()[1])
        with captured(file, port):
            serving = threading.Thread(target=answer, args=(listening, server))
            serving.start()
            with (
                socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock,
                client.wrap_socket(sock, server_hostname="localhost") as end,
            ):
                for question, reply in TALK:
                    end.sendall(question)
                    assert reply == read_exactly(end, len(reply))
                end.unwrap().close()
            serving.join(TIMEOUT_S)
    return port


def by_tshark(file: Path, key_log: Path, port: int) -> list[tuple[bool, bytes]]:
    """Return what tshark decrypts of the first TCP stream: whether the server said it, and the record's bytes."""
    command = [program("tshark"), "-r", str(file), "-o", f"tls.keylog_file:{key_log}", "-d", f"tcp.port=={port},tls"]
    done = subprocess.run(
        [*command, "-q", "-z", "follow,tls,raw,0"], capture_output=True, text=True, timeout=60, check=True
    )
    server_is_first = f"Node 0: 127.0.0.1:{port}" in done.stdout  # what the second one said is indented
    records = re.findall(r"^(\t?)([0-9a-f]+)$", done.stdout, re.MULTILINE)
    return [(bool(tab) is not server_is_first, bytes.fromhex(text)) for tab, text in records]


@pytest.mark.parametrize(
    ("version", "suite"),
    [
        (ssl.TLSVersion.TLSv1_3, None),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ],
)
def test_what_was_said_and_what_tshark_decrypts(
    tmp_path: Path, captured: Captured, version: ssl.TLSVersion, suite: str | None
) -> None:
    """Byte by byte and record by record, with the offsets that end each side's stream."""
    server, ca = server_context(tmp_path, datetime.now(UTC))
    client = ssl.create_default_context(cafile=ca)
    client.maximum_version = version
    if suite is not None:
        client.set_ciphers(suite)
    file, key_log = tmp_path / "talk.pcap", tmp_path / "keys.log"
    client.keylog_filename = str(key_log)
    port = talk(client, server, captured, file)
    inspection = Inspection(FileSource([file]), KeyLog.read(key_log))
    found = list(inspection.records())
    assert {} == inspection.stopped
    data = [each for each in found if each.plain.content_type == ContentType.APPLICATION_DATA]
    by_server = [(each.sender == f"127.0.0.1:{port}", each.plain.data) for each in data]
    for side, words in zip((False, True), zip(*TALK, strict=True), strict=True):
        assert b"".join(words) == b"".join(said for who, said in by_server if who is side)
    assert by_tshark(file, key_log, port) == by_server
    last = {int(each.sender.rpartition(":")[2]): each.plain.off for each in found}
    assert ends_by_tshark(file) == last


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_websocket_is_read_as_tshark_reads_it(tmp_path: Path, captured: Captured, compression: str | None) -> None:
    """Each message of both sides once, unmasked and inflated, behind the handshake as it was."""
    server, ca = server_context(tmp_path, datetime.now(UTC))
    client = ssl.create_default_context(cafile=ca)
    file, key_log = tmp_path / "talk.pcap", tmp_path / "keys.log"
    client.keylog_filename = str(key_log)
    lines = ['{"method":"order.place"}', "{}" * 40_000, "π"]
    with websocket_server(echo_twice, "127.0.0.1", 0, ssl=server, compression=compression) as serving:
        port = int(serving.socket.getsockname()[1])
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()  # before anything may end the test: a server that never served does not shut down
        with captured(file, port):
            url = f"wss://localhost:{port}/ws"
            with websocket_client(url, ssl=client, compression=compression, proxy=None) as end:
                for line in lines:
                    end.send(line)
                    assert [line, line] == [end.recv(TIMEOUT_S), end.recv(TIMEOUT_S)]
            serving.shutdown()
            thread.join(TIMEOUT_S)
    found = list(messages(Inspection(FileSource([file]), KeyLog.read(key_log)).records()))
    said = [(each.sender == f"127.0.0.1:{port}", each.kind, each.data.decode()) for each in found]
    assert {"http", "text", "close", "alert"} == {kind for _, kind, _ in said}
    for by_server, (first, *rest) in ((side, [each[1:] for each in said if each[0] is side]) for side in (False, True)):
        assert "http" == first[0]
        assert first[1].startswith("HTTP/1.1 101 " if by_server else "GET /ws HTTP/1.1\r\n")
        texts = [("text", line) for line in lines for _ in range(1 + by_server)]
        assert [*texts, ("close", "1000 (OK)")] == [each for each in rest if each[0] != "alert"]
    assert websocket_by_tshark(file, key_log, port) == [text for _, kind, text in said if kind == "text"]


def echo_twice(end: ServerConnection) -> None:
    """Say everything twice."""
    for line in end:
        end.send(line)
        end.send(line)


def websocket_by_tshark(file: Path, key_log: Path, port: int) -> list[str]:
    """Return the text messages that tshark finds."""
    command = [program("tshark"), "-r", str(file), "-o", f"tls.keylog_file:{key_log}", "-d", f"tcp.port=={port},tls"]
    command += ["-d", f"tls.port=={port},http", "-Y", "websocket.payload.text", "-T", "json"]
    command += ["-e", "websocket.payload.text"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    packets = json.loads(done.stdout)
    return [text for packet in packets for text in packet["_source"]["layers"]["websocket.payload.text"]]


def ends_by_tshark(file: Path) -> dict[int, int]:
    """Return the stream offset of the last byte that each port sent."""
    fields = [part for name in ("tcp.srcport", "tcp.seq", "tcp.len") for part in ("-e", name)]
    done = subprocess.run(
        [program("tshark"), "-r", str(file), "-Y", "tcp.len > 0", "-T", "fields", *fields],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    ends: dict[int, int] = {}
    for port, seq, size in (map(int, line.split()) for line in done.stdout.splitlines()):
        ends[port] = max(ends.get(port, 0), seq + size - 2)  # its first byte has the relative number 1
    return ends
