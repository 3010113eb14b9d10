"""Orders, money and reports of the exchange."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.events import Side
from market.orders import OrderStatus, TimeInForce
from sandbox.accounts import InsufficientBalanceError
from sandbox.exchange import DuplicateClientIdError, WouldTakeError
from sandbox.money import UNITS

COIN = 1_000_000  # lots in one BTC
TICK = 100  # ticks in one USDT
Lab = Any  # conftest's; test folders are not packages


def test_a_market_buy_pays_the_ask_and_its_fee_in_what_it_gets(lab: Lab) -> None:
    """One BTC at 101: 101 USDT paid, 0.999 BTC received."""
    order = lab.place(lab.ann, Side.BUY, COIN)
    assert order.status is OrderStatus.FILLED
    assert lab.money(lab.ann) == {"USDT": (899 * UNITS, 0), "BTC": (10 * UNITS + 99_900_000, 0)}
    assert lab.told == [
        ("ann", "NEW", "NEW"), ("ann", "TRADE", "FILLED", str(COIN), "10100"), ("ann", "POSITIONS"),
    ]  # fmt: skip


def test_a_market_sell_walks_the_book(lab: Lab) -> None:
    """1 BTC at 100 and half a BTC at 99, the fee in USDT, every step told."""
    order = lab.place(lab.ann, Side.SELL, COIN + COIN // 2)
    assert order.cum_units == 149_50000000
    assert lab.money(lab.ann)["USDT"] == (1000 * UNITS + 149_50000000 - 14950000, 0)
    assert [line[1:3] for line in lab.told] == [
        ("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("TRADE", "FILLED"), ("POSITIONS",),
    ]  # fmt: skip


def test_a_limit_order_locks_what_it_may_pay_and_gets_the_better_price_back(lab: Lab) -> None:
    """Buying 2 BTC at up to 101: 1 is filled at 101, 1 rests and keeps 101 USDT locked; a cancel frees it."""
    order = lab.place(lab.ann, Side.BUY, 2 * COIN, 101 * TICK)
    assert (order.status, order.leaves_lots) == (OrderStatus.PARTIALLY_FILLED, COIN)
    assert lab.money(lab.ann)["USDT"] == (798 * UNITS, 101 * UNITS)
    lab.exchange.cancel(lab.ann, order, "x", lab.now_us)
    assert order.status is OrderStatus.CANCELED
    assert lab.money(lab.ann)["USDT"] == (899 * UNITS, 0)


def test_a_resting_order_fills_when_the_market_comes(lab: Lab) -> None:
    """First what stood ahead of it trades, then the order, as maker at its own price."""
    order = lab.place(lab.ann, Side.BUY, COIN, 100 * TICK)
    lab.trade(100 * TICK, COIN, Side.SELL)
    assert order.cum_lots == 0
    lab.trade(100 * TICK, COIN // 4, Side.SELL)
    assert (order.status, order.cum_lots) == (OrderStatus.PARTIALLY_FILLED, COIN // 4)
    lab.depth(11, [(100 * TICK, 0)], [(100 * TICK, 5 * COIN)])
    assert order.status is OrderStatus.FILLED
    assert lab.money(lab.ann) == {"USDT": (900 * UNITS, 0), "BTC": (10 * UNITS + 99_900_000, 0)}


def test_two_accounts_trade_with_each_other(lab: Lab) -> None:
    """The maker's price holds, both pay a fee in what they receive, one match has one trade id."""
    lab.place(lab.ann, Side.SELL, COIN, 100 * TICK + 50)
    lab.place(lab.bob, Side.BUY, COIN, 101 * TICK)
    assert lab.money(lab.ann)["USDT"] == (1000 * UNITS + 100_50000000 - 10050000, 0)
    assert lab.money(lab.bob) == {"USDT": (899_50000000, 0), "BTC": (10 * UNITS + 99_900_000, 0)}
    lab.store.commit()
    assert [fill.trade_id for key in ("ann", "bob") for fill in lab.store.executions(key, "BTCUSDT", 0, None, 9)] == [
        1,
        1,
    ]


@pytest.mark.parametrize(("tif", "filled"), [(TimeInForce.IOC, COIN), (TimeInForce.FOK, 0)])
def test_what_may_not_rest_expires(lab: Lab, tif: TimeInForce, filled: int) -> None:
    """IOC keeps its fills, FOK has none; nothing stays locked."""
    order = lab.place(lab.ann, Side.BUY, 2 * COIN, 101 * TICK, time_in_force=tif)
    assert (order.status, order.cum_lots) == (OrderStatus.EXPIRED, filled)
    assert lab.money(lab.ann)["USDT"][1] == 0
    assert lab.told[-2] == ("ann", "EXPIRED", "EXPIRED")


def test_a_market_order_expires_where_the_book_or_the_money_ends(lab: Lab) -> None:
    """9 BTC wanted and affordable at the best price; 3 are offered in all."""
    order = lab.place(lab.ann, Side.BUY, 9 * COIN)
    assert (order.status, order.cum_lots) == (OrderStatus.EXPIRED, 3 * COIN)
    lab.depth(11, [], [(50 * TICK, COIN), (900 * TICK, COIN)])
    poor = lab.place(lab.ann, Side.BUY, 2 * COIN)
    assert poor.status is OrderStatus.EXPIRED
    assert COIN < poor.cum_lots < 2 * COIN
    assert 0 <= lab.money(lab.ann)["USDT"][0] < 900 * TICK * 10


def test_a_market_order_by_quote_amount_spends_it(lab: Lab) -> None:
    """152 USDT buy 1 BTC at 101 and half a BTC at 102."""
    order = lab.place(lab.ann, Side.BUY, 0, quote_units=152 * UNITS)
    assert (order.status, order.cum_lots, order.cum_units) == (OrderStatus.FILLED, COIN + COIN // 2, 152 * UNITS)


def test_an_order_without_money_changes_nothing(lab: Lab) -> None:
    """Refused before it has a number, for limit and market orders of both sides."""
    before = lab.money(lab.ann)
    for side, lots, ticks in ((Side.BUY, 11 * COIN, 100 * TICK), (Side.SELL, 11 * COIN, 200 * TICK),
                              (Side.BUY, 10 * COIN, 0), (Side.SELL, 11 * COIN, 0)):  # fmt: skip
        with pytest.raises(InsufficientBalanceError):
            lab.place(lab.ann, side, lots, ticks)
    assert before == lab.money(lab.ann)
    assert lab.told == []
    assert lab.place(lab.ann, Side.BUY, COIN, 90 * TICK).order_id == 1


def test_a_client_id_is_free_again_once_its_order_is_closed(lab: Lab) -> None:
    """Two open orders of one account never share one; two accounts may."""
    first = lab.place(lab.ann, Side.BUY, COIN, 90 * TICK, client_id="same")
    with pytest.raises(DuplicateClientIdError):
        lab.place(lab.ann, Side.BUY, COIN, 90 * TICK, client_id="same")
    lab.place(lab.bob, Side.BUY, COIN, 90 * TICK, client_id="same")
    lab.exchange.cancel(lab.ann, first, "x", lab.now_us)
    lab.place(lab.ann, Side.BUY, COIN, 90 * TICK, client_id="same")


def test_a_post_only_order_that_would_take_is_refused_whole(lab: Lab) -> None:
    """Its money is free again."""
    before = lab.money(lab.ann)
    with pytest.raises(WouldTakeError):
        lab.exchange.place(lab.ann, lab.order(lab.ann, Side.BUY, COIN, 101 * TICK), post_only=True)
    assert before == lab.money(lab.ann)
    lab.exchange.place(lab.ann, lab.order(lab.ann, Side.BUY, COIN, 101 * TICK - 1), post_only=True)


def test_everything_is_there_after_a_restart(lab: Lab) -> None:
    """Balances, open orders with their priority, and numbers go on where they stopped."""
    order = lab.place(lab.ann, Side.BUY, 2 * COIN, 101 * TICK, client_id="kept")
    money = lab.money(lab.ann)
    lab.store.close()
    lab.open()
    assert money == lab.money(lab.ann)
    restored = lab.ann.open_client_ids["kept"]
    assert restored == order
    lab.trade(101 * TICK, COIN, Side.SELL)
    assert restored.status is OrderStatus.FILLED
    assert lab.place(lab.bob, Side.BUY, COIN, 90 * TICK).order_id == order.order_id + 1


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "market", "ioc", "cancel", "trade", "depth"]),
        st.booleans(),
        st.sampled_from(list(Side)),
        st.integers(1, 300).map(lambda lots: lots * 10_000),
        st.integers(95, 106),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS)
def test_money_is_conserved_and_locked_is_what_open_orders_hold(
    new_lab: Lab, actions: list[tuple[str, bool, Side, int, int]]
) -> None:
    """Whatever happens: no balance is negative, locks equal the open orders, and own trades add up with their fees."""
    with TemporaryDirectory() as folder:
        lab = new_lab(Path(folder))
        for number, action in enumerate(actions):
            act(lab, number, *action)
            for account in (lab.ann, lab.bob):
                check(lab, account.key)
        lab.store.close()


def act(lab: Lab, number: int, kind: str, first: bool, side: Side, lots: int, price: int) -> None:  # noqa: FBT001 - drawn
    account = lab.ann if first else lab.bob
    ticks = price * TICK
    if kind == "trade":
        lab.trade(ticks, lots, side)
    elif kind == "depth":
        lab.depth(
            number + 11, [(ticks, lots)] if side is Side.BUY else [], [(ticks, lots)] if side is Side.SELL else []
        )
    elif kind == "cancel":
        for order in list(account.open_orders.values())[:1]:
            lab.exchange.cancel(account, order, "x", lab.now_us)
    else:
        tif = TimeInForce.IOC if kind == "ioc" else TimeInForce.GTC
        try:
            lab.place(account, side, lots, 0 if kind == "market" else ticks, time_in_force=tif, client_id=str(number))
        except InsufficientBalanceError:
            return


def check(lab: Lab, key: str) -> None:
    account = lab.exchange.accounts[key]
    locked = {"USDT": 0, "BTC": 0}
    for order in account.open_orders.values():
        if order.side is Side.BUY:
            locked["USDT"] += order.leaves_lots * order.price_ticks
        else:
            locked["BTC"] += order.leaves_lots * 100
    total = {"USDT": 1000 * UNITS, "BTC": 10 * UNITS}
    for fill in lab.store.executions(key, "BTCUSDT", 0, None, 10_000):
        sign = 1 if fill.side is Side.BUY else -1
        total["BTC"] += sign * fill.qty_lots * 100
        total["USDT"] -= sign * fill.quote_units
        total[fill.commission_asset] -= fill.commission_units
    for asset, balance in account.balances.items():
        assert balance.free >= 0
        assert locked[asset] == balance.locked
        assert total[asset] == balance.free + balance.locked
