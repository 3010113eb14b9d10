"""The exchange itself: takes orders of accounts, matches them against the market, moves money, tells what happened.

No venue's protocol, no I/O but the store's, no clock: times are arguments. Money is whole units (1e-8 of an asset).
A limit order locks what it may have to pay: limit price × open quantity in the quote asset, or its open quantity in the
base asset. A market order locks nothing and takes the book level by level while the account can pay. Commission is a
share of the asset received, rounded down to a unit.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from market.events import Side
from market.instrument import Instrument
from market.matching import Fill
from market.orders import ExecType, OrderStatus, TimeInForce
from sandbox.accounts import Account, ExchangeOrder, Execution, InsufficientBalanceError, Positions, Report
from sandbox.money import RATE_PARTS, lot_units, rate_parts, tick_lot_units, whole_units
from sandbox.publication import Publication, Reset
from sandbox.store import Store
from sandbox.venue_market import VenueMarket


class WouldTakeError(Exception):
    """A post-only order would take liquidity."""


class DuplicateClientIdError(Exception):
    """An open order of the account has this client id."""


class Exchange:
    """All markets and accounts.

    Args:
        instruments: what is listed.
        store: where accounts and orders are kept; what it holds is restored.
        accounts: (key, secret) of every account.
        starting: balances of a new account, by asset.
        maker_fee, taker_fee: commission as a share of what is received.

    Raises:
        OptionsError: a fee is not a whole number of millionths below 1, or a starting balance not of units.
        StoreError: an order in the store is of an unlisted instrument.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        store: Store,
        accounts: Iterable[tuple[str, str]],
        starting: Mapping[str, Decimal],
        *,
        maker_fee: Decimal,
        taker_fee: Decimal,
    ) -> None:
        self.markets = {instrument.symbol: VenueMarket(instrument) for instrument in instruments}
        self.accounts = {key: Account(key, secret) for key, secret in accounts}
        self.maker_fee, self.taker_fee = maker_fee, taker_fee
        self._fee_parts = {True: rate_parts(maker_fee), False: rate_parts(taker_fee)}
        self._store = store
        self._order_id, self._trade_id = store.last_ids()
        self._orders: dict[int, ExchangeOrder] = {}  # the open ones
        for account in self.accounts.values():
            self._restore(account, starting)
        self._restore_orders()
        store.commit()

    def _restore(self, account: Account, starting: Mapping[str, Decimal]) -> None:
        account.balances = self._store.load_balances(account.key)
        if not account.balances:
            for asset, amount in starting.items():
                account.balance(asset).free = whole_units(amount)
            self._store.put_balances(account, account.balances)

    def _restore_orders(self) -> None:
        for order in self._store.load_open_orders():
            account = self.accounts.get(order.account)
            if account is None:
                continue  # its account is not served this time; it stays in the store
            self._open(account, order)
            engine = self.markets[order.instrument.symbol].engine
            engine.submit(order.order_id, order.side, order.leaves_lots, order.price_ticks)

    def apply(self, entry: Publication | Reset, now_us: int) -> None:
        """Let the outside market act, and fill what it meets."""
        if isinstance(entry, Reset):
            market = self.markets[entry.snapshot.instrument.symbol]
            fills = market.reset(entry.snapshot)
        else:
            market = self.markets[entry.event.instrument.symbol]
            fills = market.apply(entry.event, now_us // 1_000_000)
        if fills:
            self._settle(fills, now_us)

    def place(self, account: Account, order: ExchangeOrder, *, post_only: bool = False) -> list[Execution]:
        """Take a new order.

        Args:
            account: whose it is.
            order: the order, within the venue's filters; its `order_id` is given here.
            post_only: refuse it rather than let it take liquidity.

        Returns:
            The fills it met at once.

        Raises:
            InsufficientBalanceError, DuplicateClientIdError, WouldTakeError: it is refused and nothing has changed.
        """
        if order.client_id in account.open_client_ids:
            raise DuplicateClientIdError(order.client_id)
        order.order_id = self._order_id + 1
        fills, rests = self._match(account, order, post_only=post_only)
        self._order_id += 1
        self._open(account, order)
        account.tell(Report(ExecType.NEW, order, order.created_us))
        executions = self._settle(fills, order.created_us, account)
        if order.status is not OrderStatus.FILLED and not rests:
            self._close(account, order, OrderStatus.EXPIRED)
            account.tell(Report(ExecType.EXPIRED, order, order.created_us))
        self._tell_positions(account, order.instrument, order.created_us)
        return [execution for execution in executions if execution.order_id == order.order_id]

    def cancel(self, account: Account, order: ExchangeOrder, cancel_id: str, now_us: int) -> None:
        """Take an open order of the account out of the book.

        Args:
            account: whose it is.
            order: one of its open orders.
            cancel_id: the client id of the request.
            now_us: Unix µs.
        """
        self.markets[order.instrument.symbol].engine.cancel(order.order_id)
        order.updated_us = now_us
        self._close(account, order, OrderStatus.CANCELED)
        account.tell(Report(ExecType.CANCELED, order, now_us, cancel_id=cancel_id))
        self._tell_positions(account, order.instrument, now_us)

    def _match(self, account: Account, order: ExchangeOrder, *, post_only: bool) -> tuple[list[Fill], bool]:
        """Lock what the order needs and let it match; return its fills and whether the rest of it stands."""
        if order.order_type == "MARKET":
            return self._take_levels(account, order), False
        account.lock(*self._held(order, order.qty_lots))
        engine = self.markets[order.instrument.symbol].engine
        outcome = engine.submit(
            order.order_id, order.side, order.qty_lots, order.price_ticks, order.time_in_force, post_only=post_only
        )
        if outcome.reject:
            account.unlock(*self._held(order, order.qty_lots))
            raise WouldTakeError(outcome.reject)
        return outcome.fills, bool(outcome.leaves_lots)

    def _take_levels(self, account: Account, order: ExchangeOrder) -> list[Fill]:
        """Match a market order one level at a time, as far as the account can pay."""
        instrument = order.instrument
        engine = self.markets[instrument.symbol].engine
        ticks, lots = engine.best(order.side.opposite)
        self._check_affordable(account, order, ticks)
        fills: list[Fill] = []
        taken_lots = spent_units = 0
        while lots:
            lot_price = ticks * tick_lot_units(instrument)
            wanted = order.qty_lots - taken_lots
            if order.quote_units:
                wanted = (order.quote_units - spent_units) // lot_price
            if order.side is Side.BUY:
                payable = (account.balance(instrument.quote).free - spent_units) // lot_price
            else:
                payable = account.balance(instrument.base).free // lot_units(instrument) - taken_lots
            if order.quote_units or payable < wanted:
                wanted = min(wanted, payable)
                wanted -= wanted % instrument.limits.min_qty_lots
            if wanted <= 0:
                break
            outcome = engine.submit(order.order_id, order.side, min(lots, wanted), ticks, TimeInForce.IOC)
            fills += outcome.fills
            taken_lots += min(lots, wanted)
            spent_units += min(lots, wanted) * lot_price
            ticks, lots = engine.best(order.side.opposite)
        if order.quote_units:
            order.qty_lots = taken_lots
        return fills

    def _check_affordable(self, account: Account, order: ExchangeOrder, best_ticks: int) -> None:
        """Refuse a market order that the account could not pay for even if all of it filled at the best price."""
        instrument = order.instrument
        lot_price = best_ticks * tick_lot_units(instrument)
        if order.side is Side.BUY:
            short = account.balance(instrument.quote).free < (order.quote_units or order.qty_lots * lot_price)
        else:
            lots = order.quote_units // lot_price if order.quote_units and lot_price else order.qty_lots
            short = account.balance(instrument.base).free < lots * lot_units(instrument)
        if short:
            raise InsufficientBalanceError(instrument.quote if order.side is Side.BUY else instrument.base)

    def _settle(self, fills: list[Fill], now_us: int, taker: Account | None = None) -> list[Execution]:
        """Move the money of matches and tell the owners; the taker is told its positions by the caller."""
        executions = []
        makers: dict[tuple[Account, Instrument], None] = {}
        for fill in fills:
            self._trade_id += 1
            for order_id in (fill.maker_id, fill.taker_id):
                if order_id:
                    order = self._orders[order_id]
                    account = self.accounts[order.account]
                    executions.append(self._execute(account, order, fill, now_us))
                    if account is not taker:
                        makers[account, order.instrument] = None
        for account, instrument in makers:
            self._tell_positions(account, instrument, now_us)
        return executions

    def _execute(self, account: Account, order: ExchangeOrder, fill: Fill, now_us: int) -> Execution:
        instrument = order.instrument
        quote_units = fill.price_ticks * fill.qty_lots * tick_lot_units(instrument)
        base_units = fill.qty_lots * lot_units(instrument)
        is_maker = order.order_id == fill.maker_id
        buys = order.side is Side.BUY
        received = (instrument.base, base_units) if buys else (instrument.quote, quote_units)
        paid = (instrument.quote, quote_units) if buys else (instrument.base, base_units)
        if order.price_ticks:
            account.unlock(*self._held(order, fill.qty_lots))
        account.balance(paid[0]).free -= paid[1]
        commission_units = received[1] * self._fee_parts[is_maker] // RATE_PARTS
        account.balance(received[0]).free += received[1] - commission_units
        order.cum_lots += fill.qty_lots
        order.cum_units += quote_units
        order.updated_us = now_us
        if order.leaves_lots:
            order.status = OrderStatus.PARTIALLY_FILLED
            self._store.put_order(order)
        else:
            self._close(account, order, OrderStatus.FILLED)
        execution = Execution(
            self._trade_id, order.order_id, account.key, instrument.symbol, order.side, fill.price_ticks, fill.qty_lots,
            quote_units, commission_units, received[0], is_maker, now_us,
        )  # fmt: skip
        self._store.put_execution(execution)
        account.tell(Report(ExecType.TRADE, order, now_us, execution))
        return execution

    def _open(self, account: Account, order: ExchangeOrder) -> None:
        self._orders[order.order_id] = account.open_orders[order.order_id] = order
        account.open_client_ids[order.client_id] = order
        self._store.put_order(order)

    def _close(self, account: Account, order: ExchangeOrder, status: OrderStatus) -> None:
        if order.price_ticks:
            account.unlock(*self._held(order, order.leaves_lots))
        order.status = status
        del self._orders[order.order_id], account.open_orders[order.order_id]
        del account.open_client_ids[order.client_id]
        self._store.put_order(order)

    def _tell_positions(self, account: Account, instrument: Instrument, now_us: int) -> None:
        assets = (instrument.base, instrument.quote)
        self._store.put_balances(account, assets)
        account.tell(Positions({asset: account.balance(asset) for asset in assets}, now_us))

    @staticmethod
    def _held(order: ExchangeOrder, lots: int) -> tuple[str, int]:
        """Return what a limit order locks for so many lots: asset and units."""
        instrument = order.instrument
        if order.side is Side.BUY:
            return instrument.quote, lots * order.price_ticks * tick_lot_units(instrument)
        return instrument.base, lots * lot_units(instrument)
