"""The checks in front of every order: the configuration's limits and the venue's own filters. Pure, integers, O(1)."""

from collections.abc import Iterable
from decimal import Decimal

from market.instrument import Instrument


class _Bounds:
    """One instrument's limits as integers: lots, ticks, and tick-lots for notionals."""

    __slots__ = (
        "max_lots", "max_market_lots", "max_notional", "max_ticks",
        "min_lots", "min_notional", "min_ticks", "step_lots",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, max_order_notional: Decimal | None) -> None:
        limits = instrument.limits
        unlimited = 2**63
        self.step_lots = limits.qty_step_lots
        self.min_lots = max(limits.min_qty_lots, 1)
        self.max_lots = limits.max_qty_lots or unlimited
        self.max_market_lots = min(limits.max_market_qty_lots or unlimited, self.max_lots)
        self.min_ticks = max(limits.min_price_ticks, 1)
        self.max_ticks = limits.max_price_ticks or unlimited
        caps = [cap for cap in (limits.max_notional, max_order_notional) if cap is not None]
        self.max_notional = instrument.notional_units(min(caps)) if caps else None
        floor = limits.min_notional or Decimal(0)
        self.min_notional = -instrument.notional_units(-floor)  # rounded up


class Risk:
    """Refuses orders that the configuration or the venue does not allow.

    Args:
        instruments: what may be traded.
        max_order_notional: the largest value of one order in quote currency, None for no limit.
    """

    def __init__(self, instruments: Iterable[Instrument], max_order_notional: Decimal | None = None) -> None:
        self._bounds = {instrument: _Bounds(instrument, max_order_notional) for instrument in instruments}

    def refusal(self, instrument: Instrument, qty_lots: int, limit_ticks: int, reference_ticks: int) -> str | None:
        """Say why an order may not be sent.

        Args:
            instrument: what it is for.
            qty_lots: its quantity.
            limit_ticks: its limit, 0 for a market order.
            reference_ticks: the last price seen, 0 when none was.

        Returns:
            The limit, its value and the order's; None when the order may be sent.
        """
        bounds = self._bounds[instrument]
        max_lots = bounds.max_lots if limit_ticks else bounds.max_market_lots
        if not bounds.min_lots <= qty_lots <= max_lots or qty_lots % bounds.step_lots:
            return _bad_quantity(instrument, bounds, qty_lots, max_lots)
        if limit_ticks and not bounds.min_ticks <= limit_ticks <= bounds.max_ticks:
            return _bad_price(instrument, bounds, limit_ticks)
        price_ticks = limit_ticks or reference_ticks
        notional = price_ticks * qty_lots
        if not notional:
            return "no price is known yet to value a market order" if bounds.max_notional is not None else None
        if notional < bounds.min_notional:
            least = instrument.notional(1, bounds.min_notional)
            return f"notional {instrument.notional(price_ticks, qty_lots)} is below {least} {instrument.quote}"
        if bounds.max_notional is not None and notional > bounds.max_notional:
            most = instrument.notional(1, bounds.max_notional)
            return f"notional {instrument.notional(price_ticks, qty_lots)} exceeds {most} {instrument.quote}"
        return None


def _bad_quantity(instrument: Instrument, bounds: _Bounds, qty_lots: int, max_lots: int) -> str:
    text = instrument.qty.text
    limits = f"within {text(bounds.min_lots)} to {text(max_lots)} in steps of {text(bounds.step_lots)}"
    return f"quantity {text(qty_lots)} is not {limits}"


def _bad_price(instrument: Instrument, bounds: _Bounds, limit_ticks: int) -> str:
    text = instrument.price.text
    return f"price {text(limit_ticks)} is not within {text(bounds.min_ticks)} to {text(bounds.max_ticks)}"
