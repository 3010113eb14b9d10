"""One position that follows a signal: when to open it, when to close it, and the orders for that.

Owns the entry and exit rule and the pending order of one instrument. It never has two orders under way, never orders
into an empty, one-sided or crossed book, and pays no more than the best price that it saw: every order is a limit order
at the opposite side's best, immediate or cancel.
"""

from decimal import Decimal
from typing import Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from bot.strategy import Context, Order, StrategyParams, TimeInForce
from market.instrument import Instrument


class PositionParams(StrategyParams):
    """Parameters of a strategy that holds one position per instrument.

    Attributes:
        quantity: size of the position, base currency, a multiple of the instrument's lot.
        entry: open a position when the signal is at least this strong, in the signal's unit.
        exit: close it when the signal is at most this strong; below `entry`, so that noise around one threshold does
            not trade back and forth.
        long_only: whether to stay out of the market where the signal says sell.
        pause_ms: least time between two orders, milliseconds of message time. It bounds how often an order that was
            refused or found nothing left is tried again.
    """

    quantity: Decimal = Field(default=Decimal("0.001"), gt=0)
    entry: PositiveFloat
    exit: NonNegativeFloat
    long_only: bool = False
    pause_ms: NonNegativeInt = 1000

    @model_validator(mode="after")
    def _exit_inside_entry(self) -> Self:
        if self.exit >= self.entry:
            raise ValueError(f"exit must be less than entry, was {self.exit} and {self.entry}")
        return self


class OnePosition:
    """Brings one instrument's position to what a signal asks for: long, short or none.

    Args:
        params: see `PositionParams`.
        instrument: what to trade.

    Raises:
        ScaleError: the quantity is not a multiple of the instrument's lot.
    """

    __slots__ = ("_entry", "_exit", "_instrument", "_long_only", "_lots", "_order", "_pause_ns", "_resume_ns")

    def __init__(self, params: PositionParams, instrument: Instrument) -> None:
        self._entry = params.entry
        self._exit = params.exit
        self._long_only = params.long_only
        self._pause_ns = params.pause_ms * 1_000_000
        self._instrument = instrument
        self._lots = instrument.qty.count(params.quantity)
        self._order: Order | None = None
        self._resume_ns = 0

    def target_lots(self, signal: float, held_lots: int) -> int:
        """Return the position that a signal asks for.

        Args:
            signal: positive says buy, negative sell; its size is its strength.
            held_lots: the present position, negative when short.

        Returns:
            Lots, negative for short: the whole position where the signal reaches `entry`, what is held while the signal
            is stronger than `exit`, 0 otherwise. A position is closed before one on the other side is opened.
        """
        direction = 1 if signal > 0 else -1
        strength = signal * direction
        if held_lots * direction < 0 or strength <= self._exit:
            return 0
        if strength < self._entry:
            return held_lots
        return 0 if self._long_only and direction < 0 else direction * self._lots

    def follow(self, signal: float, ctx: Context) -> None:
        """Order what is missing to the target of the signal, unless an order is under way or the pause is not over."""
        order = self._order
        if order is not None and order.is_open:
            return
        instrument = self._instrument
        held_lots = ctx.position_lots(instrument)
        missing_lots = self.target_lots(signal, held_lots) - held_lots
        if not missing_lots or ctx.now_ns < self._resume_ns:
            return
        book = ctx.book(instrument)
        if not (book.bid_lots and book.ask_lots) or book.is_crossed:
            return
        self._resume_ns = ctx.now_ns + self._pause_ns
        quantity = instrument.qty.value(abs(missing_lots))
        if missing_lots > 0:
            self._order = ctx.buy(instrument, quantity, book.ask_ticks, TimeInForce.IOC)
        else:
            self._order = ctx.sell(instrument, quantity, book.bid_ticks, TimeInForce.IOC)
