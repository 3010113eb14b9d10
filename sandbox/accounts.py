"""Accounts of the exchange: balances that are free or locked by open orders, in whole units, never negative.

A unit is 1e-8 of an asset, the venue's finest. `ExchangeOrder` and `Execution` are the venue's own records of what an
account did; the trader's view of an order is `market.orders`, which this does not use beyond its enumerations.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct

from market.events import Side
from market.instrument import Instrument
from market.orders import ExecType, OrderStatus, TimeInForce


class InsufficientBalanceError(Exception):
    """The account does not have what an order would lock or spend."""


class Balance(Struct):
    """One asset of one account, in units."""

    free: int = 0
    locked: int = 0


class ExchangeOrder(Struct):
    """One order as the venue keeps it.

    Attributes:
        order_id: the venue's number, unique over all accounts.
        account: the owner's API key.
        client_id: the owner's name for it, unique among the owner's open orders.
        order_type: the venue's word, `LIMIT`, `LIMIT_MAKER` or `MARKET`.
        price_ticks: the limit, 0 for a market order.
        qty_lots: ordered quantity; for a market order by quote amount, what was filled.
        quote_units: the quote amount that a market order is to spend or receive, 0 when it has a quantity.
        cum_lots, cum_units: filled quantity, and the quote amount paid or received for it.
        created_us, updated_us: Unix µs.
    """

    order_id: int
    account: str
    instrument: Instrument
    client_id: str
    side: Side
    order_type: str
    time_in_force: TimeInForce
    price_ticks: int
    qty_lots: int
    quote_units: int
    created_us: int
    updated_us: int
    cum_lots: int = 0
    cum_units: int = 0
    status: OrderStatus = OrderStatus.NEW

    @property
    def leaves_lots(self) -> int:
        """What may still be filled."""
        return self.qty_lots - self.cum_lots


class Execution(Struct, frozen=True):
    """One fill of one order; a match of two own orders is two of these with the same trade id.

    Attributes:
        trade_id: the venue's number of the match.
        quote_units: price × quantity, in units of the quote asset.
        commission_units: the fee, in units of `commission_asset`, which is the asset received.
        time_us: Unix µs.
    """

    trade_id: int
    order_id: int
    account: str
    symbol: str
    side: Side
    price_ticks: int
    qty_lots: int
    quote_units: int
    commission_units: int
    commission_asset: str
    is_maker: bool
    time_us: int


class Report(Struct, frozen=True):
    """A step of an order, told while the order is in the state that the step left it in.

    Attributes:
        kind: what happened.
        order: the order; it changes later, so read it at once.
        execution: the fill, for TRADE.
        cancel_id: the client id of the cancel request, for CANCELED.
        time_us: Unix µs.
    """

    kind: ExecType
    order: ExchangeOrder
    time_us: int
    execution: Execution | None = None
    cancel_id: str = ""


class Positions(Struct, frozen=True):
    """Balances that an operation may have changed, after it; read at once."""

    balances: dict[str, Balance]
    time_us: int


Listener = Callable[[Report | Positions], None]


@dataclass(eq=False)
class Account:
    """One API key with its money and its open orders.

    Attributes:
        key, secret: what requests are signed with; never shown.
        balances: by asset.
        open_orders: by order id, oldest first.
        listeners: who is told of every step, the user data streams.
    """

    key: str
    secret: str = field(repr=False)
    balances: dict[str, Balance] = field(default_factory=dict)
    open_orders: dict[int, ExchangeOrder] = field(default_factory=dict)
    open_client_ids: dict[str, ExchangeOrder] = field(default_factory=dict)
    listeners: dict[Listener, None] = field(default_factory=dict)

    def balance(self, asset: str) -> Balance:
        """Return the balance of an asset, a new zero one when the account never held it."""
        return self.balances.setdefault(asset, Balance())

    def lock(self, asset: str, units: int) -> None:
        """Move free units to locked.

        Raises:
            InsufficientBalanceError: fewer are free.
        """
        balance = self.balance(asset)
        if balance.free < units:
            raise InsufficientBalanceError(asset)
        balance.free -= units
        balance.locked += units

    def unlock(self, asset: str, units: int) -> None:
        """Move locked units back to free."""
        balance = self.balance(asset)
        balance.locked -= units
        balance.free += units

    def tell(self, event: Report | Positions) -> None:
        """Tell every listener."""
        for listener in tuple(self.listeners):
            listener(event)
