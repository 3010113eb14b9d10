"""The review for a person's eyes: which run, what came and went, tick-to-trade, the way of an order hop by hop, notes.

Made for 80 columns and wider, with or without colour.
"""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from review.hops import MESSAGE_HOPS, MONITOR_CLOCK, ORDER_HOPS, hop_name
from review.model import Distribution, Review
from review.notes import remarks, warnings
from review.units import bar_text, count_text, duration_text
from review.wire_terminal import wire_lines

_REPLY_FROM = ORDER_HOPS.index(("kernel_tx", "kernel_ack"))
_SECTIONS = {
    "a message comes in": MESSAGE_HOPS,
    "an order goes out": ORDER_HOPS[:_REPLY_FROM],
    "the answer to it": ORDER_HOPS[_REPLY_FROM:],
}
_BESIDE = {  # not on the way from the first packet to the second
    ("exchange", "wire_in"),
    ("exchange", "kernel_rx"),
    ("wire_in", "kernel_rx"),
    ("written", "sent"),
    ("written", "wire_out"),
}
_TICK_TO_TRADE = {"process": "process  read → written", "kernel": "kernel   rx → tx", "wire": "wire     in → out"}
_MAX_BAR_CELLS = 40
_BETWEEN = (0, 1, 0, 0)  # one cell between columns

_Hop = tuple[str, str]


def render(review: Review, console: Console) -> None:
    """Print a review.

    Args:
        review: the review.
        console: where to.
    """
    wire = () if review.wire is None or review.clock is None else (Text(), wire_lines(review.wire, review.clock))
    for line in (*_header(review), Text(), *_counts(review), *wire, Text(), _figures(review, console.width), Text()):
        console.print(line, highlight=False)
    for sentence in warnings(review):
        console.print(_note(Text("!", "bold red"), Text(sentence)))
    for sentence in remarks(review):
        console.print(_note(Text("·", "dim"), Text(sentence, "dim")))


def _note(sign: Text, sentence: Text) -> Table:
    note = Table.grid(padding=_BETWEEN)
    note.add_row(sign, sentence)
    return note


def _header(review: Review) -> Iterator[Text]:
    run = review.run
    began = (run.started or "no record").replace("T", " ").replace("+00:00", " UTC")
    yield Text.assemble(
        (run.name or "a trader", "bold"), f" · {began} · {run.seconds:,.1f} s · {run.ended or 'no end'}"
    )
    what = [", ".join(part) for part in (run.venues, run.symbols, run.strategies) if part]
    yield Text(" · ".join([*what, f"{run.loop} loop"] if run.loop else what))
    yield Text(run.folder, "dim", overflow="fold")


def _counts(review: Review) -> Iterator[Text]:
    trades = "" if review.trades is None else f" ({count_text(review.trades)} trades)"
    done = {"messages" + trades: review.messages, "orders": review.orders, "fills": review.fills}
    if review.cancels:
        done["cancels"] = review.cancels
    yield Text(" · ".join(f"{count_text(count)} {name}" for name, count in done.items()), "bold")
    lost = {
        "gap" if review.gaps == 1 else "gaps": review.gaps,
        "outage" if review.outages == 1 else "outages": review.outages,
        "dropped": review.dropped,
        "rejected": review.rejects,
        "refused": review.refused,
        "unanswered": review.unanswered,
    }
    if review.stamps.order_violations:
        lost["out of order"] = review.stamps.order_violations
    yield Text(" · ").join(
        Text(f"{count_text(count)} {name}", "bold red" if count else "green") for name, count in lost.items()
    )


def _figures(review: Review, width: int) -> Table:
    rows = list(_rows(review))
    heads = ["", "n", *(f"{name}  " for name in ("p50", "p90", "p99", "p99.9", "max"))]
    widths = [max(len(head), *[len(row[at]) for row, _ in rows if at < len(row)], 0) for at, head in enumerate(heads)]
    table = Table(box=None, pad_edge=False, padding=_BETWEEN, header_style="dim")
    for at, (head, cells) in enumerate(zip(heads, widths, strict=True)):
        table.add_column(head, justify="right" if at else "left", width=cells, no_wrap=True)
    bar_cells = min(width - sum(widths) - len(widths), _MAX_BAR_CELLS)
    bars = _bars(review, bar_cells)
    if bars:
        table.add_column("", width=bar_cells, no_wrap=True)
    for row, hop in rows:
        drawn = [Text(bars[hop], "cyan")] if hop in bars else []
        table.add_row(*row, *drawn)
    return table


def _rows(review: Review) -> Iterator[tuple[list[Text], _Hop | None]]:
    """Yield the cells of each row, and the hop that it shows."""
    yield [Text("tick-to-trade", "bold")], None
    for place, label in _TICK_TO_TRADE.items():
        yield _cells(label, getattr(review.tick_to_trade, place), "bold cyan"), None
    for title, hops in _SECTIONS.items():
        yield [], None
        yield [Text(title, "bold")], None
        for start, end in hops:
            if not _shown(review, start, end):
                continue
            label = f"{start} → {end}".replace("reply_", "")
            yield _cells(label, review.hops[hop_name(start, end)], ""), (start, end)


def _shown(review: Review, start: str, end: str) -> bool:
    """Tell whether a hop has a row: those of a capture only with one, and then one row from the exchange is enough."""
    if {start, end} & MONITOR_CLOCK:
        return review.wire is not None
    return (start, end) != ("exchange", "kernel_rx") or review.hops[hop_name("exchange", "wire_in")] is None


def _cells(label: str, found: Distribution | None, style: str) -> list[Text]:
    if found is None:
        return [Text(label, "dim"), Text("none", "dim")]
    durations = (found.p50_ns, found.p90_ns, found.p99_ns, found.p999_ns, found.max_ns)
    return [
        Text(label, style),
        Text(count_text(found.n), "dim"),
        *(Text(duration_text(duration_ns), style) for duration_ns in durations),
    ]


def _bars(review: Review, cells: int) -> dict[_Hop, str]:
    """Draw each hop between the two packets where it begins and as long as it takes, by its p50."""
    chain = [hop for hop in (*MESSAGE_HOPS, *ORDER_HOPS[:_REPLY_FROM]) if hop not in _BESIDE]
    medians = {}
    for hop in chain:
        found = review.hops[hop_name(*hop)]
        medians[hop] = max(found.p50_ns, 0) if found is not None else 0
    whole = sum(medians.values())
    if whole == 0 or cells < 1:
        return {}
    bars, begin = {}, 0
    for hop, median in medians.items():
        bars[hop] = bar_text(begin / whole, median / whole, cells)
        begin += median
    return bars
