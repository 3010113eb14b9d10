"""How fast the sandbox serves: unpaced market data to one subscriber, and pipelined orders.

    python benchmarks/sandbox_throughput.py [--messages N] [--orders N]

The sandbox runs in a process of its own on the synthetic market; the client here reads raw frames, so that the sandbox
and not the client is what is measured. Rates are per second of wall time and per second of the sandbox's CPU.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from pathlib import Path

from sandbox.options import SandboxOptions
from sandbox.server import serve

STREAMS = "/stream?streams=btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms"


def run_sandbox(folder: Path, parent: Connection) -> None:
    """Serve until told to stop, then tell the CPU seconds used."""

    async def run() -> None:
        options = SandboxOptions(data_dir=folder, plain=True, speed=float("inf"))
        serving = asyncio.create_task(serve(options, lambda listening: parent.send(listening.port)))
        await asyncio.to_thread(parent.recv)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        parent.send(usage.ru_utime + usage.ru_stime)
        serving.cancel()

    asyncio.run(run())


class Client:
    """A WebSocket client that sends prepared frames and tells messages apart by their lengths only."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader
        self._rest = b""

    @classmethod
    async def open(cls, port: int, path: str) -> "Client":
        """Connect and shake hands."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))
        lines = (f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Version: 13", "", "")  # fmt: skip
        client.writer.write("\r\n".join(lines).encode())
        await client._reader.readuntil(b"\r\n\r\n")
        return client

    async def receive(self) -> list[bytes]:
        """Return the payloads of the whole frames that have arrived."""
        data = self._rest + await self._reader.read(1 << 20)
        payloads = []
        start = 0
        while len(data) - start >= 10:
            size, head = data[start + 1], 2
            if size >= 126:
                head = 4 if size == 126 else 10
                size = int.from_bytes(data[start + 2 : start + head], "big")
            if len(data) - start < head + size:
                break
            payloads.append(data[start + head : start + head + size])
            start += head + size
        self._rest = data[start:]
        return payloads


def masked(payload: bytes) -> bytes:
    """Return a client's text frame, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + payload


def order(number: int) -> bytes:
    """Return a signed market order as a frame."""
    params: dict[str, object] = {
        "apiKey": "sandbox", "newClientOrderId": f"b{number}", "newOrderRespType": "ACK", "quantity": "0.0001",
        "side": "BUY" if number % 2 else "SELL", "symbol": "BTCUSDT", "timestamp": time.time_ns() // 1_000_000,
        "type": "MARKET", "recvWindow": 60000,
    }  # fmt: skip
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = hmac.new(b"sandbox", text.encode(), hashlib.sha256).hexdigest()
    return masked(json.dumps({"id": number, "method": "order.place", "params": params}).encode())


async def messages(port: int, count: int) -> float:
    """Receive market data; return messages per second."""
    client = await Client.open(port, STREAMS)
    start = time.perf_counter()
    received = 0
    while received < count:
        received += len(await client.receive())
    client.writer.close()
    return received / (time.perf_counter() - start)


async def orders(port: int, count: int) -> float:
    """Place orders without waiting for answers in between; return answers per second, all of them accepted."""
    frames = [order(number) for number in range(count)]
    client = await Client.open(port, "/ws-api/v3")
    start = time.perf_counter()
    client.writer.write(b"".join(frames))
    answered = 0
    while answered < count:
        payloads = await client.receive()
        answered += len(payloads)
        if not all(b'"status":200' in payload for payload in payloads):
            raise RuntimeError("an order was refused")
    client.writer.close()
    return answered / (time.perf_counter() - start)


def measure(name: str, task: Callable[[int, int], Coroutine[None, None, float]], count: int) -> None:
    """Run one task against a fresh sandbox and print its rates."""
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(target=run_sandbox, args=(Path(folder), theirs))
        process.start()
        rate = asyncio.run(task(ours.recv(), count))
        ours.send("stop")
        cpu_s = ours.recv()
        process.join()
    print(f"{name:10} {rate:10,.0f} per second {count / cpu_s:10,.0f} per CPU second, start included")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--orders", type=int, default=50_000)
    arguments = parser.parse_args()
    measure("messages", messages, arguments.messages)
    measure("orders", orders, arguments.orders)


if __name__ == "__main__":
    main()
