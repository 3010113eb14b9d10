"""What the wire says, as a person sees it at 80 columns."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from review.model import ClockReport, Review, WireReport
from review.summary import summarise
from review.terminal import render
from review.wire_terminal import wire_lines

# What conftest makes, and test folders are not packages to import it from:
MonitorAt = Callable[..., Any]
RunWriter = Any

CLOCK = ClockReport(-586, 299, -0.019, 0.088, 1_200, "probes", 171, [], [])


@pytest.fixture
def review(writer: RunWriter, monitor_at: MonitorAt) -> Review:
    """A run and all its packets."""
    writer.begin("here")
    for _ in range(3):
        writer.order(writer.message())
    return summarise(writer.end(), [monitor_at(boot_id="here").feed(3).route(3).end()])


@pytest.fixture
def wire(review: Review) -> WireReport:
    """What the wire says of it."""
    assert review.wire is not None
    return review.wire


def shown(wire: WireReport, clock: ClockReport = CLOCK, width: int = 80) -> dict[str, str]:
    """Return the text of each line by its label, what was folded put together."""
    out = io.StringIO()
    Console(file=out, width=width).print(wire_lines(wire, clock))
    texts: dict[str, str] = {}
    label = ""
    for line in out.getvalue().splitlines():
        assert cell_len(line.rstrip()) <= width
        label = line[:8].strip() or label
        texts[label] = f"{texts.get(label, '')} {line[8:].strip()}".strip()
    return texts


def test_when_all_is_well(wire: WireReport) -> None:
    """Five lines; what did not happen is not told."""
    texts = shown(wire)
    assert ["matched", "stamps", "clocks", "in", "out"] == list(texts)
    assert "6 of 6 messages have their packet (100 %): 3 received, 3 sent" == texts["matched"]
    assert "0 of 6 refuted · 0 out of order · 3 cannot be tested" == texts["stamps"]
    measured = "monitor − trader ≥ -586 ns and ≤ 299 ns (885 ns wide), drift -0.019 ± 0.088 ppm, from 171 probes"
    assert measured == texts["clocks"]
    assert texts["in"].startswith("5 packets, 301 B payload, ")
    assert "·" not in texts["in"] + texts["out"]


def test_what_happened_on_the_way(wire: WireReport) -> None:
    """Each with its count, in words."""
    busy = replace(
        wire.inbound, packets=9_999_999, payload_bytes=10**12, frame_bytes=2 * 10**12, bits_per_s=1e10,
        retransmitted=1, reordered=2, copies=3, network_lost=4, mirror_lost=5, unknown_lost=6, resets=7, zero_windows=8,
    )  # fmt: skip
    text = shown(replace(wire, inbound=busy))["in"]
    assert text.startswith("10.00 M packets, 1 TB payload, 10 Gbit/s · 1 sent again · 2 reordered · 3 copied by the")
    assert text.endswith("5 lost by the mirror · 6 lost, by whom is not known · 8 zero windows · 7 resets")


def test_nothing_to_match(wire: WireReport) -> None:
    """No ratio is made of nothing."""
    assert "no messages" == shown(replace(wire, match_ratio=None))["matched"]


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("one machine, one clock: the monitor's is the trader's", {"basis": "one clock"}),
        (
            "the difference of the two clocks is not known: no clock probe was answered",
            {"basis": "none", "lower_ns": None, "upper_ns": None},
        ),
        ("monitor − trader ≤ 299 ns, from 171 probes", {"lower_ns": None, "drift_ppm": None}),
        ("monitor − trader ≥ -586 ns, from 171 probes", {"upper_ns": None, "drift_error_ppm": None}),
    ],
)
def test_what_is_known_of_the_clocks(wire: WireReport, text: str, change: dict[str, Any]) -> None:
    """And nothing beyond."""
    assert text == shown(wire, replace(CLOCK, **change))["clocks"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_of_a_review_overflows(review: Review, width: int) -> None:
    """Nor is anything cut away."""
    out = io.StringIO()
    render(review, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert width >= max(cell_len(line.rstrip()) for line in lines)
    assert not any("…" in line for line in lines)
    assert ["wire", "in", "→", "out", "3"] + ["60", "ns"] * 5 == next(
        line.split() for line in lines if line.startswith("wire     in → out")
    )


def test_a_folder_with_brackets_is_shown(writer: RunWriter, monitor_at: MonitorAt) -> None:
    """Names are no markup."""
    writer.begin("here").message()
    run: Path = monitor_at("[red]eth1[/red]", boot_id="here").end(reason=None)
    out = io.StringIO()
    render(summarise(writer.end(), [run]), Console(file=out, width=300))
    assert f"the capture {run} has no end" in out.getvalue()
