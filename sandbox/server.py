"""Assembles a sandbox and serves it: one port for REST, market streams, the WebSocket API and its own status.

`serve` runs until it is cancelled or its recording turns out to be damaged. Signals are its caller's business.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from market.events import BookSnapshot
from sandbox.binance_api import BinanceApi
from sandbox.binance_errors import ApiError
from sandbox.binance_messages import SLOW_DEPTH, STREAM_KINDS, encode_market, with_slow_depth
from sandbox.binance_recording import BinanceRecording
from sandbox.binance_rest import RestApi, error_response
from sandbox.binance_streams import StreamServer
from sandbox.binance_symbols import BTCUSDT
from sandbox.binance_wsapi import WebSocketApi
from sandbox.certificate import server_context
from sandbox.commit import Committer
from sandbox.connection import Connection
from sandbox.errors import OptionsError, SandboxError
from sandbox.exchange import Exchange
from sandbox.fanout import Fanout
from sandbox.options import Listening, SandboxOptions
from sandbox.publication import Publication, Reset
from sandbox.store import Store
from sandbox.synthetic import SyntheticMarket
from sandbox.timeline import Timeline

DATABASE_FILE = "binance.sqlite"
GOODBYE_SECONDS = 1.0


async def serve(options: SandboxOptions, ready: Callable[[Listening], None]) -> None:
    """Run a sandbox until cancelled.

    Args:
        options: what to serve.
        ready: called once, when clients can connect.

    Raises:
        SandboxError: an option is wrong, the port is taken, the store cannot be used, or a recording is damaged where
            the replay has got to; what came before the damage has been sent.
    """
    if not options.speed > 0:
        raise OptionsError(f"expected a speed above 0, was {options.speed}")
    source, book = _open_market(options)
    store = Store(options.data_dir / DATABASE_FILE, {BTCUSDT.symbol: BTCUSDT})
    with contextlib.closing(store):
        sandbox = _Sandbox(options, store, source)
        sandbox.start_market(book)
        await sandbox.run(ready)


def _open_market(options: SandboxOptions) -> tuple[Iterable[Publication | Reset], BookSnapshot]:
    if options.replay:
        recording = BinanceRecording(options.replay, BTCUSDT)
        return recording, recording.seed
    market = SyntheticMarket(BTCUSDT, seed=options.seed, rate=options.rate)
    return encode_market(market), market.snapshot()


class _Sandbox:
    """The parts of one sandbox."""

    def __init__(self, options: SandboxOptions, store: Store, source: Iterable[Publication | Reset]) -> None:
        self._options = options
        self._store = store
        self._connections: set[Connection] = set()
        self._exchange = Exchange(
            [BTCUSDT], store, options.accounts, options.balances,
            maker_fee=options.maker_fee, taker_fee=options.taker_fee,
        )  # fmt: skip
        self._committer = Committer(store)
        self._fanout = Fanout(frozenset(_stream(kind) for kind in (*STREAM_KINDS, SLOW_DEPTH)))
        self._timeline = Timeline(with_slow_depth(source), options.speed, self._apply, self._fanout)

    def start_market(self, book: BookSnapshot) -> None:
        """Take the book that the market starts from."""
        self._apply(Reset(0, book))
        self._store.commit()

    async def run(self, ready: Callable[[Listening], None]) -> None:
        """Serve, and play the market, until cancelled or the market fails."""
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=GOODBYE_SECONDS)
        await runner.setup()
        try:
            ready(await self._listen(runner))
            await self._timeline.run()
            await asyncio.get_running_loop().create_future()  # the market is over, the exchange stays open
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await asyncio.gather(*(connection.close("going away") for connection in self._connections))
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> Listening:
        options = self._options
        context, ca_file = None, None
        if not options.plain:
            try:
                context, ca_file = server_context(options.data_dir, datetime.now(UTC), options.host)
            except (OSError, ValueError) as error:
                raise SandboxError(f"cannot make or read a certificate in {options.data_dir}: {error}") from None
        site = web.TCPSite(runner, options.host, options.port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            raise SandboxError(f"cannot listen on {options.host} port {options.port}: {error.strerror}") from None
        host, port = runner.addresses[0][:2]
        return Listening(host, port, ca_file)

    def _application(self) -> web.Application:
        api = BinanceApi(self._exchange, self._store)
        streams = StreamServer(self._fanout, self._connections)
        application = web.Application(middlewares=[_venue_errors])
        application.add_routes(RestApi(api, self._committer).routes())
        application.add_routes(
            [
                web.get("/ws-api/v3", WebSocketApi(api, self._committer, self._connections).serve),
                web.get("/stream", streams.combined),
                web.get("/ws", streams.raw),
                web.get("/ws/{streams:.*}", streams.raw),
                web.get("/sandbox/status", self._status),
            ]
        )
        return application

    def _apply(self, entry: Publication | Reset) -> None:
        self._exchange.apply(entry, time.time_ns() // 1000)

    async def _status(self, _request: web.Request) -> web.Response:
        orders, fills = self._store.counts()
        status = {
            "sent": self._fanout.sent.total(),
            "sent_by_stream": dict(self._fanout.sent),
            "published": sum(self._fanout.published[_stream(kind)] for kind in STREAM_KINDS),
            "finished": self._timeline.finished,
            "subscribers": len(self._fanout.subscribers),
            "orders": orders,
            "fills": fills,
            "speed": None if math.isinf(self._options.speed) else self._options.speed,
        }
        return web.Response(body=msgspec.json.encode(status), content_type="application/json")


def _stream(kind: str) -> str:
    return f"{BTCUSDT.symbol.lower()}@{kind}"


@web.middleware
async def _venue_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a refused request as the venue does, also before a WebSocket is open."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
