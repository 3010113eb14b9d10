"""The pure parts of the file benchmark: which run counts, ratios, the list of tools."""

import argparse

import pytest

from decode import Figure, best, ratios, tools


def test_the_fastest_run_counts_with_the_most_memory() -> None:
    """Disturbance makes a run slower; memory is a bound, so its worst counts."""
    assert Figure(10, 5.0, 300) == best([Figure(10, 4.0, 300), Figure(10, 5.0, 200), Figure(10, 3.0, None)])
    assert Figure(10, 5.0, None) == best([Figure(10, 5.0)])


def test_ratios_compare_the_same_file() -> None:
    """How many times faster than each other tool; the mixed file has no counterpart."""
    figures = {"wirestamp": Figure(9, 20.0), "wirestamp_mixed": Figure(9, 10.0), "dpkt": Figure(9, 2.0)}
    assert {"dpkt": 10.0} == ratios(figures)
    assert {} == ratios({"dpkt": Figure(9, 2.0)})


def test_an_unknown_tool_is_refused() -> None:
    """The message says which there are."""
    assert ["wirestamp", "tshark"] == tools("wirestamp,tshark")
    with pytest.raises(argparse.ArgumentTypeError, match="no such tool: wireshark; there are wirestamp, tcpdump"):
        tools("wirestamp,wireshark")
