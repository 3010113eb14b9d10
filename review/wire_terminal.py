"""What the wire says, for a person's eyes: agreement, the clocks, the traffic; a few lines below the counts."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from review.model import ClockReport, Traffic, WireReport
from review.units import bits_text, bytes_text, count_text, duration_text, ratio_text

_BETWEEN = (0, 2, 0, 0)


def wire_lines(wire: WireReport, clock: ClockReport) -> Table:
    """Return the block that says how far the trader's story agrees with the wire."""
    table = Table.grid(padding=_BETWEEN)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, text in _rows(wire, clock):
        table.add_row(label, text)
    return table


def _rows(wire: WireReport, clock: ClockReport) -> Iterator[tuple[str, Text]]:
    yield "matched", _matched(wire)
    yield "stamps", _stamps(wire)
    yield "clocks", Text(_clocks(clock))
    for label, traffic in (("in", wire.inbound), ("out", wire.outbound)):
        yield label, _traffic(traffic)


def _matched(wire: WireReport) -> Text:
    matched, unmatched = wire.matched_rx + wire.matched_tx, wire.unmatched_rx + wire.unmatched_tx
    if wire.match_ratio is None:
        return Text("no messages")
    text = Text(f"{count_text(matched)} of {count_text(matched + unmatched)} messages have their packet", "bold")
    text.append(f" ({ratio_text(wire.match_ratio)})", "bold" if unmatched else "bold green")
    text.append(f": {count_text(wire.matched_rx)} received, {count_text(wire.matched_tx)} sent")
    return text


def _stamps(wire: WireReport) -> Text:
    refuted, tested = wire.causality_violations, wire.causality_violations + wire.unrefuted
    parts = [
        Text(f"{count_text(refuted)} of {count_text(tested)} refuted", "bold red" if refuted else "green"),
        Text(f"{count_text(wire.order_violations)} out of order", "bold red" if wire.order_violations else "green"),
        Text(f"{count_text(wire.not_refutable)} cannot be tested"),
    ]
    return Text(" · ").join(parts)


def _clocks(clock: ClockReport) -> str:
    if clock.basis == "one clock":
        return "one machine, one clock: the monitor's is the trader's"
    bounds = [
        f"{sign} {duration_text(bound).strip()}"
        for sign, bound in (("≥", clock.lower_ns), ("≤", clock.upper_ns))
        if bound is not None
    ]
    if not bounds:
        return "the difference of the two clocks is not known: no clock probe was answered"
    text = "monitor − trader " + " and ".join(bounds)
    if clock.lower_ns is not None and clock.upper_ns is not None:
        text += f" ({duration_text(clock.upper_ns - clock.lower_ns).strip()} wide)"
    if clock.drift_ppm is not None and clock.drift_error_ppm is not None:
        text += f", drift {clock.drift_ppm:+.3f} ± {clock.drift_error_ppm:.3f} ppm"
    return f"{text}, from {count_text(clock.probes)} probes"


def _traffic(traffic: Traffic) -> Text:
    text = Text(
        f"{count_text(traffic.packets)} packets, {bytes_text(traffic.payload_bytes)} payload, "
        f"{bits_text(traffic.bits_per_s)}"
    )
    for count, words in (
        (traffic.retransmitted, "sent again"),
        (traffic.reordered, "reordered"),
        (traffic.copies, "copied by the mirror"),
        (traffic.network_lost, "lost by the network"),
        (traffic.mirror_lost, "lost by the mirror"),
        (traffic.unknown_lost, "lost, by whom is not known"),
        (traffic.zero_windows, "zero windows"),
    ):
        if count:
            text.append(f" · {count_text(count)} {words}", "bold yellow")
    if traffic.resets:
        text.append(f" · {count_text(traffic.resets)} resets")  # as when a side closes before it has read everything
    return text
