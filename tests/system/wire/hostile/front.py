"""A program that stands before a plain exchange: it ends TLS of one version and cipher, and may compress messages.

Its one argument is a JSON object: `host` and `port` to listen at, `behind`, the exchange's URL, `folder` for its
certificate, `version` and `ciphers` (OpenSSL's names) that it allows, and whether to `compress` (RFC 7692).
"""

import asyncio
import json
import signal
import ssl
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from sandbox.certificate import server_context

GIVEN = json.loads(sys.argv[1])
KEPT_HEADERS = ("X-MBX-APIKEY", "Content-Type")


async def copy(
    source: web.WebSocketResponse | ClientWebSocketResponse, target: web.WebSocketResponse | ClientWebSocketResponse
) -> None:
    """Hand on messages until one side closes."""
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await target.send_str(message.data)


async def pass_on(session: ClientSession, request: web.Request) -> web.StreamResponse:
    """Ask the exchange the same, and answer what it answers."""
    target = GIVEN["behind"] + request.path_qs
    if request.headers.get("Upgrade", "").lower() == "websocket":
        async with session.ws_connect(target, max_msg_size=0) as behind:
            before = web.WebSocketResponse(compress=GIVEN["compress"])
            await before.prepare(request)
            copies = [asyncio.create_task(copy(*pair)) for pair in ((before, behind), (behind, before))]
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for task in copies:
                task.cancel()
            await before.close()
        return before
    headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
    body = await request.read()
    async with session.request(request.method, target, headers=headers, data=body or None) as reply:
        return web.Response(status=reply.status, body=await reply.read(), content_type=reply.content_type)


def context() -> tuple[ssl.SSLContext, Path]:
    """Return the TLS settings, limited to what is wanted, and the authority to trust."""
    made, ca = server_context(Path(GIVEN["folder"]), datetime.now(UTC), GIVEN["host"])
    if GIVEN["version"]:
        made.minimum_version = made.maximum_version = ssl.TLSVersion[GIVEN["version"]]
    if GIVEN["ciphers"]:
        made.set_ciphers(GIVEN["ciphers"])
    return made, ca


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    made, ca = context()
    async with ClientSession(auto_decompress=True) as session:
        application = web.Application()

        async def handle(request: web.Request) -> web.StreamResponse:
            return await pass_on(session, request)

        application.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, GIVEN["host"], GIVEN["port"], ssl_context=made).start()
        print(json.dumps({"ca": str(ca.absolute())}), flush=True)  # noqa: T201 - for whoever started it
        await stop.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 3)


asyncio.run(main())
