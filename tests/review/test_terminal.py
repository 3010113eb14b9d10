"""The table fits where it is shown, and shows what the review says."""

import io
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from review.hops import hop_name
from review.model import Distribution, Review, TickToTrade
from review.summary import summarise
from review.terminal import render

# What conftest makes, and test folders are not packages to import it from:
RunWriter = Any


def shown(review: Review, width: int, *, colour: bool = False) -> list[str]:
    """Return the lines that a terminal of this width, or a pipe, gets."""
    out = io.StringIO()
    options: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor"} if colour else {}
    render(review, Console(file=out, width=width, **options))
    return out.getvalue().splitlines()


def line_of(lines: list[str], label: str) -> str:
    """Return the one line that begins with a label."""
    (line,) = (line for line in lines if line.startswith(label))
    return line


@pytest.fixture
def review(ended_run: Path) -> Review:
    """The review of a run with losses."""
    return summarise(ended_run)


@pytest.fixture
def wide(review: Review) -> Review:
    """The same with every number as wide as it gets."""
    widest = Distribution(99_999_999, -9_990_000_000, 999_400, 99_940_000, 9_994, 999_999_999_999)
    return replace(
        review,
        messages=99_999_999,
        hops=dict.fromkeys(review.hops, widest),
        tick_to_trade=TickToTrade(widest, widest, widest),
    )


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("which", ["review", "wide"])
def test_no_line_overflows(request: pytest.FixtureRequest, which: str, width: int) -> None:
    """And nothing of the table is cut away."""
    lines = shown(request.getfixturevalue(which), width)
    assert width >= max(cell_len(line.rstrip()) for line in lines)
    assert not any("…" in line for line in lines)


def test_counts_and_losses_are_in_words(review: Review) -> None:
    """Right under the header."""
    lines = shown(review, 80)
    assert line_of(lines, "4 messages").startswith("4 messages (3 trades) · 2 orders · 2 fills")
    assert "1 gap · 0 outages · 1 dropped · 1 rejected · 1 refused · 0 unanswered" in lines


def test_tick_to_trade_is_the_headline(review: Review) -> None:
    """Before the hops; what is missing says so."""
    lines = shown(review, 80)
    assert ["process", "read", "→", "written", "2"] + ["40", "ns"] * 5 == line_of(lines, "process").split()
    assert ["kernel", "rx", "→", "tx", "2"] + ["65", "ns"] * 5 == line_of(lines, "kernel ").split()
    assert line_of(lines, "wire     in → out").split()[-1] == "none"
    assert lines.index(line_of(lines, "process")) < lines.index(line_of(lines, "read → decoded"))


def test_hops_stand_in_the_order_in_which_they_happen(review: Review) -> None:
    """From the exchange to the answer."""
    lines = shown(review, 80)
    path = ["exchange → kernel_rx", "read → decoded", "decided → encoded", "kernel_sched → kernel_tx", "written → read"]
    places = [lines.index(line_of(lines, label)) for label in path]
    assert sorted(places) == places


def test_bars_follow_one_another(review: Review) -> None:
    """Seven hops on the way, six of 10 ns and one of 5: each begins where the one before ends."""
    lines = shown(review, 120)
    first = next(line for line in lines if line.startswith("kernel_rx → read"))
    last = line_of(lines, "kernel_sched → kernel_tx")
    assert first.index("█") < last.index("█")
    assert "█" not in line_of(lines, "written → sent")
    assert "█" not in line_of(lines, "exchange → kernel_rx")


def test_a_pipe_gets_no_colours_and_a_terminal_does(review: Review) -> None:
    """Escape sequences are for terminals."""
    assert not any("\x1b" in line for line in shown(review, 80))
    assert any("\x1b" in line for line in shown(review, 80, colour=True))


def test_names_are_not_read_as_markup(review: Review) -> None:
    """A trader may be called anything."""
    named = replace(review, run=replace(review.run, name="[red]x[/red]"))
    assert any("[red]x[/red]" in line for line in shown(named, 80))


def test_a_run_of_nothing_is_shown(writer: RunWriter) -> None:
    """Killed before the first message."""
    lines = shown(summarise(writer.begin().kill()), 80)
    assert line_of(lines, "read → decoded").split()[-1] == "none"
    assert any("no end" in line for line in lines)


def test_every_hop_has_its_line(review: Review) -> None:
    """None of the JSON's hops is kept back, but for those that only a capture has."""
    everything = replace(review, hops={name: Distribution(1, 1, 1, 1, 1, 7_777) for name in review.hops})
    of_the_trader = [name for name in review.hops if "wire" not in name]
    without = replace(everything, hops=everything.hops | {"exchange_to_wire_in": None})
    assert len(of_the_trader) == sum("7.78 µs" in line for line in shown(without, 80))
    assert hop_name("written", "reply_read") in review.hops
