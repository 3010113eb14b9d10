"""`wirestamp sandbox`: the local exchange in this process."""

import asyncio
import contextlib
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from sandbox.errors import SandboxError
from sandbox.options import Listening, SandboxOptions
from sandbox.server import serve

_ACCOUNT = "WIRESTAMP_BINANCE_LOCAL"


def speed_factor(speed: str) -> float:
    """Return what `--speed` means: a factor, infinite for `max`.

    Raises:
        ValueError: it is neither a positive number nor `max`.
    """
    try:
        factor = math.inf if speed == "max" else float(speed)
    except ValueError:
        factor = 0
    if not factor > 0:
        raise ValueError(f"--speed: was {speed!r}, expected a number above 0, or max")
    return factor


def sandbox_options(
    data: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    replay: Sequence[Path] = (),
    speed: str = "1",
    seed: int = 1,
    rate: float = 1.0,
    *,
    plain: bool = False,
) -> SandboxOptions:
    """Return the sandbox's options from what a person says.

    Args:
        data: its folder.
        host: the address to listen at.
        port: the port, 0 for any free one.
        replay: recordings to play, in order.
        speed: a factor, or `max`.
        seed: the synthetic market's random seed.
        rate: its message rate, as a factor of the recorded one.
        plain: no TLS.

    Raises:
        ValueError: the speed is neither a positive number nor `max`.
    """
    factor = speed_factor(speed)
    account = (os.environ.get(f"{_ACCOUNT}_KEY", "sandbox"), os.environ.get(f"{_ACCOUNT}_SECRET", "sandbox"))
    return SandboxOptions(
        data_dir=data,
        host=host,
        port=port,
        plain=plain,
        replay=tuple(replay),
        speed=factor,
        seed=seed,
        rate=rate,
        accounts=(account,),
    )


def serve_sandbox(options: SandboxOptions) -> int:
    """Serve until SIGTERM or Ctrl-C.

    When it listens, one JSON object is printed on standard output: `url` and, with TLS, `ca`.

    Args:
        options: what to serve.

    Returns:
        The exit status: 0 when it was told to stop, 3 when it could not serve.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signal(options))
    except SandboxError as error:
        print(f"wirestamp sandbox: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
        return 3
    return 0


async def _until_signal(options: SandboxOptions) -> None:
    task = asyncio.create_task(serve(options, _say))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _say(listening: Listening) -> None:
    ca = str(listening.ca_file) if listening.ca_file is not None else None
    print(msgspec.json.encode({"url": listening.http_url, "ca": ca}).decode(), flush=True)  # noqa: T201
    if sys.stderr.isatty():
        print(  # noqa: T201
            "A Binance spot of your own; its market moves while somebody listens. Ctrl-C ends it.", file=sys.stderr
        )
