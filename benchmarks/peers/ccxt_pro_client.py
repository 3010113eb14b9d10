"""The benchmark's ccxt.pro client: `watch_trades` and `create_order`, its addresses pointed at the local exchange.

Its own rate limiter is off: at the venue's pace it would wait longer between two orders than the trades are apart.
Usage: `python ccxt_pro_client.py PORT`.
"""

import asyncio
import sys

import ccxt.pro  # type: ignore[import-untyped] # the package has no stubs
import uvloop


def local_binance(port: int) -> ccxt.pro.binance:
    """Return ccxt's Binance, spot only; it knows no address but the local exchange's, so nothing can leave."""
    exchange = ccxt.pro.binance(
        {
            "apiKey": "benchmark-key",
            "secret": "benchmark-secret",
            "enableRateLimit": False,
            "options": {
                "defaultType": "spot",
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
            },
        }
    )
    rest = f"http://127.0.0.1:{port}/api/v3"
    exchange.urls["api"] = {"public": rest, "private": rest, "ws": {"spot": f"ws://127.0.0.1:{port}/ws"}}
    return exchange


async def main(port: int) -> None:
    """Trade until the exchange closes the feed."""
    exchange = local_binance(port)
    try:
        await exchange.load_markets()
        while True:
            for trade in await exchange.watch_trades("BTC/USDT"):
                await exchange.create_order("BTC/USDT", "market", trade["side"], 0.001)
    finally:
        await exchange.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
