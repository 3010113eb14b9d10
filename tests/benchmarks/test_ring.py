"""The pure parts of the live benchmark: what tcpreplay and tcpdump say, and which run counts."""

import pytest

from ring import BenchmarkError, Run, best, counted_by, sent_by


def test_tcpreplays_report_is_read() -> None:
    """Packets and rate, whatever stands around them."""
    report = (
        "File Cache is enabled\nActual: 2010000 packets (603000000 bytes) sent in 7.37 seconds\n"
        "Rated: 81751238.9 Bps, 654.00 Mbps, 272504.12 pps\n"
    )
    assert (2_010_000, 272_504.12) == sent_by(report)


def test_tcpdumps_report_is_read() -> None:
    """Also when it is one packet."""
    report = "1 packet captured\n12 packets received by filter\n11 packets dropped by kernel\n"
    assert (1, 11) == counted_by(report)


@pytest.mark.parametrize("read", [sent_by, counted_by])
def test_a_tool_without_a_report_failed(read: object) -> None:
    """What is not understood is not taken for zero."""
    assert callable(read)
    with pytest.raises(BenchmarkError, match="no such device"):
        read("no such device")


def test_drops_count_before_speed() -> None:
    """A run that dropped packets is not better for having used less CPU."""
    dropping = Run(sent=10, received=5, dropped=5, packets_per_s=9.0, cpu_us_per_packet=0.1)
    whole = Run(sent=10, received=10, dropped=0, packets_per_s=8.0, cpu_us_per_packet=0.4)
    disturbed = Run(sent=10, received=10, dropped=0, packets_per_s=9.0, cpu_us_per_packet=0.5)
    assert whole == best([dropping, disturbed, whole])
