"""An exchange of the tests' own making: one market with a known book, two accounts, and orders for them."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from market.events import BookDelta, BookSnapshot, Level, Side, Trade
from market.orders import TimeInForce
from sandbox.accounts import Account, ExchangeOrder, Execution, Positions, Report
from sandbox.binance_symbols import BTCUSDT
from sandbox.exchange import Exchange
from sandbox.publication import Publication, Reset
from sandbox.store import Store

FEE = Decimal("0.001")
COIN = 1_000_000  # lots in one BTC
TICK = 100  # ticks in one USDT
BIDS: Sequence[Level] = [(100 * TICK, COIN), (99 * TICK, 2 * COIN)]
ASKS: Sequence[Level] = [(101 * TICK, COIN), (102 * TICK, 2 * COIN)]


class Lab:
    """An exchange with accounts `ann` and `bob`, who have 1,000 USDT and 10 BTC each."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lab.sqlite"
        self.now_us = 1_000_000
        self._orders = 0
        self.open()
        self.exchange.apply(Reset(0, BookSnapshot(BTCUSDT, list(BIDS), list(ASKS), 10, None)), self.now_us)

    def open(self) -> None:
        """Start the exchange on what its store holds."""
        self.store = Store(self._path, {"BTCUSDT": BTCUSDT})
        starting = {"USDT": Decimal(1000), "BTC": Decimal(10)}
        accounts = [("ann", "a"), ("bob", "b")]
        self.exchange = Exchange([BTCUSDT], self.store, accounts, starting, maker_fee=FEE, taker_fee=FEE)
        self.ann, self.bob = self.exchange.accounts["ann"], self.exchange.accounts["bob"]
        self.told: list[tuple[str, ...]] = []
        for account in (self.ann, self.bob):
            account.listeners[partial(self._hear, account.key)] = None

    def order(
        self,
        account: Account,
        side: Side,
        lots: int,
        ticks: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
        client_id: str = "",
        quote_units: int = 0,
    ) -> ExchangeOrder:
        """Return a new order, market when no price is given."""
        self._orders += 1
        return ExchangeOrder(
            0, account.key, BTCUSDT, client_id or f"c{self._orders}", side, "LIMIT" if ticks else "MARKET",
            time_in_force, ticks, lots, quote_units, self.now_us, self.now_us,
        )  # fmt: skip

    def place(self, account: Account, side: Side, lots: int, ticks: int = 0, **changes: Any) -> ExchangeOrder:  # noqa: ANN401 - as `order` takes
        """Place an order and return it."""
        order = self.order(account, side, lots, ticks, **changes)
        self.exchange.place(account, order)
        return order

    def trade(self, ticks: int, lots: int, aggressor: Side) -> None:
        """Let the outside market print a trade."""
        self._apply(Trade(BTCUSDT, ticks, lots, aggressor, 1, None))

    def depth(self, sequence: int, bids: list[Level], asks: list[Level]) -> None:
        """Let the outside market change."""
        self._apply(BookDelta(BTCUSDT, bids, asks, sequence, None))

    def _hear(self, key: str, event: Report | Positions) -> None:
        self.told.append(_line(key, event))

    @staticmethod
    def money(account: Account) -> dict[str, tuple[int, int]]:
        """Return what of each asset is free and locked, in units."""
        return {asset: (balance.free, balance.locked) for asset, balance in account.balances.items()}

    def _apply(self, event: Trade | BookDelta) -> None:
        self.exchange.apply(Publication(0, "", (), (), event), self.now_us)


def _line(key: str, event: Report | Positions) -> tuple[str, ...]:
    if isinstance(event, Positions):
        return (key, "POSITIONS")
    fill: Execution | None = event.execution
    status = "NEW" if event.kind.name == "NEW" else event.order.status.name
    return (key, event.kind.name, status, *([str(fill.qty_lots), str(fill.price_ticks)] if fill else []))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An exchange whose book has a BTC at 100, two at 99, one at 101 and two at 102 USDT."""
    lab = Lab(tmp_path)
    yield lab
    lab.store.close()


@pytest.fixture(scope="session")
def new_lab() -> type[Lab]:
    """What makes such an exchange in a folder, for tests that need many."""
    return Lab
