"""Binance's answer to a client's mistake: a code, words, and the HTTP status that goes with them.

Source: binance-spot-api-docs, errors.md; bots match the words, so they are the venue's where that page has them. It has
none for an unknown method, a subscription that does not exist, or a self-trade prevention mode: those are ours.
"""

from collections.abc import Mapping


class ApiError(Exception):
    """A request is refused; the client's fault.

    Args:
        code: the venue's error code.
        message: its words.
        status: the HTTP status, also the `status` of the WebSocket API.
    """

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def missing(name: str) -> ApiError:
    """Return -1102 for one parameter."""
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> ApiError:
    """Return -1100 for a parameter with characters outside of its range."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def filter_failure(name: str) -> ApiError:
    """Return -1013 for a filter of filters.md."""
    return ApiError(-1013, f"Filter failure: {name}")


def rejected(message: str) -> ApiError:
    """Return -2010: the matching engine refuses a new order."""
    return ApiError(-2010, message)


INVALID_SYMBOL = (-1121, "Invalid symbol.")
INVALID_SIGNATURE = (-1022, "Signature for this request is not valid.")
INVALID_KEY = (-2015, "Invalid API-key, IP, or permissions for action.")
NO_SUCH_ORDER = (-2013, "Order does not exist.")
UNKNOWN_ORDER = (-2011, "Unknown order sent.")
INSUFFICIENT_BALANCE = "Account has insufficient balance for requested action."
DUPLICATE_ORDER = "Duplicate order sent."
WOULD_TAKE = "Order would immediately match and take."


def time_unit(query: Mapping[str, str]) -> bool:
    """Return whether a URL asks for microseconds.

    Raises:
        ApiError: the parameter is neither unit (-1194).
    """
    unit = query.get("timeUnit", "MILLISECOND")
    if unit.lower() not in {"millisecond", "microsecond"} or unit not in {unit.lower(), unit.upper()}:
        raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    return unit.lower() == "microsecond"
