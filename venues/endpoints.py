"""Where orders may go: the one table of order endpoints. Paper only, by construction.

Each host here is a test venue's, and the path belongs to it. A URL that is not in the table, nor a local address, is
refused wherever an order connection is about to be made or used. There is no switch for live trading.
"""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit


class OrderEndpoint(NamedTuple):
    """A test venue's order entry: always TLS, with a certificate for exactly this host."""

    venue: str
    host: str
    port: int
    path: str


ORDER_ENDPOINTS = (
    # https://developers.binance.com/docs/binance-spot-api-docs/testnet/websocket-api/general-api-information
    OrderEndpoint("binance", "ws-api.testnet.binance.vision", 443, "/ws-api/v3"),
    OrderEndpoint("binance", "ws-api.testnet.binance.vision", 9443, "/ws-api/v3"),
)


def refusal(venue: str, url: str) -> str | None:
    """Say why orders of a venue must not be sent to a URL, or None when they may.

    Args:
        venue: the adapter's name.
        url: the whole URL of the order connection.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_local_address(host):
        return None
    if parts.scheme not in ("wss", "https"):
        return f"orders to {host or url!r} would travel in plain text: only local addresses may"
    target = (venue, host, parts.port or 443, parts.path)
    if parts.username is not None or target not in ORDER_ENDPOINTS:
        return f"{host}:{parts.port or 443}{parts.path} is not a test venue's order endpoint of {venue}"
    return None


def is_local_address(host: str) -> bool:
    """Return whether a host is literally a loopback or private address, or `localhost`; nothing is resolved."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or (address.is_private and not address.is_unspecified and not address.is_reserved)
