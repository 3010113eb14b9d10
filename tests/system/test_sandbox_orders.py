"""Orders at a running sandbox over its WebSocket API and REST, as an independent client sees them."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

Run = Callable[..., Any]
# What conftest makes, and test folders are not packages to import it from:
NewTrader = Any
Sandbox = Any
Json = Any
ACCOUNTS = [["ann", "a"], ["bob", "b"]]


async def test_a_market_order_is_filled_and_told(run_sandbox: Run, trader: NewTrader) -> None:
    """Answer, execution reports and balances tell one story."""
    sandbox = run_sandbox()
    async with sandbox.connected("/ws-api/v3") as socket:
        ann = trader(socket)
        assert (await ann.ask("userDataStream.subscribe.signature"))["result"] == {"subscriptionId": 0}
        answer = (await ann.market("BUY", "0.01", newClientOrderId="first"))["result"]
        fill = answer["fills"][0]
        assert (answer["status"], answer["executedQty"], fill["qty"]) == ("FILLED", "0.01000000", "0.01000000")
        new = await ann.event("executionReport", x="NEW")
        trade = await ann.event("executionReport", x="TRADE")
        assert (new["c"], new["X"], new["z"]) == ("first", "NEW", "0.00000000")
        assert (trade["X"], trade["z"], trade["L"], trade["n"], trade["N"]) == (
            "FILLED", "0.01000000", fill["price"], "0.00001000", "BTC",
        )  # fmt: skip
        assert trade["t"] == fill["tradeId"]
        position = await ann.event("outboundAccountPosition")
        balances = await ann.balances()
        assert {entry["a"]: (entry["f"], entry["l"]) for entry in position["B"]} == balances
        assert balances["BTC"] == ("100.00999000", "0.00000000")


async def test_a_limit_order_rests_until_it_is_cancelled(run_sandbox: Run, trader: NewTrader) -> None:
    """Locked money, queries by either id, the cancel's two client ids, and the money back."""
    sandbox = run_sandbox(plain=True)
    async with sandbox.connected("/ws-api/v3") as socket:
        ann = trader(socket)
        await ann.ask("userDataStream.subscribe.signature")
        placed = (await ann.limit("BUY", "50000", "0.1", newClientOrderId="rest"))["result"]
        assert (placed["status"], placed["fills"]) == ("NEW", [])
        assert (await ann.balances())["USDT"] == ("995000.00000000", "5000.00000000")
        status = (await ann.ask("order.status", symbol="BTCUSDT", origClientOrderId="rest"))["result"]
        assert (status["orderId"], status["status"]) == (placed["orderId"], "NEW")
        listed = (await ann.ask("openOrders.status", symbol="BTCUSDT"))["result"]
        assert listed == [status]
        cancel = await ann.ask("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"], newClientOrderId="gone")
        assert cancel["result"]["status"] == "CANCELED"
        report = await ann.event("executionReport", x="CANCELED")
        assert (report["c"], report["C"], report["X"]) == ("gone", "rest", "CANCELED")
        assert (await ann.balances())["USDT"] == ("1000000.00000000", "0.00000000")
        closed = (await ann.ask("order.status", symbol="BTCUSDT", origClientOrderId="rest"))["result"]
        assert closed["status"] == "CANCELED"


async def test_two_accounts_meet_in_the_book(run_sandbox: Run, trader: NewTrader) -> None:
    """Ann takes all that is offered at the best price and offers there herself; Bob buys from her."""
    sandbox = run_sandbox(plain=True, accounts=ACCOUNTS)
    async with sandbox.connected("/ws-api/v3") as one, sandbox.connected("/ws-api/v3") as two:
        ann, bob = trader(one, "ann", "a"), trader(two, "bob", "b")
        for client in (ann, bob):
            await client.ask("userDataStream.subscribe.signature")
        price, quantity = (await asyncio.to_thread(sandbox.get, "/api/v3/depth?symbol=BTCUSDT&limit=1"))["asks"][0]
        assert (await ann.limit("BUY", price, quantity, timeInForce="FOK"))["result"]["status"] == "FILLED"
        await ann.limit("SELL", price, "0.5", newClientOrderId="maker")
        await bob.limit("BUY", price, "0.2", timeInForce="FOK", newClientOrderId="taker")
        made = await ann.event("executionReport", x="TRADE", c="maker")
        took = await bob.event("executionReport", x="TRADE")
        assert made["t"] == took["t"]
        assert (made["m"], made["X"], made["N"], made["l"]) == (True, "PARTIALLY_FILLED", "USDT", "0.20000000")
        assert (took["m"], took["X"], took["N"], took["c"]) == (False, "FILLED", "BTC", "taker")


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("order.place", {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "99"}, -1013),
        ("order.place", {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "50"}, -2010),
        ("order.place", {"symbol": "DOGEUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}, -1121),
        ("order.place", {"side": "BUY", "type": "MARKET", "quantity": "1"}, -1102),
        ("order.place", {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1.123456789"}, -1111),
        ("order.cancel", {"symbol": "BTCUSDT", "orderId": 77}, -2011),
        ("order.cancel", {"symbol": "BTCUSDT"}, -1102),
        ("order.status", {"symbol": "BTCUSDT", "origClientOrderId": "nobody"}, -2013),
        ("openOrders.cancelAll", {"symbol": "BTCUSDT"}, -2011),
        ("account.status", {"signature": "0" * 64}, -1022),
        ("account.status", {"apiKey": "nobody"}, -2015),
        ("account.status", {"timestamp": 1}, -1021),
        ("account.status", {"recvWindow": 60001}, -1131),
        ("depth", {"symbol": "BTCUSDT", "limit": "many"}, -1100),
        ("order.dance", {}, -1000),
    ],
)
async def test_refusals_have_the_venues_codes(
    run_sandbox: Run, trader: NewTrader, method: str, params: dict[str, object], code: int
) -> None:
    """An error object, a status of the 400s, and the connection goes on."""
    sandbox = run_sandbox(plain=True)
    async with sandbox.connected("/ws-api/v3") as socket:
        ann = trader(socket)
        if "signature" in params:
            request = json.loads(ann.request(method, {}))
            request["params"] |= params
            await socket.send(json.dumps(request))
            answer = json.loads(await socket.recv())
        else:
            answer = await ann.ask(method, **params)
        assert code == answer["error"]["code"]
        assert 400 <= answer["status"] < 500
        assert "result" not in answer
        assert (await ann.ask("ping", signed=False))["result"] == {}


async def test_malformed_requests_are_answered(run_sandbox: Run) -> None:
    """Broken JSON, wrong types, a missing id: an error each, never silence or a closed connection."""
    sandbox = run_sandbox(plain=True)
    async with sandbox.connected("/ws-api/v3?returnRateLimits=false") as socket:
        for text, code in (("{", -1135), ("[]", -1100), ('{"id":1}', -1100), ('{"method":"ping"}', -1102),
                           ('{"id":1,"method":"ping","params":7}', -1100)):  # fmt: skip
            await socket.send(text)
            answer = json.loads(await asyncio.wait_for(socket.recv(), 10))
            assert code == answer["error"]["code"]
            assert "rateLimits" not in answer


async def test_limits_are_counted(run_sandbox: Run, trader: NewTrader) -> None:
    """Orders count towards ORDERS and REQUEST_WEIGHT, other requests towards the weight only."""
    sandbox = run_sandbox(plain=True)
    async with sandbox.connected("/ws-api/v3") as socket:
        ann = trader(socket)
        kinds = [limit["rateLimitType"] for limit in (await ann.market("BUY", "0.001"))["rateLimits"]]
        assert kinds == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]
        ping = await ann.ask("ping", signed=False)
        assert [limit["rateLimitType"] for limit in ping["rateLimits"]] == ["REQUEST_WEIGHT"]
        assert "rateLimits" not in await ann.ask("ping", signed=False, returnRateLimits=False)


def signed_call(sandbox: Sandbox, method: str, path: str, **params: object) -> Json:
    query = urlencode(params | {"timestamp": time.time_ns() // 1_000_000})
    query += "&signature=" + hmac.new(b"sandbox", query.encode(), hashlib.sha256).hexdigest()
    request = Request(f"{sandbox.http_url}{path}?{query}", method=method, headers={"X-MBX-APIKEY": "sandbox"})
    with urlopen(request, context=sandbox.tls, timeout=10) as answer:
        return json.load(answer)


def test_rest_serves_the_same_exchange(run_sandbox: Run) -> None:
    """Public requests, a signed order, its query, its fills, and errors with status and code."""
    sandbox = run_sandbox()
    assert sandbox.get("/api/v3/ping") == {}
    assert abs(sandbox.get("/api/v3/time")["serverTime"] / 1000 - time.time()) < 10
    for query in ("", "?symbol=BTCUSDT", '?symbols=["BTCUSDT"]'.replace('"', "%22")):
        assert sandbox.get(f"/api/v3/exchangeInfo{query}")["symbols"][0]["symbol"] == "BTCUSDT"
    assert [len(sandbox.get("/api/v3/depth?symbol=BTCUSDT")[side]) for side in ("bids", "asks")] == [100, 100]
    assert sandbox.get("/api/v3/depth?symbol=DOGE") == {"code": -1121, "msg": "Invalid symbol."}
    assert sandbox.get("/api/v3/depth")["code"] == -1102
    assert sandbox.get("/api/v3/account")["code"] == -1102
    order = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.5", "newClientOrderId": "by-rest"}
    placed = signed_call(sandbox, "POST", "/api/v3/order", **order)
    assert placed["status"] == "FILLED"
    queried = signed_call(sandbox, "GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="by-rest")
    assert queried["orderId"] == placed["orderId"]
    trades = signed_call(sandbox, "GET", "/api/v3/myTrades", symbol="BTCUSDT", orderId=placed["orderId"])
    assert sum(float(trade["qty"]) for trade in trades) == pytest.approx(0.5)
    money = {entry["asset"]: entry["free"] for entry in signed_call(sandbox, "GET", "/api/v3/account")["balances"]}
    assert money["BTC"] == "99.50000000"


async def test_nothing_answered_is_lost_by_sigkill(run_sandbox: Run, trader: NewTrader) -> None:
    """Killed in the middle of pipelined orders: after the restart every answered order is there, balances fit them."""
    sandbox = run_sandbox(plain=True)
    answered: dict[str, dict[str, Any]] = {}
    async with sandbox.connected("/ws-api/v3") as socket:
        ann = trader(socket)
        order = {"symbol": "BTCUSDT", "type": "MARKET", "quantity": "0.001", "newOrderRespType": "RESULT"}
        await ann.limit("BUY", "40000", "0.5", newClientOrderId="resting")
        for number in range(400):
            side = "BUY" if number % 3 else "SELL"
            await socket.send(ann.request("order.place", order | {"side": side, "newClientOrderId": f"n{number}"}))
        while len(answered) < 150:
            result = json.loads(await socket.recv())["result"]
            answered[result["clientOrderId"]] = result
        sandbox.kill()
    again = run_sandbox(plain=True)
    async with again.connected("/ws-api/v3") as socket:
        ann = trader(socket)
        for name, result in answered.items():
            status = (await ann.ask("order.status", symbol="BTCUSDT", origClientOrderId=name))["result"]
            assert {key: status[key] for key in ("orderId", "status", "executedQty", "cummulativeQuoteQty")} == {
                key: result[key] for key in ("orderId", "status", "executedQty", "cummulativeQuoteQty")
            }
        open_orders = (await ann.ask("openOrders.status"))["result"]
        assert [entry["clientOrderId"] for entry in open_orders] == ["resting"]
        trades = (await ann.ask("myTrades", symbol="BTCUSDT", limit=1000))["result"]
        bought = sum((1 if trade["isBuyer"] else -1) * round(float(trade["qty"]) * 1e8) for trade in trades)
        fees = sum(round(float(trade["commission"]) * 1e8) for trade in trades if trade["commissionAsset"] == "BTC")
        balances = await ann.balances()
        assert f"{(100 * 10**8 + bought - fees) / 1e8:.8f}" == balances["BTC"][0]
        assert balances["USDT"][1] == "20000.00000000"


def test_a_second_sandbox_on_the_same_data_is_refused(run_sandbox: Run) -> None:
    """Two writers of one set of accounts would contradict each other."""
    run_sandbox(plain=True)
    with pytest.raises(RuntimeError, match="that no other one uses"):
        run_sandbox(plain=True)
