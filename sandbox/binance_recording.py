"""A recorded Binance spot session as publications: combined-stream messages, and the REST snapshot among them.

Message bytes pass through unchanged but for the venue's times (`E`, `T`). The recording host's clock may be wrong by
seconds: the smallest delay `receipt − E` seen in the first lines counts as no delay at all, and the venue's times are
moved to the host's clock by it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from market.events import BookDelta, BookSnapshot, Level, Quote, Side, Trade
from market.instrument import Instrument
from market.scale import ScaleError
from sandbox.errors import OptionsError, RecordingError
from sandbox.publication import Publication, Reset
from sandbox.recording import Line, read_lines

HEAD_LINES = 1000  # where the REST snapshot and the host's clock error are looked for
REMEMBERED_NUMBERS = 1 << 16
_TIME = re.compile(rb'"[ET]":(\d+)')
_MICROSECONDS_FROM = 10**14  # as ms this would be the year 5138


class _TradeMessage(Struct):
    E: int
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _QuoteMessage(Struct):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str


class _DepthMessage(Struct):
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _SnapshotMessage(Struct):
    lastUpdateId: int  # noqa: N815 - Binance's spelling
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_snapshot = msgspec.json.Decoder(_SnapshotMessage)
_KINDS: dict[str, msgspec.json.Decoder[Any]] = {
    "trade": msgspec.json.Decoder(_TradeMessage),
    "bookTicker": msgspec.json.Decoder(_QuoteMessage),
    "depth@100ms": msgspec.json.Decoder(_DepthMessage),
}


class BinanceRecording:
    """Recordings played one after the other as one session of one instrument.

    Args:
        paths: the files in the order of play, at least one.
        instrument: what they must be recordings of.

    Attributes:
        seed: the book before the first message: the REST snapshot among the first lines; without one, an empty book
            that the first depth update continues.

    Raises:
        OptionsError: no file is named.
        RecordingError: a file cannot be opened or is empty, or one of the first lines of the first is damaged.
    """

    def __init__(self, paths: Sequence[Path], instrument: Instrument) -> None:
        if not paths:
            raise OptionsError("expected at least one recording to replay")
        self._paths = tuple(paths)
        self._instrument = instrument
        # the same few prices and quantities come again and again: a third of the time of an unpaced replay
        self._price = lru_cache(REMEMBERED_NUMBERS)(instrument.price.parse)
        self._qty = lru_cache(REMEMBERED_NUMBERS)(instrument.qty.parse)
        self._skew_us = 0
        for path in self._paths:
            if next(read_lines(path), None) is None:
                raise RecordingError(path, 1, "expected recorded messages: the file is empty")
        self.seed = self._scan_head()

    def __iter__(self) -> Iterator[Publication | Reset]:
        """Play from the beginning.

        Raises:
            RecordingError: a line that is reached is damaged or goes back before the previous file's end.
        """
        previous_ns = 0
        for path in self._paths:
            for line in read_lines(path):
                if line.received_ns < previous_ns:
                    reason = f"expected to continue the recording before it, at {previous_ns}, was {line.received_ns}"
                    raise RecordingError(path, line.number, reason)
                previous_ns = line.received_ns
                yield self._parse(line)

    def _scan_head(self) -> BookSnapshot:
        snapshot: BookSnapshot | None = None
        first_update = 0
        skews = []
        for line in islice(read_lines(self._paths[0]), HEAD_LINES):
            entry = self._parse(line)
            if isinstance(entry, Reset):
                snapshot = snapshot or entry.snapshot
                continue
            if entry.times_us:
                skews.append(entry.times_us[0] - line.received_ns // 1000)
            if isinstance(entry.event, BookDelta) and not first_update:
                first_update = _depth_first_update(line)
        self._skew_us = max(skews, default=0)
        return snapshot or BookSnapshot(self._instrument, [], [], max(first_update - 1, 0), None)

    def _parse(self, line: Line) -> Publication | Reset:
        try:
            if line.body.startswith(b'{"lastUpdateId"'):
                message = _snapshot.decode(line.body)
                bids, asks = self._levels(message.bids), self._levels(message.asks)
                return Reset(line.received_ns, BookSnapshot(self._instrument, bids, asks, message.lastUpdateId, None))
            return self._publication(line, *_unwrap(line.body))
        except (msgspec.DecodeError, ScaleError, UnicodeDecodeError) as error:
            reason = f"expected a combined-stream message of Binance spot or a REST depth snapshot: {error}"
            raise RecordingError(line.path, line.number, reason) from None

    def _publication(self, line: Line, stream: str, data: bytes) -> Publication:
        symbol, _, kind = stream.partition("@")
        decoder = _KINDS.get(kind)
        if decoder is None or symbol != self._instrument.symbol.lower():
            expected = ", ".join(f"{self._instrument.symbol.lower()}@{name}" for name in _KINDS)
            raise RecordingError(line.path, line.number, f"expected one of the streams {expected}, was {stream[:80]!r}")
        event = self._event(decoder.decode(data))
        if isinstance(event, Quote):
            return Publication(line.received_ns, stream, (data,), (), event)
        pieces, times = self._split(data)
        return Publication(line.received_ns, stream, pieces, times, event)

    def _split(self, data: bytes) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
        """Cut the payload around its times and move those to the host's clock, µs."""
        pieces = []
        times = []
        start = 0
        for match in _TIME.finditer(data):
            pieces.append(data[start : match.start(1)])
            value = int(match[1])
            times.append((value if value >= _MICROSECONDS_FROM else value * 1000) - self._skew_us)
            start = match.end(1)
        pieces.append(data[start:])
        return tuple(pieces), tuple(times)

    def _event(self, message: _TradeMessage | _QuoteMessage | _DepthMessage) -> Trade | Quote | BookDelta:
        instrument = self._instrument
        if isinstance(message, _QuoteMessage):
            price, qty = self._price, self._qty
            return Quote(instrument, price(message.b), qty(message.B), price(message.a), qty(message.A), None)
        if isinstance(message, _DepthMessage):
            return BookDelta(instrument, self._levels(message.b), self._levels(message.a), message.u, None)
        aggressor = Side.SELL if message.m else Side.BUY  # m: the buyer was the maker
        price_ticks, qty_lots = self._price(message.p), self._qty(message.q)
        return Trade(instrument, price_ticks, qty_lots, aggressor, message.t, None)

    def _levels(self, levels: list[tuple[str, str]]) -> list[Level]:
        price, qty = self._price, self._qty
        return [(price(ticks), qty(lots)) for ticks, lots in levels]


def _unwrap(body: bytes) -> tuple[str, bytes]:
    """Split a combined-stream message, in the form in which the venue sends it, into stream name and payload."""
    name, separator, rest = body.partition(b'","data":')
    if not separator or not name.startswith(b'{"stream":"') or not rest.endswith(b"}"):
        raise msgspec.DecodeError('no {"stream":"…","data":…}')
    return name[11:].decode(), rest[:-1]


def _depth_first_update(line: Line) -> int:
    decoder: msgspec.json.Decoder[_DepthMessage] = _KINDS["depth@100ms"]
    return decoder.decode(_unwrap(line.body)[1]).U
