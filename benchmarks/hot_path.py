"""What one tick costs in the trader's process, warm: from a readable socket to the order's bytes, step by step.

One process holds both ends of two loopback connections. It sends itself a recorded-looking trade, serves the poller
once, and takes the stamps that the trader itself journalled. Everything is on: kernel stamps, journal, strategy, risk,
signing, framing. Cold caches make the same code 5 to 10 times slower; `tick_to_trade.py` shows that, this shows where
instructions go.

Usage: `python benchmarks/hot_path.py [--ticks 20000]`.
"""

import argparse
import asyncio
import gc
import socket
import struct
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from bot.engine import Engine
from bot.feeds import FeedSession
from bot.orders.gateway import Gateway
from bot.orders.manager import OrderManager
from bot.orders.risk import Risk
from bot.recorder import Recorder
from bot.strategy import StrategyParams
from bot.transport.connection import Connection
from bot.transport.poller import Poller
from bot.transport.stamps import StampKeeper, force_receive_buffer
from bot.transport.websocket import WebSocketClient
from every_trade import EveryTrade
from journal.reader import read_rows
from journal.writer import Journal
from market.instrument import Instrument, OrderLimits
from market.scale import Scale
from venues.adapter import Credentials, Endpoints
from venues.binance import Binance

TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":%d,"p":"61837.63000000",'
    '"q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
INSTRUMENT = Instrument(
    1, "BTC-USDT", "binance", "BTCUSDT", "BTC", "USDT", Scale(Decimal("0.01")), Scale(Decimal("0.00000001")),
    OrderLimits(qty_step_lots=1000, min_notional=Decimal(5), max_notional=Decimal(9000000)),
)  # fmt: skip
HANDSHAKE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def pair(poller: Poller) -> tuple[socket.socket, Connection, WebSocketClient]:
    """Return a loopback connection: the peer's plain socket, ours stamped, and its protocol as if opened."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.socket()
        force_receive_buffer(ours, 512 << 10)
        ours.connect(listener.getsockname())
        peer, _ = listener.accept()
    for each in (ours, peer):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ours.setblocking(False)  # noqa: FBT003 - the socket's own signature
    connection = Connection(ours, poller, "peer:0")
    protocol = WebSocketClient("ws://localhost/")
    protocol.opened = True
    connection.use_protocol(protocol)
    return peer, connection, protocol


def frame(number: int) -> bytes:
    """Return the WebSocket frame of one trade, as an exchange sends it."""
    payload = (TRADE % number).encode()
    return struct.pack("!BBH", 0x81, 126, len(payload)) + payload


async def measure(folder: Path, ticks: int) -> None:
    """Send the ticks, then print what the journal says of the second half."""
    poller, keeper = Poller(), StampKeeper()
    keeper.warm_up()
    journal = Journal(folder)
    recorder = Recorder(journal)
    routes: dict[str, Gateway] = {}
    engine = Engine([INSTRUMENT], OrderManager("bench", Risk([INSTRUMENT]), routes))
    venue = Binance()
    gateway = Gateway(
        "main", venue="binance", url="ws://127.0.0.1/ws-api/v3",
        entry=venue.order_entry([INSTRUMENT], Credentials("k" * 64, "s" * 64)),
        engine=engine, recorder=recorder, dialer=None,
    )  # fmt: skip
    routes["main"] = gateway
    feed = FeedSession(
        0, "binance", endpoints=Endpoints("", ""), feed=venue.feed([INSTRUMENT], ["trade"]),
        engine=engine, recorder=recorder, dialer=None,
    )  # fmt: skip
    engine.seat("every", "main", EveryTrade(StrategyParams()))
    market_peer, market, _ = pair(poller)
    market.listen(feed._reader(market), lambda *_: None, lambda _: None)
    order_peer, orders, protocol = pair(poller)
    gateway._adopt(orders, protocol)
    engine.route_ready("main", 1, 0)
    gc.collect()
    gc.freeze()
    gc.disable()
    took = []
    for number in range(ticks):
        market_peer.send(frame(number))
        begin = perf_counter_ns()
        poller.turn()
        took.append(perf_counter_ns() - begin)
        order_peer.recv(65536)
        poller.turn()  # the TX stamps
    report(folder, np.array(took[ticks // 2 :]), ticks)
    market.close()
    orders.close()
    await asyncio.sleep(0)  # the losses are recorded
    journal.close()


def report(folder: Path, took: np.ndarray, ticks: int) -> None:
    """Print the medians."""
    received, sent = (np.concatenate(read_rows(folder, log))[ticks // 2 : ticks] for log in ("received", "sent"))
    print(f"{ticks:,} ticks, medians of the second half, µs")
    for name, values in {
        "one turn of the poller": took,
        "kernel_rx → read": received["read"] - received["kernel_rx"],
        "read → decoded": received["decoded"] - received["read"],
        "decoded → decided": sent["decided"] - received["decoded"],
        "decided → encoded": sent["encoded"] - sent["decided"],
        "encoded → written": sent["written"] - sent["encoded"],
        "written → sent": sent["sent"] - sent["written"],
        "read → written": sent["written"] - received["read"],
    }.items():
        print(f"  {name:24} {np.median(values) / 1000:7.2f}   min {np.min(values) / 1000:7.2f}")


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wirestamp-bench-") as folder:
        asyncio.run(measure(Path(folder), options.ticks))


if __name__ == "__main__":
    main()
