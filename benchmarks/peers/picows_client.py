"""The benchmark's picows client: trades over one WebSocket, signed `order.place` over another, uvloop, orjson.

Usage: `python picows_client.py PORT`.
"""

import asyncio
import hashlib
import hmac
import sys
import time

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

KEY, SECRET = "benchmark-key", b"benchmark-secret"


class Orders(WSListener):
    """The order connection: signs and sends, decodes every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: WSTransport | None = None
        self.filled = 0
        self._ordinal = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport to send on."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count the fills."""
        if frame.msg_type == WSMsgType.TEXT:
            self.filled += orjson.loads(frame.get_payload_as_memoryview())["result"]["status"] == "FILLED"
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def place(self, side: str) -> None:
        """Send one market order; the signature covers the parameters in alphabetical order, as the venue wants."""
        assert self.transport
        self._ordinal += 1
        params = {
            "apiKey": KEY,
            "newClientOrderId": f"picows-{self._ordinal}",
            "quantity": "0.001",
            "side": side,
            "symbol": "BTCUSDT",
            "timestamp": time.time_ns() // 1_000_000,
            "type": "MARKET",
        }
        payload = "&".join(f"{name}={value}" for name, value in params.items())
        params["signature"] = hmac.new(SECRET, payload.encode(), hashlib.sha256).hexdigest()
        request = {"id": self._ordinal, "method": "order.place", "params": params}
        self.transport.send(WSMsgType.TEXT, orjson.dumps(request))


class Trades(WSListener):
    """The market stream: one order per trade."""

    def __init__(self, orders: Orders) -> None:
        super().__init__()
        self._orders = orders

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Decode the trade and order."""
        if frame.msg_type == WSMsgType.TEXT:
            trade = orjson.loads(frame.get_payload_as_memoryview())["data"]
            self._orders.place("SELL" if trade["m"] else "BUY")
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


async def main(port: int) -> None:
    """Trade until the exchange closes the feed."""
    orders = Orders()
    await ws_connect(lambda: orders, f"ws://127.0.0.1:{port}/ws-api/v3")
    feed, _ = await ws_connect(lambda: Trades(orders), f"ws://127.0.0.1:{port}/stream?streams=btcusdt@trade")
    await feed.wait_disconnected()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
