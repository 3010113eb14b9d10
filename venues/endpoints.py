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


# loopback, private (RFC 1918, RFC 4193), link-local; Python's `is_private` holds more, such as tunnels to elsewhere
_LOCAL = "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 ::1 fc00::/7 fe80::/10"
LOCAL_NETWORKS = tuple(ipaddress.ip_network(network) for network in _LOCAL.split())

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
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError as error:
        return f"{url!r} is not a URL: {error}"
    if parts.scheme not in ("ws", "wss", "http", "https"):
        return f"{url!r} is not the URL of a WebSocket or of HTTP"
    if is_local_address(host):
        return None
    if parts.scheme not in ("wss", "https"):
        return f"orders to {host or url!r} would travel in plain text: only local addresses may"
    if parts.username is not None or (venue, host, port, parts.path) not in ORDER_ENDPOINTS:
        return f"{host}:{port}{parts.path} is not a test venue's order endpoint of {venue}"
    return None


def is_local_address(host: str) -> bool:
    """Return whether a host is literally a loopback or private address, or `localhost`; nothing is resolved."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in LOCAL_NETWORKS)
