"""What is on disk after a commit, and who may use it."""

import sqlite3
from pathlib import Path

import pytest

from market.events import Side
from market.orders import OrderStatus, TimeInForce
from sandbox.accounts import Account, Balance, ExchangeOrder, Execution
from sandbox.binance_symbols import BTCUSDT
from sandbox.errors import StoreError
from sandbox.store import Store

LISTED = {"BTCUSDT": BTCUSDT}


def order(number: int, status: OrderStatus = OrderStatus.NEW, client_id: str = "c") -> ExchangeOrder:
    return ExchangeOrder(
        number, "ann", BTCUSDT, client_id, Side.SELL, "LIMIT", TimeInForce.GTC, 100, 50, 0, 1, 2, 3, 4, status
    )


def fill(trade_id: int) -> Execution:
    return Execution(trade_id, 1, "ann", "BTCUSDT", Side.SELL, 100, 5, 500, 1, "USDT", is_maker=True, time_us=9)


def test_what_is_committed_comes_back(tmp_path: Path) -> None:
    """Orders, balances and fills, equal to what was put in; closed orders are found but not open."""
    path = tmp_path / "new" / "a.sqlite"
    store = Store(path, LISTED)
    account = Account("ann", "s", {"BTC": Balance(7, 8)})
    for entry in (order(1), order(2, OrderStatus.FILLED), order(3, OrderStatus.PARTIALLY_FILLED)):
        store.put_order(entry)
    store.put_balances(account, ["BTC"])
    store.put_execution(fill(4))
    store.close()
    store = Store(path, LISTED)
    assert store.load_balances("ann") == account.balances
    assert list(store.load_open_orders()) == [order(1), order(3, OrderStatus.PARTIALLY_FILLED)]
    assert store.find_order("ann", 2) == order(2, OrderStatus.FILLED)
    assert store.executions("ann", "BTCUSDT", 0, None, 10) == [fill(4)]
    assert (store.last_ids(), store.counts()) == ((3, 4), (3, 1))
    store.close()


def test_the_state_at_the_commit_is_written(tmp_path: Path) -> None:
    """An order that changed after it was put in is written as it is then, once."""
    store = Store(tmp_path / "a.sqlite", LISTED)
    entry = order(1)
    store.put_order(entry)
    entry.status = OrderStatus.CANCELED
    store.commit()
    assert store.find_order("ann", 1) == order(1, OrderStatus.CANCELED)
    assert store.counts() == (1, 0)
    store.close()


def test_an_account_finds_its_own_and_the_latest(tmp_path: Path) -> None:
    """By number its own only; by client id the last one that had it."""
    store = Store(tmp_path / "a.sqlite", LISTED)
    for number in (1, 2):
        store.put_order(order(number, OrderStatus.CANCELED))
    assert store.find_order("bob", 1) is None
    assert store.find_client_id("ann", "c") == order(2, OrderStatus.CANCELED)
    assert store.find_client_id("ann", "other") is None
    store.close()


def test_fills_are_selected(tmp_path: Path) -> None:
    """From a trade id, of an order, at most so many."""
    store = Store(tmp_path / "a.sqlite", LISTED)
    for trade_id in (1, 2, 3):
        store.put_execution(fill(trade_id))
    assert store.executions("ann", "BTCUSDT", 2, 1, 1) == [fill(2)]
    assert store.executions("ann", "BTCUSDT", 0, 99, 10) == []
    store.close()


def test_a_foreign_or_damaged_file_is_refused(tmp_path: Path) -> None:
    """Also one of another format, and one whose orders are of an unlisted instrument."""
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(StoreError, match="expected a database of the sandbox"):
        Store(tmp_path / "text", LISTED)
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(StoreError, match="expected format 1, was 9"):
        Store(tmp_path / "newer", LISTED)
    store = Store(tmp_path / "a.sqlite", LISTED)
    store.put_order(order(1))
    store.close()
    store = Store(tmp_path / "a.sqlite", {})
    with pytest.raises(StoreError, match="an order is of BTCUSDT"):
        list(store.load_open_orders())
    store.close()
