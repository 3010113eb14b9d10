"""Binance's answers to orders: replies, execution reports, and whatever else a peer may send."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.events import Malformed, Side
from market.instrument import Instrument
from market.orders import ExecType, ExecutionReport, Order, OrderStatus, OrderType, TimeInForce
from venues.adapter import Credentials, SessionEvent
from venues.binance_orders import BinanceOrderEntry


@pytest.fixture
def entry(btc_usdt: Instrument) -> BinanceOrderEntry:
    """A session."""
    return BinanceOrderEntry([btc_usdt], Credentials("key", "secret"))


@pytest.fixture
def order(btc_usdt: Instrument) -> Order:
    """A limit order: buy 0.5 BTC at 52,000.00."""
    lots, ticks = 50_000_000, 5_200_000
    return Order(1, "wsabc-1", 9, "mine", btc_usdt, Side.BUY, OrderType.LIMIT, lots, ticks, TimeInForce.GTC)


def report(entry: BinanceOrderEntry, message: dict[str, Any]) -> ExecutionReport:
    """Return the one report of a message."""
    (event,) = entry.receive(json.dumps(message).encode())
    assert isinstance(event, ExecutionReport)
    return event


# -- replies ----------------------------------------------------------------------------------------------------------

RESULT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": 12569099453,
    "orderListId": -1,
    "clientOrderId": "wsabc-1",
    "transactTime": 1660801715639,
}
FILLS = [
    {"price": "52000.00", "qty": "0.30000000", "commission": "0.0003", "commissionAsset": "BTC", "tradeId": 57},
    {"price": "51999.99", "qty": "0.20000000", "commission": "0.0002", "commissionAsset": "BTC", "tradeId": 58},
]


def reply(result: dict[str, Any], request_id: str = "wsabc-1") -> bytes:
    return json.dumps({"id": request_id, "status": 200, "result": result, "rateLimits": []}).encode()


def test_a_new_order_is_acknowledged(entry: BinanceOrderEntry, order: Order) -> None:
    """RESULT and FULL carry the status."""
    (event,) = entry.receive(reply(RESULT | {"status": "NEW", "executedQty": "0.00000000", "fills": []}))
    expected = ExecutionReport(
        "wsabc-1", ExecType.NEW, OrderStatus.NEW, order_id="12569099453", exchange_ns=1_660_801_715_639_000_000
    )
    assert expected == event
    assert order.apply(expected)
    assert OrderStatus.NEW is order.status


def test_a_full_reply_reports_every_fill(entry: BinanceOrderEntry, order: Order) -> None:
    """In order, each with its trade id and fee."""
    events = entry.receive(reply(RESULT | {"status": "FILLED", "fills": FILLS}))
    assert [ExecType.NEW, ExecType.TRADE, ExecType.TRADE] == [
        e.exec_type for e in events if isinstance(e, ExecutionReport)
    ]
    for event in events:
        assert isinstance(event, ExecutionReport)
        assert order.apply(event)
    assert (OrderStatus.FILLED, 50_000_000, 0) == (order.status, order.cum_lots, order.leaves_lots)
    assert 30_000_000 * 5_200_000 + 20_000_000 * 5_199_999 == order.cum_tick_lots
    last = events[-1]
    assert isinstance(last, ExecutionReport)
    assert ("58", "0.0002", "BTC") == (last.exec_id, last.commission, last.commission_asset)


@pytest.mark.parametrize("status", ["EXPIRED", "CANCELED", "EXPIRED_IN_MATCH"])
def test_an_order_that_ended_at_once_keeps_its_fills(entry: BinanceOrderEntry, order: Order, status: str) -> None:
    """An immediate-or-cancel order is filled in part and the rest ends."""
    for event in entry.receive(reply(RESULT | {"status": status, "fills": FILLS[:1]})):
        assert isinstance(event, ExecutionReport)
        order.apply(event)
    assert (30_000_000, 0, False) == (order.cum_lots, order.leaves_lots, order.is_open)
    assert (OrderStatus.CANCELED if status == "CANCELED" else OrderStatus.EXPIRED) is order.status


def test_a_cancelled_order(entry: BinanceOrderEntry, order: Order) -> None:
    """The reply to `order.cancel` names the order by its original id."""
    result = RESULT | {"status": "CANCELED", "origClientOrderId": "wsabc-1", "clientOrderId": "91fe37ce9e69c90d6358c0"}
    (event,) = entry.receive(reply(result, "cancel-wsabc-1"))
    assert isinstance(event, ExecutionReport)
    assert ("wsabc-1", ExecType.CANCELED) == (event.cl_ord_id, event.exec_type)
    assert order.apply(event)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, -2010, ExecType.REJECTED),
        (403, -1000, ExecType.REJECTED),
        (418, -1003, ExecType.REJECTED),
        (429, -1015, ExecType.REJECTED),
        (500, -1000, ExecType.UNKNOWN),
        (503, -1008, ExecType.UNKNOWN),
        (504, -1007, ExecType.UNKNOWN),
        (400, -1006, ExecType.UNKNOWN),
        (408, -1007, ExecType.UNKNOWN),
    ],
)
def test_an_error_rejects_an_order_or_leaves_it_unknown(
    entry: BinanceOrderEntry, order: Order, status: int, code: int, kind: ExecType
) -> None:
    """A status of 5xx, and two codes, say that the order may have been accepted all the same."""
    event = report(entry, {"id": "wsabc-1", "status": status, "error": {"code": code, "msg": "Words."}})
    assert ("wsabc-1", kind, f"Words. ({code})") == (event.cl_ord_id, event.exec_type, event.reason)
    assert order.apply(event)
    assert order.is_open is (kind is ExecType.UNKNOWN)


@pytest.mark.parametrize("status", [400, 503])
def test_a_refused_cancel_leaves_the_order_as_it_is(entry: BinanceOrderEntry, order: Order, status: int) -> None:
    """It may have been filled meanwhile: the order's own reports say so."""
    error = {"code": -2011, "msg": "Unknown order sent."}
    event = report(entry, {"id": "cancel-wsabc-1", "status": status, "error": error})
    assert ("wsabc-1", ExecType.CANCEL_REJECTED) == (event.cl_ord_id, event.exec_type)
    assert not order.apply(event)
    assert OrderStatus.PENDING_NEW is order.status


def test_the_subscriptions_answer_opens_the_session(entry: BinanceOrderEntry) -> None:
    """Or says why not."""
    refused = b'{"id":"user-data","status":401,"error":{"code":-2015,"msg":"Invalid API-key."}}'
    assert (SessionEvent(""),) == entry.receive(b'{"id":"user-data","status":200,"result":{"subscriptionId":0}}')
    assert (SessionEvent("Invalid API-key. (-2015)"),) == entry.receive(refused)


# -- execution reports ------------------------------------------------------------------------------------------------

EVENT: dict[str, Any] = {
    "e": "executionReport", "E": 1499405658658, "s": "BTCUSDT", "c": "wsabc-1", "S": "BUY", "o": "LIMIT", "f": "GTC",
    "q": "0.50000000", "p": "52000.00", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "", "x": "NEW", "X": "NEW",
    "r": "NONE", "i": 4293153, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0", "N": None,
    "T": 1499405658657, "t": -1, "v": 3, "I": 8641984, "w": True, "m": False, "M": False, "O": 1499405658657,
}  # fmt: skip


def event_of(**changes: object) -> dict[str, Any]:
    return {"subscriptionId": 0, "event": EVENT | changes}


def fill_event(trade_id: int, quantity: str, cumulated: str, status: str = "PARTIALLY_FILLED") -> dict[str, Any]:
    fee = {"n": "0.0003", "N": "BTC"}
    return event_of(x="TRADE", X=status, t=trade_id, l=quantity, L="52000.00", z=cumulated, **fee)


def test_a_fill_is_reported(entry: BinanceOrderEntry, order: Order) -> None:
    """With price, quantity, fee and trade id."""
    event = report(entry, fill_event(57, "0.30000000", "0.30000000"))
    expected = ExecutionReport(
        "wsabc-1", ExecType.TRADE, OrderStatus.PARTIALLY_FILLED, 5_200_000, 30_000_000, 30_000_000, "57", "4293153",
        "0.0003", "BTC", "", 1_499_405_658_658_000_000,
    )  # fmt: skip
    assert expected == event
    assert order.apply(event)


@pytest.mark.parametrize(
    ("exec_type", "status", "kind"),
    [
        ("NEW", "NEW", ExecType.NEW),
        ("CANCELED", "CANCELED", ExecType.CANCELED),
        ("REJECTED", "REJECTED", ExecType.REJECTED),
        ("EXPIRED", "EXPIRED", ExecType.EXPIRED),
        ("TRADE_PREVENTION", "EXPIRED_IN_MATCH", ExecType.EXPIRED),
    ],
)
def test_other_reports(entry: BinanceOrderEntry, exec_type: str, status: str, kind: ExecType) -> None:
    """None of them is a fill."""
    event = report(entry, event_of(x=exec_type, X=status))
    assert (kind, 0, 0, "") == (event.exec_type, event.last_ticks, event.last_lots, event.exec_id)


def test_a_rejected_order_carries_its_reason(entry: BinanceOrderEntry) -> None:
    """The venue's word for it."""
    assert (
        "INSUFFICIENT_BALANCE" == report(entry, event_of(x="REJECTED", X="REJECTED", r="INSUFFICIENT_BALANCE")).reason
    )


def test_a_cancels_report_names_the_original_order(entry: BinanceOrderEntry, order: Order) -> None:
    """`c` is the cancel's own id then, `C` the order's."""
    event = report(entry, event_of(x="CANCELED", X="CANCELED", c="EhBfk2iWZ0", C="wsabc-1"))
    assert "wsabc-1" == event.cl_ord_id
    assert order.apply(event)
    assert OrderStatus.CANCELED is order.status


@pytest.mark.parametrize("reply_first", [True, False])
def test_a_fill_that_reply_and_event_both_report_counts_once(
    entry: BinanceOrderEntry, order: Order, *, reply_first: bool
) -> None:
    """By its trade id, whichever comes first."""
    replies = entry.receive(reply(RESULT | {"status": "FILLED", "fills": FILLS}))
    events = [
        report(entry, event_of()),
        report(entry, fill_event(57, "0.30000000", "0.30000000")),
        report(entry, fill_event(58, "0.20000000", "0.50000000", "FILLED")),
    ]
    changed = 0
    for each in [*replies, *events] if reply_first else [*events, *replies]:
        assert isinstance(each, ExecutionReport)
        changed += order.apply(each)
    assert (3, 50_000_000, OrderStatus.FILLED) == (changed, order.cum_lots, order.status)


@pytest.mark.parametrize("kind", ["outboundAccountPosition", "balanceUpdate", "listStatus"])
def test_other_events_concern_no_order(entry: BinanceOrderEntry, kind: str) -> None:
    """Fills say what happened to the balances."""
    assert () == entry.receive(json.dumps({"event": {"e": kind, "E": 1728972148778, "u": 1, "B": []}}).encode())


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"new":' + b"[" * 100_000,
        b'{"id":"wsabc-1","status":200}',
        b'{"id":"wsabc-1","status":200,"result":[]}',
        b'{"id":"wsabc-1","status":"200","result":{}}',
        b'{"id":"wsabc-1","status":400,"error":"no"}',
        b'{"id":null,"status":400,"error":{"code":-1102,"msg":"Bad JSON."}}',
        reply(RESULT | {"status": "NEW", "symbol": "ETHUSDT"}),
        reply(RESULT | {"status": "INVENTED"}),
        reply(RESULT | {"status": "NEW", "transactTime": 2**63}),
        reply(RESULT | {"status": "FILLED", "fills": [FILLS[0] | {"price": "52000.001"}]}),
        reply(RESULT | {"status": "FILLED", "fills": [FILLS[0] | {"qty": 0.3}]}),
        reply(RESULT | {"status": "FILLED", "fills": [{}]}),
        reply(RESULT | {"status": "NEW"})[:-1],
        json.dumps(event_of(X="INVENTED")).encode(),
        json.dumps(event_of(s="ETHUSDT")).encode(),
        json.dumps(event_of(E=-1)).encode(),
        json.dumps(event_of(z="-1")).encode(),
        json.dumps(fill_event(57, "0.300000001", "0.3")).encode(),
        b'{"event":{}}',
        b'{"event":7}',
    ],
)
def test_what_cannot_be_understood_is_malformed(entry: BinanceOrderEntry, payload: bytes) -> None:
    """One event that says why; never an exception."""
    (event,) = entry.receive(payload)
    assert isinstance(event, Malformed)
    assert event.reason


MESSAGES = [
    reply(RESULT | {"status": "FILLED", "fills": FILLS}),
    json.dumps(fill_event(57, "0.30000000", "0.30000000")).encode(),
    b'{"id":"wsabc-1","status":400,"error":{"code":-2010,"msg":"Words."}}',
]


@given(
    message=st.sampled_from(MESSAGES),
    at=st.integers(0, 500),
    length=st.integers(0, 4),
    inserted=st.binary(max_size=4),
    noise=st.binary(max_size=300),
)
def test_arbitrary_and_mutated_messages_never_raise(
    btc_usdt: Instrument, message: bytes, at: int, length: int, inserted: bytes, noise: bytes
) -> None:
    """Times fit the journal, whatever was sent."""
    entry = BinanceOrderEntry([btc_usdt], Credentials("key", "secret"))
    for payload in (noise, message[:at] + inserted + message[at + length :]):
        for event in entry.receive(payload):
            assert isinstance(event, ExecutionReport | SessionEvent | Malformed)
            if isinstance(event, ExecutionReport):
                assert event.exchange_ns is None or 0 <= event.exchange_ns < 2**63
                assert 0 <= event.last_lots < 2**63
