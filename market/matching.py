"""Price-time priority matching of one instrument, for a simulated venue whose market is somebody else's.

Owns the resting orders of all simulated accounts ("own" below) and, beside them, the liquidity of the outside market,
which is known only as one aggregate a level. Both stand in the same queues:

- Outside liquidity that was present when an order arrived stands ahead of it. When the aggregate grows, the growth
  joins the back; when it shrinks, the back leaves first: an order advances only once less is left than stood ahead.
- What a fill took of the outside liquidity stays taken until the outside market sets that level again.
- Own orders of different accounts match one another by the same rule, at the resting order's price.
- After every call the best bid is below the best ask, over everything. Outside levels that cross are settled by the
  newer one: older outside liquidity that it crosses is gone, own orders that it crosses are filled.

Quantities are whole lots and prices whole ticks; nothing here does I/O or reads a clock, and equal calls give equal
results. Order ids are the caller's, positive, and unique among the orders that rest; 0 is the outside market.
"""

from collections import OrderedDict

from msgspec import Struct

from market.events import Level, Side
from market.instrument import Instrument
from market.orders import TimeInForce
from market.queues import QueuedSide
from market.scale import MAX_COUNT

OUTSIDE = 0  # the id of everybody who is not an own order
WOULD_TAKE = "a post-only order would take liquidity"


class UnknownOrder(KeyError):
    """No order with this id rests here: it never did, or it has been filled or cancelled. The caller's mistake."""


class Fill(Struct, frozen=True, gc=False):
    """One match.

    Attributes:
        maker_id: the resting order, 0 for outside liquidity.
        taker_id: the incoming order, 0 for the outside market's own taker (a print, or a level that crosses).
        taker_side: the side that took.
        price_ticks: always the maker's price.
        qty_lots: how much, positive.
    """

    maker_id: int
    taker_id: int
    taker_side: Side
    price_ticks: int
    qty_lots: int


class Outcome(Struct):
    """What became of a submitted order: its fills, leaves and expired lots add up to its quantity unless rejected.

    Attributes:
        fills: in the order in which they happened.
        leaves_lots: what rests in the book now.
        expired_lots: what was neither filled nor left to rest.
        reject: why the order was refused as a whole, empty when it was not.
    """

    fills: list[Fill]
    leaves_lots: int = 0
    expired_lots: int = 0
    reject: str = ""


class RestingOrder(Struct, frozen=True, gc=False):
    """An own order in the book."""

    order_id: int
    side: Side
    price_ticks: int
    leaves_lots: int


class MatchingEngine:
    """The combined book of own orders and outside liquidity of one instrument.

    Attributes:
        instrument: what is traded; the engine counts in its ticks and lots.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._bids = QueuedSide(1)
        self._asks = QueuedSide(-1)
        self._orders: dict[int, tuple[Side, int]] = {}  # order id → side, price in ticks

    def set_liquidity(self, side: Side, price_ticks: int, qty_lots: int) -> list[Fill]:
        """Take over the outside market's aggregate at one level, as a depth update gives it.

        An aggregate that crosses takes: own orders fill at their own prices, in price-time order and never more than
        `qty_lots`; the rest of the aggregate stands. Older outside liquidity that it crosses is dropped.

        Args:
            side: the side of the level.
            price_ticks: its price, positive.
            qty_lots: the new aggregate without own orders, 0 when the level is gone.

        Returns:
            Fills of own orders, `maker_id` set and `taker_id` 0.

        Raises:
            ValueError: the price is not positive or the quantity is negative.
        """
        if price_ticks <= 0 or qty_lots < 0:
            raise ValueError(f"a level has a positive price and no negative quantity, was {qty_lots} at {price_ticks}")
        half, makers = self._sides(side)
        fills: list[Fill] = []
        if qty_lots and makers.is_met_by(price_ticks):
            makers.drop_outside(makers.sign * price_ticks)
            fills = self._match(OUTSIDE, side, qty_lots, price_ticks)
            qty_lots -= sum(fill.qty_lots for fill in fills)
        key = half.sign * price_ticks
        if qty_lots or key in half.queues:
            half.queue(key).set_outside(qty_lots)
            half.prune(key)
        return fills

    def clear_liquidity(self) -> None:
        """Forget the outside market, before a new snapshot of it; own orders stay and keep their order."""
        for half in (self._bids, self._asks):
            if half.keys:
                half.drop_outside(half.keys[0])

    def trade(self, price_ticks: int, qty_lots: int, aggressor: Side) -> list[Fill]:
        """Let a print of the outside market trade with the own orders that it would have met.

        Own orders at a better price than the print fill first. At its price the queue is served from the front, so own
        orders fill after the outside liquidity ahead of them is used up. Outside liquidity at better prices is left
        alone: the next update of the outside market says what became of it.

        Args:
            price_ticks: the print's price.
            qty_lots: its quantity, which the fills never exceed in total.
            aggressor: the side that took.

        Returns:
            Fills of own orders, `maker_id` set and `taker_id` 0, at their own prices.

        Raises:
            ValueError: price or quantity is not positive.
        """
        if price_ticks <= 0 or qty_lots <= 0:
            raise ValueError(f"a trade has a positive price and quantity, was {qty_lots} at {price_ticks}")
        _, makers = self._sides(aggressor)
        price_key = makers.sign * price_ticks
        fills: list[Fill] = []
        for key in makers.from_best(price_key):
            if not qty_lots:
                break
            met = self._take(makers, key, OUTSIDE, aggressor, qty_lots, own_only=key != price_key)
            qty_lots -= sum(fill.qty_lots for fill in met)
            fills += [fill for fill in met if fill.maker_id]
        return fills

    def submit(
        self,
        order_id: int,
        side: Side,
        qty_lots: int,
        price_ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
        *,
        post_only: bool = False,
    ) -> Outcome:
        """Match a new own order, and let the rest of a good-till-cancelled limit order stand.

        A market order and an IOC order expire what they cannot fill at once. A FOK order fills whole or expires whole.

        Args:
            order_id: the caller's positive number for it; not that of an order that rests.
            side: its side.
            qty_lots: its quantity, positive.
            price_ticks: its limit, 0 for a market order.
            time_in_force: how long it lasts; a market order never rests.
            post_only: reject it rather than let it take; for limit orders that may rest.

        Returns:
            Its fills and what became of the rest.

        Raises:
            ValueError: the id is taken or not positive, a number is out of range, or `post_only` cannot apply.
        """
        if order_id <= 0 or order_id in self._orders:
            raise ValueError(f"an order id must be positive and not rest already, was {order_id}")
        if qty_lots <= 0 or price_ticks < 0:
            raise ValueError(f"an order has a positive quantity and no negative price, was {qty_lots} at {price_ticks}")
        may_rest = price_ticks > 0 and time_in_force is TimeInForce.GTC
        if post_only and not may_rest:
            raise ValueError("post_only is for limit orders that may rest")
        limit_ticks = price_ticks or (MAX_COUNT if side is Side.BUY else 0)
        half, makers = self._sides(side)
        if post_only and makers.is_met_by(limit_ticks):
            return Outcome([], reject=WOULD_TAKE)
        if time_in_force is TimeInForce.FOK and not _can_fill(makers, qty_lots, limit_ticks):
            return Outcome([], expired_lots=qty_lots)
        fills = self._match(order_id, side, qty_lots, limit_ticks)
        rest_lots = qty_lots - sum(fill.qty_lots for fill in fills)
        if not (rest_lots and may_rest):
            return Outcome(fills, expired_lots=rest_lots)
        half.queue(half.sign * price_ticks).entries[order_id] = rest_lots
        self._orders[order_id] = (side, price_ticks)
        return Outcome(fills, leaves_lots=rest_lots)

    def cancel(self, order_id: int) -> int:
        """Take an own order out of the book.

        Returns:
            The lots that were still open.

        Raises:
            UnknownOrder: no such order rests.
        """
        if order_id not in self._orders:
            raise UnknownOrder(order_id)
        side, price_ticks = self._orders.pop(order_id)
        half, _ = self._sides(side)
        key = half.sign * price_ticks
        leaves_lots = half.queues[key].entries.pop(order_id)
        half.prune(key)
        return leaves_lots

    def resting(self) -> list[RestingOrder]:
        """Return the own orders in the book, oldest first."""
        return [
            RestingOrder(order_id, side, ticks, self._entries(side, ticks)[order_id])
            for order_id, (side, ticks) in self._orders.items()
        ]

    def best(self, side: Side) -> Level:
        """Return the best level of a side, own orders and outside liquidity together; (0, 0) when the side is empty."""
        half, _ = self._sides(side)
        if not half.keys:
            return (0, 0)
        key = half.keys[-1]
        return (abs(key), half.queues[key].total_lots)

    def best_outside(self, side: Side) -> Level:
        """Return the best level of the outside market with its liquidity; (0, 0) when the side has none."""
        half, _ = self._sides(side)
        for key in reversed(half.keys):
            if lots := half.queues[key].outside_lots:
                return (abs(key), lots)
        return (0, 0)

    def _entries(self, side: Side, price_ticks: int) -> OrderedDict[int, int]:
        half, _ = self._sides(side)
        return half.queues[half.sign * price_ticks].entries

    def _sides(self, side: Side) -> tuple[QueuedSide, QueuedSide]:
        """Return the order's own side of the book and the side that it would take from."""
        return (self._bids, self._asks) if side is Side.BUY else (self._asks, self._bids)

    def _match(self, taker_id: int, side: Side, lots: int, limit_ticks: int) -> list[Fill]:
        """Take up to `lots` at the limit or better."""
        _, makers = self._sides(side)
        fills: list[Fill] = []
        while lots and makers.is_met_by(limit_ticks):
            met = self._take(makers, makers.keys[-1], taker_id, side, lots, own_only=False)
            lots -= sum(fill.qty_lots for fill in met)
            fills += met
        return fills

    def _take(
        self, makers: QueuedSide, key: int, taker_id: int, side: Side, lots: int, *, own_only: bool
    ) -> list[Fill]:
        """Take up to `lots` from one level."""
        queue = makers.queues[key]
        fills = []
        for entry, gave in queue.take(lots, own_only=own_only):
            fills.append(Fill(max(entry, OUTSIDE), taker_id, side, abs(key), gave))
            if entry > 0 and entry not in queue.entries:
                del self._orders[entry]
        makers.prune(key)
        return fills


def _can_fill(makers: QueuedSide, qty_lots: int, limit_ticks: int) -> bool:
    for key in makers.from_best(makers.sign * limit_ticks):
        qty_lots -= makers.queues[key].total_lots
        if qty_lots <= 0:
            return True
    return False
