"""What a packet carried, as the comment that a capture file keeps beside it: message, hop, how long what took. Pure.

    trace 1234 market · wire_in · wire_in → kernel_rx 1.21 µs · kernel_rx → read 8.43 µs · read → decoded 3.10 µs
    trace 1234 order 7 · wire_out · written → wire_out 12.3 µs · tick-to-trade: process 61.0 µs, wire 85.0 µs

One line per message that ended in the packet. Durations between the two machines are as good as θ is known; those from
wire to wire are of the monitor's clock alone.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from journal.layout import MessageKind
from journal.reader import Rows
from review.hops import duration, tick_to_trade
from review.stamps import Index, RowLogs, Stamps, WireColumns, caused_by_market, is_order, received_stamps, sent_stamps
from review.units import duration_text

_RECEIVED = (("wire_in", "kernel_rx"), ("kernel_rx", "read"), ("read", "decoded"))
_SENT = (("written", "wire_out"), ("wire_out", "reply_wire_in"))


def packet_comments(
    logs: RowLogs, wire: WireColumns, received_packet: Index, sent_packet: Index
) -> Iterator[tuple[int, str]]:
    """Yield the comments of the packets that messages were matched with.

    Args:
        logs: a run's rows.
        wire: what a capture saw of them.
        received_packet: beside the received rows, the number of the packet with the message's last byte, -1 where none
            (`crosscheck.model.Matches.packet`), shape (received,).
        sent_packet: likewise, shape (sent,).

    Yields:
        (packet, comment), packets in ascending order, each once; messages in the order of the stream.
    """
    way_in, way_out = received_stamps(logs.received, wire), sent_stamps(logs, wire)
    inbound, outbound = np.flatnonzero(received_packet >= 0), np.flatnonzero(sent_packet >= 0)
    ticks = is_order(logs.sent) & caused_by_market(logs)
    rows = np.concatenate([inbound, outbound])
    is_sent = np.repeat([False, True], [len(inbound), len(outbound)])
    packet = np.concatenate([received_packet[inbound], sent_packet[outbound]])
    off = np.concatenate([logs.received["off"][inbound], logs.sent["off"][outbound]])
    order = np.lexsort((off, packet))
    found = zip(packet[order].tolist(), rows[order].tolist(), is_sent[order].tolist(), strict=True)
    for number, messages in groupby(found, key=lambda message: message[0]):
        lines = [
            _sent_line(logs.sent, way_out, row, tick=ticks[row]) if sent else _received_line(logs.received, way_in, row)
            for _, row, sent in messages
        ]
        yield number, "\n".join(lines)


def _received_line(received: Rows, stamps: Stamps, row: int) -> str:
    return " · ".join([_head(received, row), "wire_in", *_durations(stamps, row, _RECEIVED)])


def _sent_line(sent: Rows, stamps: Stamps, row: int, *, tick: bool) -> str:
    parts = [_head(sent, row), "wire_out", *_durations(stamps, row, _SENT)]
    if tick:
        shown = (f"{place} {_text(taken_ns)}" for place, taken_ns in tick_to_trade(stamps, row).items())
        parts.append(f"tick-to-trade: {', '.join(shown)}")
    return " · ".join(parts)


def _head(rows: Rows, row: int) -> str:
    """Return which message it is: `trace 1234 market`, `order 7`; a trace id of 0 names none."""
    words = [MessageKind(int(rows["kind"][row])).name.lower()]
    trace, order = int(rows["trace"][row]), int(rows["order"][row])
    if order:
        words.append(str(order))
    return " ".join([f"trace {trace}", *words] if trace else words)


def _durations(stamps: Stamps, row: int, hops: Sequence[tuple[str, str]]) -> Iterator[str]:
    for start, end in hops:
        taken_ns = duration(stamps, row, start, end)
        if taken_ns is not None:
            yield f"{start} → {end} {_text(taken_ns)}"


def _text(duration_ns: int) -> str:
    return duration_text(duration_ns).strip()
