"""The canonical form of intents and executions: what a run and its replay compare, byte by byte."""

import json
from collections.abc import Callable

import msgspec
import pytest

from bot.orders.records import decode_execution, decode_intent, encode, execution_of, intent_of
from market.orders import ExecType, ExecutionReport, Order, OrderStatus


def test_an_intent_is_its_fields(make_order: Callable[..., Order]) -> None:
    """Plain numbers and texts, in a fixed order, without signature, time or secret."""
    payload = encode(intent_of(make_order(), "place", 9))
    expected = {
        "action": "place", "ordinal": 1, "cause": 9, "strategy": "mine", "instrument": 1, "side": 1, "order_type": 2,
        "qty_lots": 100, "price_ticks": 6_000_000, "time_in_force": 1, "cl_ord_id": "ws-1",
    }  # fmt: skip
    assert list(expected.items()) == list(json.loads(payload).items())


def test_equal_intents_have_equal_bytes(make_order: Callable[..., Order]) -> None:
    """And any difference shows."""
    first = encode(intent_of(make_order(), "place", 9))
    assert first == encode(intent_of(make_order(), "place", 9))
    others = [
        intent_of(make_order(), "cancel", 9),
        intent_of(make_order(), "place", 10),
        intent_of(make_order(ordinal=2), "place", 9),
        intent_of(make_order(qty_lots=101), "place", 9),
        intent_of(make_order(price_ticks=0), "place", 9),
    ]
    assert 6 == len({first, *map(encode, others)})


def test_an_intent_comes_back(make_order: Callable[..., Order]) -> None:
    """From its bytes."""
    intent = intent_of(make_order(), "cancel", 9)
    assert intent == decode_intent(encode(intent))


@pytest.mark.parametrize("exchange_ns", [None, 1_723_161_255_208_000_000])
def test_an_execution_comes_back(make_order: Callable[..., Order], exchange_ns: int | None) -> None:
    """With the order's status after the report, and None where the venue gave no time."""
    order = make_order()
    report = ExecutionReport(
        order.cl_ord_id, ExecType.TRADE, OrderStatus.FILLED, 6_000_000, 100, exec_id="57", commission="0.0003",
        commission_asset="BTC", exchange_ns=exchange_ns,
    )  # fmt: skip
    assert order.apply(report)
    execution = execution_of(order, report)
    assert execution == decode_execution(encode(execution))
    assert (1, 1, OrderStatus.FILLED, ExecType.TRADE) == (
        execution.ordinal, execution.instrument, execution.status, execution.exec_type,
    )  # fmt: skip
    assert (6_000_000, 100, "57", exchange_ns) == (
        execution.last_ticks, execution.last_lots, execution.exec_id, execution.exchange_ns,
    )  # fmt: skip


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"action":"replace"}', b"[]"])
def test_other_bytes_are_no_intent(payload: bytes) -> None:
    """The reader is told."""
    with pytest.raises(msgspec.MsgspecError):
        decode_intent(payload)
