"""The command line: every command says how it is used, and every wrong word ends in status 2."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from journal.runs import create_run
from journal.wire import WIRE_LOGS
from journal.writer import Journal
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
    [
        ("nonsense",),
        ("demo", "--nonsense"),
        ("run",),
        ("demo", "--seconds", "-1"),
        ("sandbox", "--speed", "fast"),
        ("capture", "-i", "lo", "--fanout", "65536"),
        ("capture", "-i", "lo", "--port", "0"),
        ("capture", "-i", "lo", "--vxlan-port", "65536"),
        ("capture", "-i", "lo", "--probe-rate", "0"),
        ("responder", "--port", "65536"),
        ("export", "data", "--to", "csv"),
        ("export", "data"),
        ("review",),
    ],
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected either an interface to capture from (-i) or files to read (-r)"),
        (("-i", "lo", "-r", "a.pcap"), "expected either an interface to capture from (-i) or files to read (-r)"),
        (("-r", "a.pcap", "--probe", "10.0.0.5"), "--probe: expected an interface (-i) with it"),
        (("-i", "lo", "--store", "12Q"), "--store: was '12Q', expected a size such as 500M or 20G"),
        (("-i", "lo", "--store", "1M"), "--store: was 1,048,576 bytes, expected 0 or at least 2M"),
        (("-i", "lo", "--keep", "much"), "--keep: was 'much', expected a size such as 500M or 20G"),
        (("-i", "lo", "--probe", ":9460"), "--probe: was ':9460', expected HOST or HOST:PORT"),
    ],
)
def test_capture_says_what_is_wrong_with_its_options(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """Status 2, one line, and nothing is begun."""
    status, output = invoke("capture", "--data", str(tmp_path / "data"), *arguments)
    assert (2, f"wirestamp: {words}") == (status, output.partition(", files")[0].strip())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [("review",), ("export", "--to", "perfetto", "-o", os.devnull), ("replay",)])
def test_a_trader_is_asked_for(command: tuple[str, ...], tmp_path: Path) -> None:
    """Neither nothing nor a capture's journal will do: status 2, and the folder is named."""
    status, output = invoke(*command, str(tmp_path / "nowhere"))
    assert 2 == status
    assert f"{tmp_path / 'nowhere'} is not a folder" in output
    run = create_run(tmp_path / "capture", 10**9)
    Journal(run, WIRE_LOGS, record_segment_bytes=8192, row_segment_bytes=8192).close()
    status, output = invoke(*command, str(tmp_path / "capture"))
    assert 2 == status
    assert f"{run} is the journal of a capture; expected the trader's folder first" in output
