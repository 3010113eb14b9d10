"""Options keep secrets to themselves, and addresses are written as URLs."""

from pathlib import Path

from sandbox.accounts import Account
from sandbox.options import Listening, SandboxOptions


def test_secrets_are_not_shown() -> None:
    """Neither by the options nor by an account."""
    options = SandboxOptions(Path(), accounts=(("key", "hidden"),))
    assert "hidden" not in repr(options) + repr(Account("key", "hidden"))


def test_addresses_follow_the_protocol() -> None:
    """TLS or plain, IPv4 or IPv6."""
    assert Listening("127.0.0.1", 1, None).http_url == "http://127.0.0.1:1"
    assert Listening("::1", 2, Path("ca.pem")).websocket_url == "wss://[::1]:2"
