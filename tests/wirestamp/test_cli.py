"""The command line: every command says how it is used, and every wrong word ends in status 2."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wirestamp.cli import app

COMMANDS = ["demo", "check", "run", "sandbox", "capture", "responder", "review", "export", "replay"]
README = Path(__file__).parents[2] / "README.md"


def invoke(*arguments: str) -> tuple[int, str]:
    """Run a command in this process; return its status and everything that it printed."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_holds_an_example(command: str) -> None:
    """`--help` ends with a line that can be typed."""
    status, output = invoke(command, "--help")
    assert 0 == status
    assert f"Example: wirestamp {command}" in output


def test_the_readme_names_every_command() -> None:
    """A command that nobody is told of does not exist."""
    names = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    assert set(COMMANDS) == names
    text = README.read_text(encoding="utf-8")
    assert all(f"`wirestamp {name}" in text for name in names)


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("demo", "--nonsense"), ("run",), ("demo", "--seconds", "-1"), ("sandbox", "--speed", "fast")],
)
def test_wrong_words(arguments: tuple[str, ...]) -> None:
    """Bad usage is status 2."""
    assert 2 == invoke(*arguments)[0]


def test_check_names_all_errors_at_once(tmp_path: Path) -> None:
    """Five errors, five lines, status 2."""
    file = tmp_path / "five.toml"
    file.write_text("""\
[trader]
name = "five"
loop = "fast"
[[feed]]
venue = "binanse"
environment = "production"
symbols = []
channels = ["trades"]
[risk]
max_order_notional = "-5"
""")
    status, output = invoke("check", "-c", str(file))
    assert 2 == status
    assert "5 errors" in output
    for key in ("trader.loop", "feed[0].venue", "feed[0].symbols", "feed[0].channels[0]", "risk.max_order_notional"):
        assert key in output


def test_check_of_a_sound_file(tmp_path: Path) -> None:
    """Status 0 and what it found."""
    file = tmp_path / "sound.toml"
    file.write_text("""\
[trader]
name = "sound"
[[feed]]
venue = "binance"
environment = "production"
symbols = ["BTC-USDT"]
channels = ["trade"]
""")
    assert 0 == invoke("check", "-c", str(file))[0]
