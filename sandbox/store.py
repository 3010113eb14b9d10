"""Accounts, orders and executions on disk, so that they survive the sandbox's own SIGKILL.

sqlite in WAL mode. `synchronous=OFF`: a commit is in the kernel's page cache when it returns, which outlives the
process but not a power cut; that is what a test exchange promises. Changes are collected and written by `commit`, which
comes before the answer that tells of them: a kill in between loses an order that nobody was told of.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from market.events import Side
from market.instrument import Instrument
from market.orders import CLOSED, OrderStatus, TimeInForce
from sandbox.accounts import Account, Balance, ExchangeOrder, Execution
from sandbox.errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS balances (
    account TEXT, asset TEXT, free INTEGER NOT NULL, locked INTEGER NOT NULL, PRIMARY KEY (account, asset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    order_id INTEGER PRIMARY KEY, account TEXT NOT NULL, symbol TEXT NOT NULL, client_id TEXT NOT NULL,
    side INTEGER NOT NULL, order_type TEXT NOT NULL, time_in_force INTEGER NOT NULL, price_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL, quote_units INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL,
    cum_lots INTEGER NOT NULL, cum_units INTEGER NOT NULL, status INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_client_id ON orders (account, client_id);
CREATE TABLE IF NOT EXISTS executions (
    trade_id INTEGER NOT NULL, order_id INTEGER NOT NULL, account TEXT NOT NULL, symbol TEXT NOT NULL,
    side INTEGER NOT NULL, price_ticks INTEGER NOT NULL, qty_lots INTEGER NOT NULL, quote_units INTEGER NOT NULL,
    commission_units INTEGER NOT NULL, commission_asset TEXT NOT NULL, is_maker INTEGER NOT NULL,
    time_us INTEGER NOT NULL, PRIMARY KEY (account, symbol, trade_id, order_id)
) WITHOUT ROWID;
"""
_FORMAT = 1  # PRAGMA user_version


class Store:
    """The database of one sandbox.

    Args:
        path: the file; made, with its folder, when it is absent.
        instruments: what orders in it may be of, by symbol.

    Raises:
        StoreError: the file is not such a database, is locked by another sandbox, or cannot be written.
    """

    def __init__(self, path: Path, instruments: Mapping[str, Instrument]) -> None:
        self._path = path
        self._instruments = instruments
        self._orders: dict[int, ExchangeOrder] = {}
        self._balances: dict[tuple[str, str], Balance] = {}
        self._executions: list[Execution] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=0)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: expected a database of the sandbox that no other one uses: {error}") from None

    def _prepare(self) -> None:
        run = self._database.execute
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = OFF"):
            run(f"PRAGMA {pragma}")
        (version,) = run("PRAGMA user_version").fetchone()
        if version not in {0, _FORMAT}:
            raise StoreError(f"{self._path}: expected format {_FORMAT}, was {version}")
        self._database.executescript(_SCHEMA)
        run(f"PRAGMA user_version = {_FORMAT}")

    def close(self) -> None:
        """Write what is pending and close the file."""
        self.commit()
        self._database.close()

    def load_balances(self, key: str) -> dict[str, Balance]:
        """Return an account's balances by asset, empty when it is new."""
        rows = self._database.execute("SELECT asset, free, locked FROM balances WHERE account = ?", (key,))
        return {asset: Balance(free, locked) for asset, free, locked in rows}

    def load_open_orders(self) -> Iterator[ExchangeOrder]:
        """Return every account's open orders, oldest first.

        Raises:
            StoreError: an order is of an instrument that is no longer listed.
        """
        closed = ",".join(str(int(status)) for status in sorted(CLOSED))
        rows = self._database.execute(f"SELECT * FROM orders WHERE status NOT IN ({closed}) ORDER BY order_id")  # noqa: S608 - numbers
        return map(self._order, rows.fetchall())

    def last_ids(self) -> tuple[int, int]:
        """Return the highest order id and trade id given so far, 0 when none."""
        (order_id,) = self._database.execute("SELECT ifnull(max(order_id), 0) FROM orders").fetchone()
        (trade_id,) = self._database.execute("SELECT ifnull(max(trade_id), 0) FROM executions").fetchone()
        return order_id, trade_id

    def counts(self) -> tuple[int, int]:
        """Return how many orders and executions there are."""
        self.commit()
        (orders,) = self._database.execute("SELECT count(*) FROM orders").fetchone()
        (executions,) = self._database.execute("SELECT count(*) FROM executions").fetchone()
        return orders, executions

    def put_order(self, order: ExchangeOrder) -> None:
        """Note a new or changed order; its state at the commit is written."""
        self._orders[order.order_id] = order

    def put_balances(self, account: Account, assets: Iterable[str]) -> None:
        """Note changed balances; their state at the commit is written."""
        for asset in assets:
            self._balances[account.key, asset] = account.balance(asset)

    def put_execution(self, execution: Execution) -> None:
        """Note a fill."""
        self._executions.append(execution)

    def commit(self) -> None:
        """Write everything noted, as one transaction."""
        if not (self._orders or self._balances or self._executions):
            return
        database = self._database
        database.execute("BEGIN")
        database.executemany(
            "INSERT OR REPLACE INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", map(_row, self._orders.values())
        )
        database.executemany(
            "INSERT OR REPLACE INTO balances VALUES (?,?,?,?)",
            [(*key, balance.free, balance.locked) for key, balance in self._balances.items()],
        )
        database.executemany(
            "INSERT INTO executions VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            [tuple(getattr(fill, name) for name in fill.__struct_fields__) for fill in self._executions],
        )
        database.execute("COMMIT")
        self._orders.clear()
        self._balances.clear()
        self._executions.clear()

    def find_order(self, account: str, order_id: int) -> ExchangeOrder | None:
        """Return an account's order, open or closed."""
        self.commit()
        row = self._database.execute("SELECT * FROM orders WHERE order_id = ? AND account = ?", (order_id, account))
        return self._one(row)

    def find_client_id(self, account: str, client_id: str) -> ExchangeOrder | None:
        """Return an account's latest order of that client id, open or closed."""
        self.commit()
        query = "SELECT * FROM orders WHERE account = ? AND client_id = ? ORDER BY order_id DESC LIMIT 1"
        return self._one(self._database.execute(query, (account, client_id)))

    def executions(self, account: str, symbol: str, from_id: int, order_id: int | None, limit: int) -> list[Execution]:
        """Return an account's fills from a trade id on, oldest first, of one order when one is named."""
        self.commit()
        query = (
            "SELECT * FROM executions WHERE account = ? AND symbol = ? AND trade_id >= ?"
            " AND (? IS NULL OR order_id = ?) ORDER BY trade_id LIMIT ?"
        )
        rows = self._database.execute(query, (account, symbol, from_id, order_id, order_id, limit))
        return [_execution(row) for row in rows]

    def _one(self, rows: sqlite3.Cursor) -> ExchangeOrder | None:
        row = rows.fetchone()
        return None if row is None else self._order(row)

    def _order(self, row: tuple[Any, ...]) -> ExchangeOrder:
        symbol = row[2]
        if symbol not in self._instruments:
            raise StoreError(f"{self._path}: an order is of {symbol}, listed are {', '.join(self._instruments)}")
        order = ExchangeOrder(row[0], row[1], self._instruments[symbol], *row[3:])
        order.side = Side(order.side)
        order.time_in_force = TimeInForce(order.time_in_force)
        order.status = OrderStatus(order.status)
        return order


def _row(order: ExchangeOrder) -> tuple[int | str, ...]:
    return (
        order.order_id, order.account, order.instrument.symbol, order.client_id, order.side, order.order_type,
        order.time_in_force, order.price_ticks, order.qty_lots, order.quote_units, order.created_us, order.updated_us,
        order.cum_lots, order.cum_units, order.status,
    )  # fmt: skip


def _execution(row: tuple[Any, ...]) -> Execution:
    values = dict(zip(Execution.__struct_fields__, row, strict=True))
    values["side"] = Side(values["side"])
    values["is_maker"] = bool(values["is_maker"])
    return Execution(**values)
