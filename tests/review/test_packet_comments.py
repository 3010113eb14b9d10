"""A packet's comment says which messages ended in it, and how long their hops took."""

from collections.abc import Callable

import numpy as np
import pytest

from journal.layout import ABSENT, MessageKind, StampFlag, TxEvent
from journal.reader import Rows
from review.packet_comments import packet_comments
from review.stamps import RowLogs, WireColumns

MARKET, ORDER, SESSION = MessageKind.MARKET, MessageKind.ORDER, MessageKind.SESSION
AHEAD_NS = 10**12  # the monitor's clock
MakeRows = Callable[..., Rows]


@pytest.fixture
def logs(rows: MakeRows) -> RowLogs:
    """Two market messages of one read; a log-on; an order that the second caused, its reply and its cancel."""
    return RowLogs(
        rows(
            "received",
            trace=[5, 6, 7], kind=[MARKET, MARKET, ORDER], order=[0, 0, 1], off=[100, 200, 90],
            flags=[StampFlag.RX_SHARED, 0, 0],
            kernel_rx=[2_000, 2_000, 90_000], read=[9_000, 9_000, 95_000], decoded=[11_000, 20_000, 99_000],
        ),
        rows(
            "sent",
            trace=[0, 6, 7], kind=[SESSION, ORDER, ORDER], order=[0, 1, 1], off=[10, 20, 30], conn=1,
            written=[500, 70_000, 100_000],
        ),
        rows("transmitted", conn=1, off=20, event=TxEvent.DRIVER, time=[83_000]),
    )  # fmt: skip


def columns(wire_in: list[int], wire_out: list[int], *, known: bool = True) -> WireColumns:
    """Return when the capture saw the messages; on the trader's clock only if θ is known."""
    here = [np.array(times) for times in (wire_in, wire_out)]
    there = [np.where(times == ABSENT, ABSENT, times + AHEAD_NS) for times in here]
    if not known:
        here = [np.full(len(times), ABSENT) for times in here]
    return WireColumns(there[0], here[0], there[1], here[1])


def comments(logs: RowLogs, wire: WireColumns, received: list[int], sent: list[int]) -> dict[int, list[str]]:
    """Return the comments' lines by packet."""
    found = list(packet_comments(logs, wire, np.array(received, np.intp), np.array(sent, np.intp)))
    assert sorted({packet for packet, _ in found}) == [packet for packet, _ in found]
    return {packet: text.splitlines() for packet, text in found}


def test_each_direction(logs: RowLogs) -> None:
    """Two messages in one packet are two lines; a shared kernel stamp makes no duration."""
    wire = columns([500, 500, 88_000], [ABSENT, 82_300, 100_500])
    market = (
        "trace 6 market · wire_in · wire_in → kernel_rx 1.50 µs · kernel_rx → read 7.00 µs · read → decoded 11.0 µs"
    )
    order = (
        "trace 6 order 1 · wire_out · written → wire_out 12.3 µs · wire_out → reply_wire_in 5.70 µs · tick-to-trade: "
    )
    reply = (
        "trace 7 order 1 · wire_in · wire_in → kernel_rx 2.00 µs · kernel_rx → read 5.00 µs · read → decoded 4.00 µs"
    )
    expected = {
        4: ["trace 5 market · wire_in · read → decoded 2.00 µs", market],
        7: [order + "process 61.0 µs, kernel 81.0 µs, wire 81.8 µs"],
        9: [reply],
        11: ["trace 7 order 1 · wire_out · written → wire_out 500 ns"],
    }
    assert expected == comments(logs, wire, [4, 4, 9], [-1, 7, 11])


def test_without_theta_the_wire_still_has_its_own_durations(logs: RowLogs) -> None:
    """What compares two clocks is left out; wire to wire is one clock."""
    wire = columns([500, 500, 88_000], [600, 82_300, 100_500], known=False)
    found = comments(logs, wire, [-1, -1, -1], [2, 7, -1])
    expected = (
        "trace 6 order 1 · wire_out · wire_out → reply_wire_in 5.70 µs"
        " · tick-to-trade: process 61.0 µs, kernel 81.0 µs, wire 81.8 µs"
    )
    assert {2: ["session · wire_out"], 7: [expected]} == found


def test_messages_of_a_packet_stand_in_the_streams_order(logs: RowLogs, rows: MakeRows) -> None:
    """Also where the journal has them in another."""
    received = rows("received", trace=[1, 2, 3], kind=MARKET, off=[30, 10, 2**63 + 20])
    swapped = RowLogs(received, logs.sent[:0], logs.transmitted[:0])
    found = comments(swapped, columns([ABSENT] * 3, []), [8, 8, 8], [])
    assert ["trace 2", "trace 1", "trace 3"] == [line.partition(" market")[0] for line in found[8]]


def test_nothing_matched(logs: RowLogs) -> None:
    """No packet, no comment."""
    assert {} == comments(logs, columns([ABSENT] * 3, [ABSENT] * 3), [-1] * 3, [-1] * 3)
