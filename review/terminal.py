"""The review for a person's eyes: which run, what came and went, tick-to-trade, the way of an order hop by hop, notes.

Made for 80 columns and wider, with or without colour.
"""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from review.hops import MESSAGE_HOPS, ORDER_HOPS, hop_name
from review.model import Distribution, Review
from review.notes import notes
from review.units import bar_text, count_text, duration_text

_QUANTILES = {"p50": "p50_ns", "p90": "p90_ns", "p99": "p99_ns", "p99.9": "p999_ns", "max": "max_ns"}
_TICK_TO_TRADE = {"process": "read → written", "kernel": "kernel_rx → kernel_tx", "wire": "wire_in → wire_out"}
# the hops that follow one another from the packet to the packet; the others lie beside them or come after
_CHAIN = (
    ("kernel_rx", "read"), ("read", "decoded"), ("decoded", "decided"), ("decided", "encoded"), ("encoded", "written"),
    ("written", "kernel_sched"), ("kernel_sched", "kernel_tx"),
)  # fmt: skip
_SECTIONS = {"exchange": "a message comes in", "decoded": "an order goes out", "kernel_tx": "and is answered"}
_LABEL_CELLS = 29
_FIXED_CELLS = 76  # of the table without its bars
_BAR_CELLS = 32  # at most


def render(review: Review, console: Console) -> None:
    """Print a review.

    Args:
        review: the review.
        console: where to.
    """
    console.print(_header(review), highlight=False)
    console.print()
    console.print(_counts(review), highlight=False)
    console.print()
    console.print(_tick_to_trade(review))
    console.print()
    console.print(_way(review, console.width))
    console.print()
    for weight, sentence in notes(review):
        sign = Text("! ", "bold red") if weight == "bad" else Text("· ", "dim")
        console.print(_hanging(sign, sentence, "" if weight == "bad" else "dim"))
