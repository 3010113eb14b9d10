"""Market events as Binance's stream messages: for the synthetic market, and for streams that were not recorded.

Source: binance-spot-api-docs, web-socket-streams.md.
"""

from collections.abc import Iterable, Iterator

from market.events import BookDelta, Level, Quote, Side, Trade
from market.instrument import Instrument
from sandbox.binance_symbols import padded
from sandbox.publication import Publication, Reset
from sandbox.synthetic import Step, SyntheticMarket

STREAM_KINDS = ("trade", "bookTicker", "depth@100ms")
SLOW_DEPTH = "depth"  # the same changes as depth@100ms, once a second
SLOW_DEPTH_NS = 1_000_000_000


def encode_market(market: SyntheticMarket) -> Iterator[Publication]:
    """Yield a market's events as publications of the three streams, from its present book on."""
    sequence = market.snapshot().sequence
    for step in market:
        if isinstance(step.event, Trade):
            yield _trade(step, step.event)
        elif isinstance(step.event, Quote):
            yield _quote(step, step.event)
        else:
            yield _depth(step.at_ns, step.at_ns // 1000, "depth@100ms", sequence + 1, step.event)
            sequence = step.event.sequence


def with_slow_depth(entries: Iterable[Publication | Reset]) -> Iterator[Publication | Reset]:
    """Add the `depth` stream: what `depth@100ms` told in a second, each level with its last quantity.

    The first update of a source only opens the first second; a client's snapshot is past it.
    """
    first_id = 0
    due_ns = 0
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for entry in entries:
        yield entry
        if not isinstance(entry, Publication) or not isinstance(entry.event, BookDelta):
            continue
        delta = entry.event
        if first_id:
            bids.update(delta.bids)
            asks.update(delta.asks)
        if first_id and entry.at_ns >= due_ns:
            merged = BookDelta(delta.instrument, list(bids.items()), list(asks.items()), delta.sequence, None)
            yield _depth(entry.at_ns, entry.times_us[0], SLOW_DEPTH, first_id, merged)
        if not first_id or entry.at_ns >= due_ns:
            first_id, due_ns = delta.sequence + 1, entry.at_ns + SLOW_DEPTH_NS
            bids, asks = {}, {}


def _trade(step: Step, trade: Trade) -> Publication:
    instrument = trade.instrument
    price, qty = padded(instrument.price, trade.price_ticks), padded(instrument.qty, trade.qty_lots)
    maker_buys = "true" if trade.aggressor is Side.SELL else "false"
    middle = f',"s":"{instrument.symbol}","t":{trade.trade_id},"p":"{price}","q":"{qty}","T":'
    pieces = (b'{"e":"trade","E":', middle.encode(), f',"m":{maker_buys},"M":true}}'.encode())
    return Publication(step.at_ns, _stream(instrument, "trade"), pieces, (step.at_ns // 1000,) * 2, trade)


def _quote(step: Step, quote: Quote) -> Publication:
    instrument = quote.instrument
    price, qty = instrument.price, instrument.qty
    text = (
        f'{{"u":{step.sequence},"s":"{instrument.symbol}",'
        f'"b":"{padded(price, quote.bid_ticks)}","B":"{padded(qty, quote.bid_lots)}",'
        f'"a":"{padded(price, quote.ask_ticks)}","A":"{padded(qty, quote.ask_lots)}"}}'
    )
    return Publication(step.at_ns, _stream(instrument, "bookTicker"), (text.encode(),), (), quote)


def _depth(at_ns: int, time_us: int, kind: str, first_id: int, delta: BookDelta) -> Publication:
    instrument = delta.instrument
    rest = (
        f',"s":"{instrument.symbol}","U":{first_id},"u":{delta.sequence},'
        f'"b":[{_levels(instrument, delta.bids)}],"a":[{_levels(instrument, delta.asks)}]}}'
    )
    pieces = (b'{"e":"depthUpdate","E":', rest.encode())
    return Publication(at_ns, _stream(instrument, kind), pieces, (time_us,), delta)


def _levels(instrument: Instrument, levels: list[Level]) -> str:
    price, qty = instrument.price, instrument.qty
    return ",".join(f'["{padded(price, ticks)}","{padded(qty, lots)}"]' for ticks, lots in levels)


def _stream(instrument: Instrument, kind: str) -> str:
    return f"{instrument.symbol.lower()}@{kind}"
