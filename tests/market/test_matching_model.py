"""The matching engine against a second formulation of its rules, under any sequence of calls.

The engine keeps queues of own orders and stretches of outside liquidity. The model here keeps one flat list of own
orders, each with the number of outside lots ahead of it, and one aggregate a level.
"""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from market.events import Side
from market.instrument import Instrument
from market.matching import Fill, MatchingEngine, Outcome, RestingOrder
from market.orders import TimeInForce
from market.scale import Scale

STEP = Scale(Decimal(1))
ANYTHING = Instrument(1, "A-B", "x", "AB", "A", "B", STEP, STEP)

sides = st.sampled_from(Side)
prices = st.integers(1, 8)
quantities = st.integers(1, 9)


class Own:
    """An own order of the model; list order is time order."""

    def __init__(self, order_id: int, side: Side, ticks: int, lots: int, ahead: int) -> None:
        self.order_id, self.side, self.ticks, self.lots, self.ahead = order_id, side, ticks, lots, ahead


class Model:
    """Slow and obvious: every question is a search of everything."""

    def __init__(self) -> None:
        self.own: list[Own] = []
        self.outside: Counter[tuple[Side, int]] = Counter()

    def standing(self, side: Side) -> dict[int, int]:
        """Lots at each price of a side."""
        total: Counter[int] = Counter()
        for (at_side, ticks), lots in self.outside.items():
            total[ticks] += lots if at_side is side else 0
        for order in self.own:
            total[order.ticks] += order.lots if order.side is side else 0
        return {ticks: lots for ticks, lots in total.items() if lots}

    def reachable(self, taker: Side, limit: int) -> list[int]:
        """Prices that a taker with this limit meets, best first; limit 0 is none."""
        ticks = sorted(self.standing(taker.opposite), reverse=taker is Side.SELL)
        return [t for t in ticks if not limit or (t <= limit if taker is Side.BUY else t >= limit)]

    def hit(self, taker_id: int, taker: Side, ticks: int, lots: int) -> list[Fill]:
        """Serve one level from the front."""
        level = (taker.opposite, ticks)
        fills: list[Fill] = []
        eaten = 0

        def eat(up_to: int) -> int:
            gave = min(up_to - eaten, lots)
            if gave:
                fills.append(Fill(0, taker_id, taker, ticks, gave))
            return gave

        queue = [order for order in self.own if (order.side, order.ticks) == level]
        for order in queue:
            gave = eat(order.ahead)
            eaten, lots = eaten + gave, lots - gave
            gave = min(order.lots, lots)
            if gave:
                fills.append(Fill(order.order_id, taker_id, taker, ticks, gave))
            order.lots, lots = order.lots - gave, lots - gave
        eaten += eat(self.outside[level])
        self.outside[level] -= eaten
        for order in queue:
            order.ahead = max(order.ahead - eaten, 0)
        self.own = [order for order in self.own if order.lots]
        return fills

    def take(self, taker_id: int, taker: Side, lots: int, limit: int) -> list[Fill]:
        """Walk the levels."""
        fills: list[Fill] = []
        for ticks in self.reachable(taker, limit):
            fills += self.hit(taker_id, taker, ticks, lots - sum(fill.qty_lots for fill in fills))
        return fills

    def set_liquidity(self, side: Side, ticks: int, lots: int) -> list[Fill]:
        """Drop what is older and crossed, fill own orders, keep the rest."""
        fills: list[Fill] = []
        if lots:
            for crossed in self.reachable(side, ticks):
                self.aggregate(side.opposite, crossed, 0)
            fills = self.take(0, side, lots, ticks)
        self.aggregate(side, ticks, lots - sum(fill.qty_lots for fill in fills))
        return fills

    def aggregate(self, side: Side, ticks: int, lots: int) -> None:
        """Nobody has more ahead than there is."""
        self.outside[side, ticks] = lots
        for order in self.own:
            if (order.side, order.ticks) == (side, ticks):
                order.ahead = min(order.ahead, lots)

    def trade(self, ticks: int, lots: int, taker: Side) -> list[Fill]:
        """Own orders at better prices first, as if nothing were ahead of them; then the print's level."""
        fills: list[Fill] = []
        for better in self.reachable(taker, ticks):
            left = lots - sum(fill.qty_lots for fill in fills)
            if better == ticks:
                fills += self.hit(0, taker, ticks, left)
                continue
            level = (taker.opposite, better)
            hidden, aheads = self.outside[level], [order.ahead for order in self.own]
            kept = dict(zip((order.order_id for order in self.own), aheads, strict=True))
            self.aggregate(*level, 0)
            fills += self.hit(0, taker, better, left)
            self.outside[level] = hidden
            for order in self.own:
                order.ahead = kept[order.order_id]
        return [fill for fill in fills if fill.maker_id]

    def submit(
        self, order_id: int, side: Side, lots: int, ticks: int, time_in_force: TimeInForce, *, post_only: bool
    ) -> Outcome:
        """Match and rest."""
        reachable = self.reachable(side, ticks)
        if post_only and reachable:
            return Outcome([], reject="a post-only order would take liquidity")
        standing = self.standing(side.opposite)
        if time_in_force is TimeInForce.FOK and sum(standing[t] for t in reachable) < lots:
            return Outcome([], expired_lots=lots)
        fills = self.take(order_id, side, lots, ticks)
        rest = lots - sum(fill.qty_lots for fill in fills)
        if not rest or not ticks or time_in_force is not TimeInForce.GTC:
            return Outcome(fills, expired_lots=rest)
        self.own.append(Own(order_id, side, ticks, rest, self.outside[side, ticks]))
        return Outcome(fills, leaves_lots=rest)


class Matching(RuleBasedStateMachine):
    """Every call gives what the model gives; what must always hold is checked after each."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = MatchingEngine(ANYTHING)
        self.model = Model()
        self.order_id = 0
        self.ordered: Counter[int] = Counter()  # order id → lots neither filled, expired, cancelled nor rejected
        self.calls: list[tuple[Callable[[MatchingEngine], Any], Any]] = []

    def run(self, call: Callable[[MatchingEngine], Any]) -> Any:  # noqa: ANN401 - whatever the call returns
        """Call the engine and remember the call and its result."""
        result = call(self.engine)
        self.calls.append((call, result))
        return result

    def settle(self, fills: list[Fill]) -> None:
        """Take fills off the orders' open quantities."""
        for fill in fills:
            assert fill.qty_lots > 0
            for order_id in (fill.maker_id, fill.taker_id):
                self.ordered[order_id] -= fill.qty_lots if order_id else 0

    @rule(side=sides, ticks=prices, lots=st.integers(0, 9))
    def set_liquidity(self, side: Side, ticks: int, lots: int) -> None:
        """The outside market's aggregate changes."""
        fills = self.run(lambda engine: engine.set_liquidity(side, ticks, lots))
        assert self.model.set_liquidity(side, ticks, lots) == fills
        assert sum(fill.qty_lots for fill in fills) <= lots
        self.settle(fills)

    @rule(ticks=prices, lots=quantities, aggressor=sides)
    def trade(self, ticks: int, lots: int, aggressor: Side) -> None:
        """The outside market prints."""
        fills = self.run(lambda engine: engine.trade(ticks, lots, aggressor))
        assert self.model.trade(ticks, lots, aggressor) == fills
        assert sum(fill.qty_lots for fill in fills) <= lots
        self.settle(fills)

    @rule(
        side=sides,
        lots=st.integers(1, 20),
        ticks=st.integers(0, 8),
        time_in_force=st.sampled_from(TimeInForce),
        post_only=st.booleans(),
    )
    def submit(self, side: Side, lots: int, ticks: int, time_in_force: TimeInForce, post_only: bool) -> None:  # noqa: FBT001 - drawn
        """An own order arrives."""
        post_only = post_only and ticks > 0 and time_in_force is TimeInForce.GTC
        self.order_id += 1
        order_id = self.order_id
        outcome = self.run(
            lambda engine: engine.submit(order_id, side, lots, ticks, time_in_force, post_only=post_only)
        )
        assert self.model.submit(order_id, side, lots, ticks, time_in_force, post_only=post_only) == outcome
        if ticks:
            assert all(f.price_ticks <= ticks if side is Side.BUY else f.price_ticks >= ticks for f in outcome.fills)
        in_turn = sorted((fill.price_ticks for fill in outcome.fills), reverse=side is Side.SELL)
        assert in_turn == [fill.price_ticks for fill in outcome.fills]
        self.ordered[order_id] = 0 if outcome.reject else lots - outcome.expired_lots
        self.settle(outcome.fills)
        assert outcome.leaves_lots == self.ordered[order_id]

    @precondition(lambda self: self.model.own)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """An own order is cancelled."""
        order = data.draw(st.sampled_from(self.model.own))
        assert order.lots == self.run(lambda engine: engine.cancel(order.order_id))
        self.model.own.remove(order)
        self.ordered[order.order_id] = 0

    @rule()
    def clear_liquidity(self) -> None:
        """The outside market is forgotten."""
        self.run(lambda engine: engine.clear_liquidity())
        for side, ticks in list(self.model.outside):
            self.model.aggregate(side, ticks, 0)

    @invariant()
    def never_crossed(self) -> None:
        """The best bid is below the best ask over everything."""
        (bid, bid_lots), (ask, ask_lots) = self.engine.best(Side.BUY), self.engine.best(Side.SELL)
        assert not (bid_lots and ask_lots) or bid < ask

    @invariant()
    def quantity_is_conserved(self) -> None:
        """What was ordered and not filled, expired or cancelled rests, at the place where the model has it."""
        resting = self.engine.resting()
        assert +self.ordered == Counter({order.order_id: order.leaves_lots for order in resting})
        assert [RestingOrder(own.order_id, own.side, own.ticks, own.lots) for own in self.model.own] == resting

    @invariant()
    def tops_agree(self) -> None:
        """Both best levels of both sides are the model's."""
        for side, best in ((Side.BUY, max), (Side.SELL, min)):
            together = self.model.standing(side)
            outside = {t: lots for (at_side, t), lots in self.model.outside.items() if lots and at_side is side}
            for levels, found in ((together, self.engine.best(side)), (outside, self.engine.best_outside(side))):
                top = best(levels, default=0)
                assert (top, levels.get(top, 0)) == found

    def teardown(self) -> None:
        """The same calls on a fresh engine give the same results."""
        again = MatchingEngine(ANYTHING)
        assert [result for _, result in self.calls] == [call(again) for call, _ in self.calls]


def test_engine_equals_the_model() -> None:
    """Any sequence of calls agrees with the model, call by call."""
    run_state_machine_as_test(Matching, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))
