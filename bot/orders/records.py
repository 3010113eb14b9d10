"""How intents and executions are written into the journal: one canonical form, the same in a run and in its replay."""

from typing import Literal

import msgspec
from msgspec import Struct

from market.orders import ExecutionReport, Order


class Intent(Struct, frozen=True):
    """What a strategy decided and the risk check let through, before signing and masking.

    `qty_lots` and `price_ticks` are at the instrument's scale; `ordinal` numbers the run's orders.
    """

    action: Literal["place", "cancel"]
    ordinal: int
    cause: int
    strategy: str
    instrument: int
    side: int
    order_type: int
    qty_lots: int
    price_ticks: int
    time_in_force: int
    cl_ord_id: str


class Execution(Struct, frozen=True):
    """An execution report that changed an order."""

    ordinal: int
    instrument: int
    side: int
    status: int
    exec_type: int
    last_ticks: int
    last_lots: int
    exec_id: str
    commission: str
    commission_asset: str
    reason: str
    exchange_ns: int | None


encode = msgspec.json.Encoder().encode
decode_intent = msgspec.json.Decoder(Intent).decode
decode_execution = msgspec.json.Decoder(Execution).decode


def intent_of(order: Order, action: Literal["place", "cancel"], cause: int) -> Intent:
    """Return the canonical form of placing or cancelling an order, caused by the message with this trace id."""
    return Intent(
        action,
        order.ordinal,
        cause,
        order.strategy,
        order.instrument.id,
        order.side,
        order.order_type,
        order.qty_lots,
        order.price_ticks,
        order.time_in_force,
        order.cl_ord_id,
    )


def execution_of(order: Order, report: ExecutionReport) -> Execution:
    """Return the canonical form of a report that changed an order."""
    return Execution(
        order.ordinal,
        order.instrument.id,
        order.side,
        order.status,
        report.exec_type,
        report.last_ticks,
        report.last_lots,
        report.exec_id,
        report.commission,
        report.commission_asset,
        report.reason,
        report.exchange_ns,
    )
