"""What is wrong and what is missing is said in words, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from journal.layout import ABSENT
from review.model import CaptureReport, Refuted, Review, Violation
from review.notes import remarks, warnings
from review.summary import summarise

# What conftest makes, and test folders are not packages to import it from:
RunWriter = Any

CAPTURE = CaptureReport("/c", "eth1", None, 100, {"drops": 0}, {}, complete=True)


@pytest.fixture
def sound(writer: RunWriter) -> Review:
    """A run in which nothing went wrong."""
    writer.begin()
    order = writer.order(writer.message())
    writer.reply(order)
    writer.execution(order, 15)
    return summarise(writer.end())


def test_a_sound_run_has_no_warning(sound: Review) -> None:
    """Whoever reads one warning shall find all of them worth it."""
    assert [] == list(warnings(sound))


def test_a_sound_run_has_its_remarks(sound: Review) -> None:
    """Whose stamps, which messages, whose clocks, what does not confirm them."""
    whose, which, clocks, wire = remarks(sound)
    assert "kernel_rx: 1 of 1 messages own their stamp" == whose
    assert "need not add up" in which
    assert "two clocks" in clocks
    assert "ahead" not in clocks
    assert wire.startswith("wire: no capture")


def test_every_loss_is_said_with_its_reasons(ended_run: Path) -> None:
    """The run of the fixture has one of each."""
    said = list(warnings(summarise(ended_run)))
    assert [
        "updates of a feed were lost: gap: expected update 5, was 7 (1 ×)",
        "messages could not be used: JSON is malformed (1 ×)",
        "orders were rejected by the venue: Filter failure: LOT_SIZE (-1013) (1 ×)",
        "intents were refused by the trader itself: halted (1 ×)",
        "a strategy was stopped: s raised KeyError: 1 (1 ×)",
    ] == said


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("the run has no end", lambda review: replace(review, run=replace(review.run, ended=None))),
        ("retention has deleted", lambda review: replace(review, run=replace(review.run, complete=False))),
        ("not seen to be sent: 2;", lambda review: replace(review, orders=3)),
        ("orders without an answer: 4;", lambda review: replace(review, unanswered=4)),
        (
            "without a kernel_tx stamp: 1 of 1",
            lambda review: replace(review, stamps=replace(review.stamps, kernel_tx=0)),
        ),
        (
            "out of order: 2, first trace 7, order 3: written lies 1.00 ms before encoded",
            lambda review: replace(
                review,
                stamps=replace(
                    review.stamps, order_violations=2, violations=[Violation(7, 3, "encoded", "written", 1_000_000)]
                ),
            ),
        ),
        (
            "(1 ×): the order of stamps was not tested in 9 messages",
            lambda review: replace(review, stamps=replace(review.stamps, clock_steps=1, suspended=9)),
        ),
    ],
)
def test_each_fault_is_one_warning(sound: Review, words: str, change: Callable[[Review], Review]) -> None:
    """It is there when the fault is, and alone."""
    (said,) = warnings(change(sound))
    assert words in said


@pytest.fixture
def captured(writer: RunWriter, monitor_at: Callable[..., Any]) -> Review:
    """A sound run with a sound capture of it on the same machine."""
    writer.begin("here")
    order = writer.order(writer.message())
    writer.execution(order, 15)
    return summarise(writer.end(), [monitor_at(boot_id="here").feed(1).route(1).end()])


def test_a_sound_capture_has_no_warning(captured: Review) -> None:
    """Nor does it claim that anything was proved."""
    assert [] == list(warnings(captured))
    assert any("a stamp is refuted or it is not, none is proved" in text for text in remarks(captured))


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (
            "messages received whose packet was not found: ISN ambiguous (3)",
            {"unmatched": {"rx": {"ISN ambiguous": 3}}},
        ),
        (
            "messages sent whose packet was not found: before the capture began (1,000); lost by the mirror (2)",
            {"unmatched": {"tx": {"before the capture began": 1000, "lost by the mirror": 2}}},
        ),
        (
            "written of trace 5 cannot be true: its packet had passed 1.00 ms before",
            {"refuted": [Refuted(5, 0, "written", 1_000_000)]},
        ),
        ("the capture /c has no end: it was killed, or it still runs", {"captures": [CAPTURE]}),
        (
            "retention has deleted the beginning of /c, and whose the connections were that it met",
            {"captures": [replace(CAPTURE, complete=False, ended="asked to stop")]},
        ),
        ("the capture /c ended early: eth1 went away", {"captures": [replace(CAPTURE, ended="eth1 went away")]}),
        ("the capture /c holds no packet of eth1", {"captures": [replace(CAPTURE, ended="asked to stop", packets=0)]}),
        (
            "the kernel dropped 7 packets before eth1 could be read",
            {"captures": [replace(CAPTURE, ended="read to the end", counters={"drops": 7})]},
        ),
    ],
)
def test_each_fault_of_a_capture_is_one_warning(captured: Review, words: str, change: dict[str, Any]) -> None:
    """It is there when the fault is, and alone."""
    assert captured.wire is not None
    if "unmatched" in change:
        change = {"unmatched": {"rx": {}, "tx": {}} | change["unmatched"]}
    assert [words] == list(warnings(replace(captured, wire=replace(captured.wire, **change))))


def test_clocks_that_left_their_line_are_told(captured: Review) -> None:
    """The first of them, and those that contradict themselves."""
    clock = replace(captured.clock, steps=["first", "second", "third", "fourth"], alarms=["a probe"])
    assert ["first", "second", "third", "a probe"] == list(warnings(replace(captured, clock=clock)))


def test_what_was_passed_over_is_told_commonest_first(captured: Review) -> None:
    """The rest is in the JSON."""
    assert captured.wire is not None
    passed_over = {"ARP": 1, "UDP": 9, "no IP packet": 5, "IPv4 fragment": 7}
    wire = replace(captured.wire, captures=[replace(CAPTURE, passed_over=passed_over)])
    expected = "packets that the capture passed over: UDP (9); IPv4 fragment (7); no IP packet (5)"
    assert expected == list(remarks(replace(captured, wire=wire)))[-1]


def test_shared_and_absent_stamps_are_told_apart(sound: Review) -> None:
    """Both are kept out of the figures, for different reasons."""
    stamps = replace(sound.stamps, kernel_rx_shared=5, kernel_rx_absent=2)
    text = next(remarks(replace(sound, messages=8, stamps=stamps)))
    assert "1 of 8" in text
    assert "5 were read together" in text
    assert "2 have none" in text


def test_a_venue_whose_clock_is_ahead_is_said(writer: RunWriter) -> None:
    """A latency below zero is shown and explained."""
    writer.begin().message(exchange=1_700_000_000_500_000_000)
    assert any("the venue's clock is ahead" in text for text in remarks(summarise(writer.end())))


def test_without_the_venues_time_nothing_is_said_of_it(writer: RunWriter) -> None:
    """There is no figure to explain."""
    writer.begin().message(exchange=ABSENT)
    assert not any("exchange" in text for text in remarks(summarise(writer.end())))


def test_answers_that_share_their_stamps_are_said(writer: RunWriter) -> None:
    """Why a hop is missing though the orders were answered."""
    writer.begin()
    writer.reply(writer.order(writer.message()), kernel_rx=ABSENT)
    assert any("no first answer" in text for text in remarks(summarise(writer.end())))
