"""Whom the trader trusts, and which files it is ready to write its connections' secrets to."""

import os
import ssl
from pathlib import Path

import pytest

from bot.errors import ConfigurationError, StartError
from bot.transport.tls import client_context, key_log_path, log_keys


def test_a_peer_must_prove_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And no key is logged, whatever the environment says."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = client_context(None)
    assert (ssl.CERT_REQUIRED, True, None) == (context.verify_mode, context.check_hostname, context.keylog_filename)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_an_authority_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    """With what makes one."""
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_bytes(content)
    with pytest.raises(StartError, match=r"local\.ca: .*ca\.pem: .*wirestamp sandbox"):
        client_context(ca)


@pytest.mark.parametrize(("value", "path"), [(None, None), ("", None), ("keys.log", Path("keys.log"))])
def test_the_environment_names_the_file(monkeypatch: pytest.MonkeyPatch, value: str | None, path: Path | None) -> None:
    """Off by default."""
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    if value is not None:
        monkeypatch.setenv("SSLKEYLOGFILE", value)
    assert path == key_log_path()


@pytest.mark.parametrize("there", [False, True])
def test_a_key_log_is_its_owners_alone(tmp_path: Path, *, there: bool) -> None:
    """Made so, whatever the umask; or found so, and appended to."""
    path, context = tmp_path / "keys.log", client_context(None)
    if there:
        path.write_text("# mine\n")
        path.chmod(0o600)
    before = os.umask(0)
    try:
        log_keys(context, path)
    finally:
        os.umask(before)
    assert (0o600, str(path)) == (path.stat().st_mode & 0o777, context.keylog_filename)
    assert path.read_text().startswith("# mine\n" if there else "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Nothing is written to it."""
    path, context = tmp_path / "keys.log", client_context(None)
    path.touch()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"SSLKEYLOGFILE: 1 error\n.*keys\.log: was mode {mode:04o}"):
        log_keys(context, path)
    assert (None, b"") == (context.keylog_filename, path.read_bytes())


@pytest.mark.parametrize("dangling", [False, True])
def test_a_symbolic_link_is_refused(tmp_path: Path, *, dangling: bool) -> None:
    """Where it leads is not for whoever made it to say."""
    target, link = tmp_path / "target", tmp_path / "keys.log"
    if not dangling:
        target.touch(0o600)
    link.symlink_to(target)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        log_keys(client_context(None), link)
    assert target.exists() is not dangling


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """At once, though nobody reads it; and also when somebody does."""
    path = tmp_path / "keys.log"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError, match="No such device"):
        log_keys(client_context(None), path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ConfigurationError, match="was no regular file"):
            log_keys(client_context(None), path)
    finally:
        os.close(reader)


@pytest.mark.parametrize(("name", "words"), [("", "Is a directory"), ("none/keys.log", "No such file or directory")])
def test_a_place_where_no_file_can_be(tmp_path: Path, name: str, words: str) -> None:
    """In the system's words."""
    with pytest.raises(ConfigurationError, match=words):
        log_keys(client_context(None), tmp_path / name)
