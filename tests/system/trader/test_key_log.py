"""SSLKEYLOGFILE and a whole run: loud, readable by its owner alone, and refused where it would not be."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture.inspect import decrypt_capture
from capture.inspect.keylog import KeyLog
from journal.errors import NoJournal
from journal.layout import MessageKind, RecordType
from journal.reader import read_records, read_rows
from journal.runs import find_run

RunSandbox = Callable[..., Any]
Configure = Callable[..., Path]
Captured = Callable[[Path, int], AbstractContextManager[None]]
CREDENTIALS = {"WIRESTAMP_BINANCE_LOCAL_KEY": "sandbox", "WIRESTAMP_BINANCE_LOCAL_SECRET": "sandbox"}


def start(config: Path, key_log: Path | None) -> "subprocess.Popen[str]":
    """Start a trader."""
    environment = {name: value for name, value in os.environ.items() if name != "SSLKEYLOGFILE"} | CREDENTIALS
    if key_log is not None:
        environment["SSLKEYLOGFILE"] = str(key_log)
    command = [sys.executable, "-m", "wirestamp", "run", "-c", str(config)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def run_for_a_while(config: Path, key_log: Path | None) -> str:
    """Run a trader until it has received some hundred messages; returns its log."""
    process = start(config, key_log)
    give_up = time.monotonic() + 20
    try:
        while process.poll() is None and time.monotonic() < give_up:
            try:
                records = read_records(find_run(config.parent / "data" / "test"))
                if sum(record.type is RecordType.INBOUND for record in records) >= 300:
                    break
            except NoJournal:
                continue
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=15)
    finally:
        process.kill()
        process.wait(timeout=10)
    assert 0 == process.returncode, log
    return log


def configuration_record(config: Path) -> dict[str, Any]:
    """Return what the run says of itself."""
    (record,) = (
        record for record in read_records(find_run(config.parent / "data" / "test")) if record.type is RecordType.CONFIG
    )
    return dict(json.loads(record.payload))


def test_secrets_go_to_the_file_and_nowhere_else(run_sandbox: RunSandbox, configure: Configure, tmp_path: Path) -> None:
    """Three connections at least: instruments, route, feed; each with its secrets for both directions."""
    sandbox = run_sandbox(rate=200.0)
    config, key_log = configure(sandbox.http_url, ca=sandbox.ca_file), tmp_path / "keys.log"
    log = run_for_a_while(config, key_log)
    content = key_log.read_text()
    assert 0o600 == key_log.stat().st_mode & 0o777
    for side in ("CLIENT", "SERVER"):
        line = rf"^{side}_TRAFFIC_SECRET_0 [0-9a-f]{{64}} [0-9a-f]{{64,96}}$"
        assert 3 <= len(re.findall(line, content, re.MULTILINE))
    (warning,) = (line for line in log.splitlines() if "TLS secrets are written" in line)
    assert ("warning", str(key_log)) == tuple(json.loads(warning)[key] for key in ("level", "file"))
    assert "unset SSLKEYLOGFILE" in warning
    assert configuration_record(config)["key_log"] is True
    journal = b"".join(file.read_bytes() for file in find_run(config.parent / "data" / "test").iterdir())
    for secret in re.findall(r" ([0-9a-f]{64,96})$", content, re.MULTILINE):
        assert secret not in log
        assert secret.encode() not in journal
    assert b"keys.log" not in journal


def test_without_the_variable_there_is_no_key_log(
    run_sandbox: RunSandbox, configure: Configure, tmp_path: Path
) -> None:
    """And no word about it."""
    sandbox = run_sandbox(rate=200.0)
    config = configure(sandbox.http_url, ca=sandbox.ca_file)
    assert "TLS secrets" not in run_for_a_while(config, None)
    assert configuration_record(config)["key_log"] is False
    assert [] == list(tmp_path.glob("*keys*"))


@pytest.mark.parametrize("kind", ["mode", "link"])
def test_a_file_that_others_could_read_is_refused(configure: Configure, tmp_path: Path, kind: str) -> None:
    """Status 2, before anything else is done: no run is made, and nothing is written to the file."""
    config, target = configure("https://127.0.0.1:1"), tmp_path / "target"
    target.touch()
    target.chmod(0o644 if kind == "mode" else 0o600)
    key_log = target
    if kind == "link":
        key_log = tmp_path / "keys.log"
        key_log.symlink_to(target)
    process = start(config, key_log)
    _, log = process.communicate(timeout=20)
    assert 2 == process.returncode
    assert f"SSLKEYLOGFILE: 1 error\n  {key_log}: " in log
    assert ("was mode 0644" if kind == "mode" else "symbolic link") in log
    assert b"" == target.read_bytes()
    assert not (tmp_path / "data").exists()


def decrypted(capture: Path, key_log: Path) -> dict[tuple[str, str, int], bytes]:
    """Return each record by sender, receiver and the offset of its last byte, behind 99 bytes of what came before."""
    records: dict[tuple[str, str, int], bytes] = {}
    before: dict[str, bytes] = {}
    for each in decrypt_capture([capture], KeyLog.read(key_log)):
        way = f"{each.sender} {each.receiver}"
        before[way] = before.get(way, b"")[-99:] + each.plain.data
        records[each.sender, each.receiver, each.plain.off] = before[way]
    return records


def test_a_captured_run_is_decrypted(
    run_sandbox: RunSandbox, configure: Configure, captured: Captured, tmp_path: Path
) -> None:
    """Every stamp's offset ends the record that holds its message: market data, orders, REST requests and replies."""
    sandbox = run_sandbox(rate=500.0)
    config, key_log = configure(sandbox.http_url, ca=sandbox.ca_file), tmp_path / "keys.log"
    with captured(tmp_path / "run.pcap", int(sandbox.http_url.rpartition(":")[2])):
        run_for_a_while(config, key_log)
    records = decrypted(tmp_path / "run.pcap", key_log)
    run = find_run(config.parent / "data" / "test")
    ends: dict[int, tuple[str, str]] = {}
    messages: dict[tuple[int, int], list[bytes]] = {}
    lines = []
    for record in read_records(run):
        if record.type is RecordType.CONNECTION and b'"open"' in record.payload:
            about = json.loads(record.payload)
            ends[record.conn] = about["local"], about["remote"]
        elif record.type in (RecordType.INBOUND, RecordType.REPLY):
            messages.setdefault((record.conn, record.trace), []).append(record.payload)
        elif record.type is RecordType.OUTBOUND and record.payload.startswith(b"GET "):
            lines.append(record.payload)
    kinds = set()
    for row in np.concatenate(read_rows(run, "received")):
        local, remote = ends[int(row["conn"])]
        message = messages[int(row["conn"]), int(row["trace"])].pop(0)
        assert message[-100:] in records[remote, local, int(row["off"])]
        kinds.add(int(row["kind"]))
    assert {MessageKind.MARKET, MessageKind.ORDER, MessageKind.REST} == kinds
    for row in np.concatenate(read_rows(run, "sent")):
        plaintext = records[*ends[int(row["conn"])], int(row["off"])]
        assert row["kind"] != MessageKind.REST or lines.pop(0) + b" HTTP/1.1\r\n" in plaintext
    assert [] == lines
