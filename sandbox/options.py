"""How a sandbox is to be run, and what it tells once it listens."""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True)
class SandboxOptions:
    """Everything that a sandbox needs to know.

    Attributes:
        data_dir: where its certificate and its database live.
        host, port: where it listens; port 0 takes any free one.
        plain: no TLS.
        replay: recordings to play one after the other; empty for the synthetic market.
        speed: how much faster than recorded; `inf` plays as fast as the slowest subscriber reads.
        seed, rate: of the synthetic market: its random seed, and how many times the recorded message rate.
        accounts: (API key, secret) of each account.
        balances: what a new account starts with, by asset.
        maker_fee, taker_fee: commission as a share of what is received.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    plain: bool = False
    replay: tuple[Path, ...] = ()
    speed: float = 1.0
    seed: int = 1
    rate: float = 1.0
    accounts: tuple[tuple[str, str], ...] = field(default=(("sandbox", "sandbox"),), repr=False)
    balances: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(1_000_000), "BTC": Decimal(100)})
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")


@dataclass(frozen=True)
class Listening:
    """Where a sandbox listens.

    Attributes:
        host, port: its address.
        ca_file: the certificate that its clients must trust, None for plain text.
    """

    host: str
    port: int
    ca_file: Path | None

    @property
    def http_url(self) -> str:
        """The base of REST addresses."""
        return f"{'http' if self.ca_file is None else 'https'}://{self._authority}"

    @property
    def websocket_url(self) -> str:
        """The base of WebSocket addresses."""
        return f"{'ws' if self.ca_file is None else 'wss'}://{self._authority}"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
