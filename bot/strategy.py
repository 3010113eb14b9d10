"""The plug-in interface: what a strategy is given and what it may do.

A strategy is a class with synchronous callbacks. It reads no clock, opens no socket and keeps its state in itself, so
that the same messages always lead it to the same intents; `wirestamp replay` holds it to that. Only the callbacks that
a class overrides are subscribed.
"""

from decimal import Decimal
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from market.book import OrderBook
from market.events import Quote, Trade
from market.instrument import Instrument
from market.orders import Order, TimeInForce

__all__ = ["Context", "Order", "OrderBook", "Quote", "Strategy", "StrategyParams", "TimeInForce", "Trade"]


class StrategyParams(BaseModel):
    """Base of a strategy's parameters: the `[strategy.params]` table, checked before anything starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Context(Protocol):
    """What a strategy may ask for while one of its callbacks runs."""

    @property
    def now_ns(self) -> int:
        """When the message that is being handled was read, ns since the epoch."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instruments of all feeds of this trader."""

    def book(self, instrument: Instrument) -> OrderBook:
        """Return the instrument's order book; empty until it is synchronised."""

    def position_lots(self, instrument: Instrument) -> int:
        """Return what this strategy's own fills add up to, in lots; negative when short."""

    def buy(
        self,
        instrument: Instrument,
        quantity: Decimal,
        limit_ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> Order | None:
        """Send a buy order at once.

        Args:
            instrument: what to buy.
            quantity: in base currency, a multiple of the instrument's lot size.
            limit_ticks: the highest price, in ticks; 0 for a market order.
            time_in_force: how long a limit order stands.

        Returns:
            The order, or None when the risk check or the venue's filters refused it (counted, journalled, shown).

        Raises:
            ScaleError: the quantity is not a positive multiple of the lot size.
        """

    def sell(
        self,
        instrument: Instrument,
        quantity: Decimal,
        limit_ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> Order | None:
        """Send a sell order at once (see `buy`)."""

    def cancel(self, order: Order) -> None:
        """Ask the venue to cancel an open order; `on_order` tells what came of it."""


class Strategy:
    """Base of all strategies.

    Args:
        params: the checked parameters, an instance of the class's `Params`.
    """

    Params: ClassVar[type[StrategyParams]] = StrategyParams
    state_version: ClassVar[int] = 1  # raise it when `save` changes its form

    def __init__(self, params: Any) -> None:  # noqa: ANN401 - each subclass has a Params of its own
        self.params = params

    def on_start(self, ctx: Context) -> None:
        """Run once before the first message."""

    def on_trade(self, trade: Trade, ctx: Context) -> None:
        """Run for every trade of the market."""

    def on_quote(self, quote: Quote, ctx: Context) -> None:
        """Run for every change of the best bid and offer that the venue reports."""

    def on_book(self, book: OrderBook, ctx: Context) -> None:
        """Run after every change of a synchronised order book."""

    def on_order(self, order: Order, ctx: Context) -> None:
        """Run after every change of one of this strategy's orders."""

    def on_timer(self, ctx: Context) -> None:
        """Run once a second."""

    def on_stop(self, ctx: Context) -> None:
        """Run once after the last message."""

    def save(self) -> dict[str, Any]:
        """Return what `load` needs to go on, as JSON-able values; restarts and swaps will ask for it."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Take over the state that an instance of the same name and `state_version` saved."""


CALLBACKS = ("on_start", "on_trade", "on_quote", "on_book", "on_order", "on_timer", "on_stop")
