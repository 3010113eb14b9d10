"""From packets to figures: which order answered which tick, percentiles, the table and the JSON. Pure.

Payloads are not looked at, so TLS needs no key. A connection on which the client all but listens is the feed; any other
on which it keeps sending carries orders. The contract with the exchange and its clients: every tick is a packet of its
own and causes exactly one order.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table

from wire import Packets

Nanoseconds = npt.NDArray[np.int64]

# Smaller payloads are WebSocket control frames (at most 125 + 6 bytes, in practice 6 to 20; TLS adds 22).
MIN_MESSAGE_BYTES = 100
# A feed's client all but listens; a connection with fewer messages than this share of the ticks carries no orders.
CONTROL_SHARE = 0.1
FLOORS = {"c_floor": "× floor", "c_floor_spin": "× spin"}  # client and its column in the table


@dataclass(frozen=True, slots=True)
class Sample:
    """Tick-to-trade of one run.

    Attributes:
        latencies_ns: tick packet to order packet, shape (answered ticks,).
        missed: ticks without an order before the next tick; more than a few mean that the client cannot keep up, and
            then an order may be paired with a later tick than the one that caused it.
    """

    latencies_ns: Nanoseconds = field(default_factory=lambda: np.empty(0, np.int64))
    missed: int = 0

    def __add__(self, other: "Sample") -> "Sample":
        """Pool the runs of one client."""
        return Sample(np.concatenate((self.latencies_ns, other.latencies_ns)), self.missed + other.missed)


@dataclass(frozen=True, slots=True)
class Figures:
    """Percentiles of one client in microseconds; nearest rank, so each is a latency that occurred."""

    n: int
    missed: int
    p50_us: float
    p95_us: float
    p99_us: float


def ticks_and_orders(packets: Packets) -> tuple[Nanoseconds, Nanoseconds]:
    """Tell ticks from orders.

    Args:
        packets: of dtype `wire.PACKET`, by time.

    Returns:
        The times of both, int64 ns, by time; empty where there is no feed or no order.
    """
    messages = packets[packets["payload_bytes"] >= MIN_MESSAGE_BYTES]
    ports = np.unique(messages["client_port"])
    received = {port: int(np.sum((messages["client_port"] == port) & ~messages["from_client"])) for port in ports}
    sent = {port: int(np.sum((messages["client_port"] == port) & messages["from_client"])) for port in ports}
    feeds = [port for port in ports if sent[port] < CONTROL_SHARE * received[port]]
    if not feeds:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    feed = max(feeds, key=lambda port: received[port])
    routes = [port for port in ports if port not in feeds and sent[port] >= CONTROL_SHARE * received[feed]]
    ticks = messages[(messages["client_port"] == feed) & ~messages["from_client"]]
    orders = messages[np.isin(messages["client_port"], routes) & messages["from_client"]]
    return ticks["time_ns"], orders["time_ns"]


def tick_to_trade(ticks: Nanoseconds, orders: Nanoseconds) -> Sample:
    """Pair each tick but the last with the first order after it and before the next tick.

    Args:
        ticks: times of the tick packets, int64 ns, ascending.
        orders: times of the order packets on the same clock, ascending.

    Returns:
        The latencies of the answered ticks and the number of the others.
    """
    if len(ticks) < 2:
        return Sample()
    started, ended = ticks[:-1], ticks[1:]
    unanswered = np.iinfo(np.int64).max
    first = np.append(orders, unanswered)[np.searchsorted(orders, started, side="right")]
    answered = first <= ended
    return Sample(first[answered] - started[answered], int(np.sum(~answered)))


def figures(sample: Sample) -> Figures:
    """Summarise one client's pooled sample.

    Raises:
        ValueError: the sample is empty.
    """
    if not len(sample.latencies_ns):
        raise ValueError("expected at least one answered tick, was none")
    p50, p95, p99 = np.percentile(sample.latencies_ns / 1000, [50, 95, 99], method="inverted_cdf").tolist()
    return Figures(len(sample.latencies_ns), sample.missed, p50, p95, p99)


def ratio(name: str, floor: str, results: dict[str, Figures]) -> float | None:
    """Return how many times a floor's p50 a client's p50 is; None when the floor was not measured."""
    return results[name].p50_us / results[floor].p50_us if floor in results else None


def as_json(results: dict[str, Figures]) -> dict[str, dict[str, float | int | None]]:
    """Return one object per client: n, missed, p50_us, p95_us, p99_us, and p50 relative to both C floors."""
    return {
        name: {
            "n": found.n,
            "missed": found.missed,
            "p50_us": round(found.p50_us, 1),
            "p95_us": round(found.p95_us, 1),
            "p99_us": round(found.p99_us, 1),
            **{f"ratio_{floor}": _rounded(ratio(name, floor, results)) for floor in FLOORS},
        }
        for name, found in results.items()
    }


def as_table(results: dict[str, Figures]) -> Table:
    """Return the same for people."""
    table = Table(
        title="wire tick-to-trade, µs",
        caption="tick packet to order packet; × is p50 relative to the two C clients",
        box=box.SIMPLE,
        padding=(0, 0, 0, 1),
    )
    table.add_column("client", no_wrap=True)
    for heading in ("n", "missed", "p50", "p95", "p99", *FLOORS.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, found in results.items():
        ratios = [ratio(name, floor, results) for floor in FLOORS]
        table.add_row(
            name,
            f"{found.n:,}",
            f"{found.missed:,}",
            *(_shown(value) for value in (found.p50_us, found.p95_us, found.p99_us)),
            *("–" if value is None else f"{value:.2f}" for value in ratios),
        )
    return table


def _shown(value_us: float) -> str:
    return f"{value_us:,.1f}" if value_us < 1000 else f"{value_us:,.0f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
