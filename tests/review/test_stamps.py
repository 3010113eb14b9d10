"""Rows are joined by trace, by byte, by order; a stamp that is another message's is left out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.errors import Corrupt
from journal.layout import ABSENT, PAGE_BYTES, MessageKind, StampFlag, TxEvent
from journal.reader import Rows
from review.stamps import (
    RowLogs,
    caused_by_market,
    first_match,
    is_order,
    read_row_logs,
    received_stamps,
    sent_stamps,
)

MARKET, ORDER, SESSION = MessageKind.MARKET, MessageKind.ORDER, MessageKind.SESSION
MakeRows = Callable[..., Rows]


@pytest.fixture
def logs(rows: MakeRows) -> RowLogs:
    """Two market messages; a log-on, an order, its cancel and an order that a timer caused; replies to both orders."""
    received = rows(
        "received",
        trace=[5, 6, 7, 8, 9, 10],
        kind=[MARKET, MARKET, ORDER, ORDER, ORDER, ORDER],
        order=[0, 0, 1, 1, 2, 0],
        flags=[StampFlag.RX_SHARED, 0, 0, 0, StampFlag.RX_SHARED, 0],
        kernel_rx=[100, 200, 500, 600, 700, 800],
        read=[110, 210, 510, 610, 710, 810],
        decoded=[120, 220, 520, 620, 720, 820],
    )
    sent = rows(
        "sent",
        trace=[0, 6, 7, 99],
        kind=[SESSION, ORDER, ORDER, ORDER],
        order=[0, 1, 1, 2],
        conn=[2, 2, 2, 4],
        off=[10, 20, 30, 20],
        written=[50, 240, 540, 650],
    )
    transmitted = rows(
        "transmitted",
        off=[20, 20, 20, 30, 20, 20],
        conn=[4, 2, 2, 2, 2, 2],
        event=[TxEvent.DRIVER, TxEvent.SCHED, TxEvent.DRIVER, TxEvent.DRIVER, TxEvent.ACK, TxEvent.DRIVER],
        time=[660, 242, 245, 545, 290, 9_999],
    )
    return RowLogs(received, sent, transmitted)


def test_a_shared_kernel_stamp_is_absent(logs: RowLogs) -> None:
    """Only the message that owns the read's stamp keeps it."""
    assert [ABSENT, 200, 500, 600, ABSENT, 800] == received_stamps(logs.received).hops["kernel_rx"].tolist()


def test_the_cause_is_found_by_its_trace(logs: RowLogs) -> None:
    """What a log-on or a timer sends has no message before it."""
    assert [ABSENT, 220, 520, ABSENT] == sent_stamps(logs).hops["decoded"].tolist()
    assert [ABSENT, 200, 500, ABSENT] == sent_stamps(logs).hops["kernel_rx"].tolist()
    assert [False, True, False, False] == caused_by_market(logs).tolist()


def test_a_trace_of_zero_is_nobodys_cause(rows: MakeRows) -> None:
    """Neither is the first reply, which has none of its own, the cause of its request: it would lie before it."""
    received = rows("received", trace=[0], kind=[MessageKind.REST], read=[90], decoded=[95])
    logs = RowLogs(
        received, rows("sent", trace=[0], kind=[MessageKind.REST], written=[50]), rows("transmitted", off=[])
    )
    assert [ABSENT] == sent_stamps(logs).hops["decoded"].tolist()
    assert [False] == caused_by_market(logs).tolist()


def test_transmit_stamps_are_found_by_connection_and_offset(logs: RowLogs) -> None:
    """The same offset on another connection is another byte; the first stamp of a kind counts."""
    hops = sent_stamps(logs).hops
    assert [ABSENT, 242, ABSENT, ABSENT] == hops["kernel_sched"].tolist()
    assert [ABSENT, 245, 545, 660] == hops["kernel_tx"].tolist()
    assert [ABSENT, 290, ABSENT, ABSENT] == hops["kernel_ack"].tolist()


def test_the_first_reply_is_the_orders(logs: RowLogs) -> None:
    """A cancel has no reply of its own, and a shared stamp is absent in a reply as well."""
    hops = sent_stamps(logs).hops
    assert [ABSENT, 510, ABSENT, 710] == hops["reply_read"].tolist()
    assert [ABSENT, 500, ABSENT, ABSENT] == hops["reply_kernel_rx"].tolist()


def test_an_order_is_the_first_message_about_it(logs: RowLogs) -> None:
    """A log-on is none, a cancel is none."""
    assert [False, True, False, True] == is_order(logs.sent).tolist()


def test_selecting_keeps_hops_beside_their_traces(logs: RowLogs) -> None:
    """All columns are cut alike."""
    chosen = sent_stamps(logs).select(is_order(logs.sent))
    assert [6, 99] == chosen.trace.tolist()
    assert [1, 2] == chosen.order.tolist()
    assert [240, 650] == chosen.hops["written"].tolist()


def test_empty_logs_give_empty_columns(rows: MakeRows) -> None:
    """Nothing was received, nothing sent."""
    empty = RowLogs(*(rows(log, off=[]) for log in ("received", "sent", "transmitted")))
    assert {0} == {len(hop) for hop in sent_stamps(empty).hops.values()}
    assert [] == caused_by_market(empty).tolist()


@given(
    st.lists(st.integers(0, 9)),
    st.lists(st.integers(0, 9)),
)
def test_first_match_is_what_list_index_says(keys: list[int], wanted: list[int]) -> None:
    """In any order, with repetitions, empty or not."""
    expected = [keys.index(value) if value in keys else -1 for value in wanted]
    assert expected == first_match(np.array(keys, np.uint64), np.array(wanted, np.uint64)).tolist()


@given(places=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1])), unique=True))
def test_any_offset_of_any_connection_is_found(rows: MakeRows, places: list[tuple[int, int]]) -> None:
    """Offsets are whole 64-bit numbers: none is rounded, none is mistaken for another connection's."""
    conn, off = np.array(places, np.uint64).reshape(-1, 2).T
    times = np.arange(len(places))
    sent = rows("sent", conn=conn, off=off)
    transmitted = rows("transmitted", conn=conn[::-1], off=off[::-1], event=TxEvent.DRIVER, time=times[::-1])
    logs = RowLogs(rows("received", off=[]), sent, transmitted)
    assert times.tolist() == sent_stamps(logs).hops["kernel_tx"].tolist()


def test_a_trader_killed_before_its_row_logs_is_empty(tmp_path: Path) -> None:
    """No row log is there yet."""
    logs = read_row_logs(tmp_path)
    assert (0, 0, 0) == (len(logs.received), len(logs.sent), len(logs.transmitted))


def test_a_flipped_bit_in_a_row_is_corruption(ended_run: Path) -> None:
    """No figure is made of rows that are not what was written."""
    path = ended_run / "received-000000.wsj"
    content = bytearray(path.read_bytes())
    content[PAGE_BYTES + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt) as caught:
        read_row_logs(ended_run)
    assert (path, PAGE_BYTES) == (caught.value.path, caught.value.offset)
