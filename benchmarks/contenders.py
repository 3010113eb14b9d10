"""Who is measured: the C floors, the Python peers and the trader itself, each as a command to start.

Every client is a fresh process that trades until it is ended; where it connects is known only when the exchange runs.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
WIRESTAMP = Path(sys.executable).with_name("wirestamp")
TRADER_ENVIRONMENT = {
    "WIRESTAMP_BINANCE_LOCAL_KEY": "benchmark-key",
    "WIRESTAMP_BINANCE_LOCAL_SECRET": "benchmark-secret",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client finds what it needs.

    Attributes:
        port: the exchange's port on 127.0.0.1 that this client uses, TLS or plain.
        client: the compiled C client.
        certificate: the authority of the TLS port, PEM.
        directory: an empty folder for the client's own files.
    """

    port: int
    client: Path
    certificate: Path
    directory: Path


@dataclass(frozen=True, slots=True)
class Contender:
    """One client.

    Attributes:
        name: as in the results.
        command: the arguments that start it, given its place.
        absent: the reason why it cannot run here, None when it can.
        tls: whether it uses the TLS port.
        environment: what it needs besides the benchmark's own environment.
    """

    name: str
    command: Callable[[Place], list[str]]
    absent: Callable[[], str | None]
    tls: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def trader_config(place: Place, loop: str, *, tls: bool) -> str:
    """Return the trader's configuration: one trade feed, one route, one order per trade.

    Args:
        place: the exchange's port and certificate, and the folder of the journal.
        loop: `uvloop` or `spin`.
        tls: whether the port speaks TLS.
    """
    local = f'url = "https://127.0.0.1:{place.port}"\nca = "{place.certificate}"'
    if not tls:
        local = f'url = "http://127.0.0.1:{place.port}"'
    return f"""\
[trader]
name = "bench"
data_dir = "{place.directory}"
loop = "{loop}"
[local]
{local}
[[feed]]
venue = "binance"
environment = "local"
symbols = ["BTC-USDT"]
channels = ["trade"]
[[route]]
name = "main"
kind = "venue"
venue = "binance"
environment = "local"
[[strategy]]
use = "{HERE / "every_trade.py"}:EveryTrade"
route = "main"
"""


def contenders() -> list[Contender]:
    """Return all clients, in the order in which they are measured and shown."""
    return [
        _floor("c_floor", "wait"),
        _floor("c_floor_spin", "spin"),
        _peer("picows", "picows", "orjson"),
        _peer("websockets_aiohttp", "orjson"),
        _peer("ccxt_pro", "ccxt"),
        *(_trader(loop, tls=tls) for tls in (False, True) for loop in ("uvloop", "spin")),
    ]


def _floor(name: str, how: str) -> Contender:
    return Contender(name, lambda place: [str(place.client), str(place.port), how], lambda: None)


def _peer(name: str, *packages: str) -> Contender:
    script = HERE / "peers" / f"{name}_client.py"

    def absent() -> str | None:
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        return f"not installed: {', '.join(missing)}; pip install -e '.[bench]' installs it" if missing else None

    return Contender(name, lambda place: [sys.executable, str(script), str(place.port)], absent)


def _trader(loop: str, *, tls: bool) -> Contender:
    def command(place: Place) -> list[str]:
        config = place.directory / "bench.toml"
        config.write_text(trader_config(place, loop, tls=tls))
        return [str(WIRESTAMP), "run", "-c", str(config)]

    name = f"wirestamp_{loop}{'_tls' if tls else ''}"
    return Contender(name, command, _trader_absent, tls, TRADER_ENVIRONMENT)


def _trader_absent() -> str | None:
    if not os.access(WIRESTAMP, os.X_OK):
        return f"{WIRESTAMP} does not exist: pip install -e ."
    done = subprocess.run([str(WIRESTAMP), "run", "--help"], capture_output=True, check=False)
    return "`wirestamp run --help` does not work" if done.returncode else None
