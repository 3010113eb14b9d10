"""The benchmark's `websockets` + aiohttp client: trades over a WebSocket, each answered by a signed POST.

On uvloop and with orjson, as those who care use them. Usage: `python websockets_aiohttp_client.py PORT`.
"""

import asyncio
import hashlib
import hmac
import sys
import time
from urllib.parse import urlencode

import aiohttp
import orjson
import uvloop
from websockets.asyncio.client import connect

KEY, SECRET = "benchmark-key", b"benchmark-secret"


async def place(session: aiohttp.ClientSession, side: str, ordinal: int) -> None:
    """Send one market order and wait for its fill."""
    params = {
        "symbol": "BTCUSDT",
        "side": side,
        "type": "MARKET",
        "quantity": "0.001",
        "newClientOrderId": f"aiohttp-{ordinal}",
        "timestamp": str(time.time_ns() // 1_000_000),
    }
    query = urlencode(params)
    signature = hmac.new(SECRET, query.encode(), hashlib.sha256).hexdigest()
    async with session.post("/api/v3/order", data=f"{query}&signature={signature}".encode()) as response:
        order = orjson.loads(await response.read())
        if order["status"] != "FILLED":
            raise RuntimeError(f"expected a fill, was {order}")


async def main(port: int) -> None:
    """Trade until the exchange closes the feed."""
    headers = {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session,
        connect(f"ws://127.0.0.1:{port}/stream?streams=btcusdt@trade") as feed,
    ):
        ordinal = 0
        async for message in feed:
            trade = orjson.loads(message)["data"]
            ordinal += 1
            await place(session, "SELL" if trade["m"] else "BUY", ordinal)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
