"""A sandbox in a process of its own, and a client of its WebSocket API that shares no code with it."""

import asyncio
import ctypes
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.asyncio.client import ClientConnection, connect

Json = Any
_PROGRAM = """
import asyncio, contextlib, json, pathlib, signal, sys
from sandbox.errors import SandboxError
from sandbox.options import SandboxOptions
from sandbox.server import serve

given = json.loads(sys.argv[1])
given["data_dir"] = pathlib.Path(given["data_dir"])
given["replay"] = tuple(map(pathlib.Path, given.get("replay", ())))
given["speed"] = float(given.get("speed", 1))

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    await serve(SandboxOptions(**given), lambda at: print(at.http_url, at.ca_file, flush=True))

try:
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(main())
except SandboxError as error:
    sys.exit(str(error))
"""


class SandboxProcess:
    """A running sandbox; ends with the `with` block."""

    def __init__(self, **options: object) -> None:
        arguments = [sys.executable, "-c", _PROGRAM, json.dumps(options, default=str)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        address = self.process.stdout.readline().split()
        if not address:
            _, error = self.process.communicate(timeout=10)
            raise RuntimeError(error.strip())
        self.http_url, self.ca_file = address
        self.websocket_url = "ws" + self.http_url.removeprefix("http")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=10)

    def kill(self) -> None:
        """End it with SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What a client needs to trust it; None when it is plain."""
        return None if self.ca_file == "None" else ssl.create_default_context(cafile=self.ca_file)

    def get(self, path: str) -> Json:
        """Return the JSON at a path, also of an error answer."""
        try:
            with urlopen(self.http_url + path, context=self.tls, timeout=10) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                return json.load(error)

    @asynccontextmanager
    async def connected(self, path: str, **options: Json) -> AsyncIterator[ClientConnection]:
        """Open a WebSocket."""
        async with connect(self.websocket_url + path, ssl=self.tls, max_queue=None, **options) as socket:
            yield socket


class Trader:
    """A client of the WebSocket API."""

    def __init__(self, socket: ClientConnection, key: str = "sandbox", secret: str = "sandbox") -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._key, self._secret = key, secret
        self._number = 0

    def request(self, method: str, params: dict[str, Any], *, signed: bool = True) -> str:
        """Return a request as JSON."""
        self._number += 1
        if signed:
            params = {"timestamp": time.time_ns() // 1_000_000, "apiKey": self._key} | params
            text = "&".join(f"{name}={params[name]}" for name in sorted(params))
            params["signature"] = hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return json.dumps({"id": self._number, "method": method, "params": params})

    async def ask(self, method: str, *, signed: bool = True, **params: Json) -> dict[str, Any]:
        """Send a request and return its answer; events that come before it are kept."""
        await self.socket.send(self.request(method, dict(params), signed=signed))
        number = self._number
        while True:
            message = json.loads(await asyncio.wait_for(self.socket.recv(), 10))
            if message.get("id") == number:
                return dict(message)
            self.events.append(message)

    async def event(self, kind: str, **wanted: object) -> dict[str, Any]:
        """Return the next event of a kind whose fields are as wanted."""
        while True:
            for position, message in enumerate(self.events):
                happened = message["event"]
                if happened["e"] == kind and all(happened[name] == value for name, value in wanted.items()):
                    del self.events[: position + 1]
                    return dict(happened)
            self.events.append(json.loads(await asyncio.wait_for(self.socket.recv(), 10)))

    async def limit(self, side: str, price: str, quantity: str, **params: str) -> dict[str, Any]:
        """Place a limit order."""
        order = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC"}
        return await self.ask("order.place", signed=True, **(order | {"price": price, "quantity": quantity} | params))

    async def market(self, side: str, quantity: str, **params: str) -> dict[str, Any]:
        """Place a market order."""
        order = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
        return await self.ask("order.place", signed=True, **(order | params))

    async def balances(self) -> dict[str, tuple[str, str]]:
        """Return free and locked by asset."""
        answer = await self.ask("account.status")
        return {entry["asset"]: (entry["free"], entry["locked"]) for entry in answer["result"]["balances"]}


@pytest.fixture
def run_sandbox(tmp_path: Path) -> Iterator[Callable[..., SandboxProcess]]:
    """Start sandboxes with options, in one data folder unless told otherwise; they end with the test."""
    with ExitStack() as running:

        def run(**options: object) -> SandboxProcess:
            return running.enter_context(SandboxProcess(**({"data_dir": tmp_path / "sandbox"} | options)))

        yield run


@pytest.fixture(scope="session")
def trader() -> type[Trader]:
    """What makes a client of the WebSocket API out of a connection."""
    return Trader


MARKER = b"nothing follows this datagram"


@contextmanager
def capture_port(file: Path, port: int) -> Iterator[None]:
    """Capture a port's traffic on loopback; the block's last packet is in the file when the block is left."""
    tcpdump = shutil.which("tcpdump")
    if tcpdump is None:
        pytest.skip("needs tcpdump")
    command = [tcpdump, "-i", "lo", "-n", "-U", "--immediate-mode", "-w", str(file), f"port {port}"]
    command += [
        "-s",
        "70000",
        "-B",
        "65536",
    ]  # in this mode each packet takes a slot of the largest size: 2 MB lose some
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = ""
        while "listening on" not in said:
            line = process.stderr.readline()
            if not line:
                pytest.skip(f"tcpdump may not capture: {said.strip()}")
            said += line
        yield
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(MARKER, ("127.0.0.1", port))
        give_up = time.monotonic() + 20
        while MARKER not in file.read_bytes()[-500:]:
            assert time.monotonic() < give_up, "the capture does not end"
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture
def captured() -> Callable[[Path, int], AbstractContextManager[None]]:
    """Capture a port on loopback for a `with` block."""
    return capture_port


_CLONE_NEWNET = 0x40000000  # linux/sched.h


@pytest.fixture
def own_network() -> Iterator[None]:
    """Move the test, and what it starts, into a network namespace with nothing but a loopback interface."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces and packet sockets need root")
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(_CLONE_NEWNET):
        os.close(home)
        pytest.skip(f"network namespaces: {os.strerror(ctypes.get_errno())}")
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, capture_output=True)
        yield
    finally:
        assert 0 == libc.setns(home, _CLONE_NEWNET)
        os.close(home)


@pytest.fixture
def cable(own_network: None) -> Iterator[socket.socket]:  # noqa: ARG001 - its links go with that network
    """One end of a cable whose other end is `mirror`: what is sent arrives there."""
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")  # or the kernel would talk too
    for line in ("add name trader type veth peer name mirror", "set trader up", "set mirror up"):
        subprocess.run(["ip", "link", *line.split()], check=True, capture_output=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("trader", 0))
        yield sock
