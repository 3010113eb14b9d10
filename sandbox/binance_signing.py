"""Who sent a signed request of Binance's, and whether it is fresh.

Sources: binance-spot-api-docs, web-socket-api.md and rest-api.md, "Request security". HMAC-SHA-256 keys only. The two
APIs differ: the WebSocket API signs the parameters sorted by name, UTF-8 and not encoded; since 2026-01-15 REST signs
exactly the percent-encoded text that it sends (CHANGELOG.md, 2025-12-17).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from sandbox.accounts import Account
from sandbox.binance_errors import INVALID_KEY, INVALID_SIGNATURE, ApiError, missing

DEFAULT_WINDOW_MS = 5000
MAX_WINDOW_MS = 60000
AHEAD_US = 1_000_000  # a request's time may be this far ahead of ours
_MICROSECONDS_FROM = 10**14  # a timestamp this large is µs
_SIGNATURE = re.compile(r"(?:^|&)signature=[^&]*")


def websocket_payload(params: Mapping[str, str]) -> bytes:
    """Return what a WebSocket API request signs."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature").encode()


def rest_payload(query: str, body: str) -> bytes:
    """Return what a REST request signs: its query string and its body as sent, joined without a separator."""
    return (_SIGNATURE.sub("", query).lstrip("&") + _SIGNATURE.sub("", body).lstrip("&")).encode()


def authenticate(
    accounts: Mapping[str, Account], key: str, params: Mapping[str, str], payload: bytes, now_us: int
) -> Account:
    """Return the account that signed a request.

    Args:
        accounts: by API key.
        key: the API key that the request names.
        params: its parameters, `signature` and `timestamp` among them.
        payload: what the signature is over.
        now_us: Unix µs.

    Raises:
        ApiError: -1102, -2014, -2015, -1022, -1021 or -1131, in this order of checks.
    """
    for name in ("signature", "timestamp"):
        if not params.get(name):
            raise missing(name)
    if not key.isascii() or not key:
        raise ApiError(-2014, "API-key format invalid.")
    account = accounts.get(key)
    if account is None:
        raise ApiError(*INVALID_KEY, status=401)
    signature = hmac.new(account.secret.encode(), payload, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.encode(), params["signature"].lower().encode()):
        raise ApiError(*INVALID_SIGNATURE)
    _check_fresh(params, now_us)
    return account


def _check_fresh(params: Mapping[str, str], now_us: int) -> None:
    text = params["timestamp"]
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise missing("timestamp")
    sent_us = int(text) if int(text) >= _MICROSECONDS_FROM else int(text) * 1000
    try:
        window_ms = Decimal(params.get("recvWindow", DEFAULT_WINDOW_MS))
    except InvalidOperation:
        raise missing("recvWindow") from None
    if not window_ms.is_finite() or not 0 < window_ms <= MAX_WINDOW_MS:
        raise ApiError(-1131, f"'recvWindow' must be less than {MAX_WINDOW_MS}.")
    if sent_us >= now_us + AHEAD_US:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_us - sent_us > window_ms * 1000:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")
