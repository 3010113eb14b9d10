"""One market-data message on its way to subscribers: its bytes, with room for the venue's times, and what it means.

Every source (a recording, the synthetic market) yields these in the order of `at_ns`; the timeline plays them.
"""

from msgspec import Struct

from market.events import BookDelta, BookSnapshot, Quote, Trade


class Publication(Struct, frozen=True, gc=False):
    """One message of one stream.

    Attributes:
        at_ns: when it is due, on the source's own clock, ns.
        stream: the venue's name of the stream, `btcusdt@trade`.
        pieces: the payload's bytes around its times: one piece more than there are times.
        times_us: the venue's times in the payload, on the clock of `at_ns`, µs.
        event: what it tells.
    """

    at_ns: int
    stream: str
    pieces: tuple[bytes, ...]
    times_us: tuple[int, ...]
    event: Trade | Quote | BookDelta

    def payload(self, times: tuple[int, ...]) -> bytes:
        """Return the payload with these numbers where its times stand."""
        if not times:
            return self.pieces[0]
        parts = [self.pieces[0]]
        for time, piece in zip(times, self.pieces[1:], strict=True):
            parts.append(b"%d" % time)
            parts.append(piece)
        return b"".join(parts)


class Reset(Struct, frozen=True, gc=False):
    """The whole book at `at_ns`; nothing is sent for it."""

    at_ns: int
    snapshot: BookSnapshot
