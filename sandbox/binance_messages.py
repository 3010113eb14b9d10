"""Market events as Binance's stream messages, for markets that are not a recording.

Source: binance-spot-api-docs, web-socket-streams.md.
"""

from collections.abc import Iterator

from market.events import BookDelta, Level, Quote, Side, Trade
from market.instrument import Instrument
from sandbox.binance_symbols import padded
from sandbox.publication import Publication
from sandbox.synthetic import Step, SyntheticMarket

STREAM_KINDS = ("trade", "bookTicker", "depth@100ms")


def encode_market(market: SyntheticMarket) -> Iterator[Publication]:
    """Yield a market's events as publications of the three streams, from its present book on."""
    sequence = market.snapshot().sequence
    for step in market:
        if isinstance(step.event, Trade):
            yield _trade(step, step.event)
        elif isinstance(step.event, Quote):
            yield _quote(step, step.event)
        else:
            yield _depth(step, step.event, sequence + 1)
            sequence = step.event.sequence


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


def _depth(step: Step, delta: BookDelta, first_id: int) -> Publication:
    instrument = delta.instrument
    rest = (
        f',"s":"{instrument.symbol}","U":{first_id},"u":{delta.sequence},'
        f'"b":[{_levels(instrument, delta.bids)}],"a":[{_levels(instrument, delta.asks)}]}}'
    )
    pieces = (b'{"e":"depthUpdate","E":', rest.encode())
    return Publication(step.at_ns, _stream(instrument, "depth@100ms"), pieces, (step.at_ns // 1000,), delta)


def _levels(instrument: Instrument, levels: list[Level]) -> str:
    price, qty = instrument.price, instrument.qty
    return ",".join(f'["{padded(price, ticks)}","{padded(qty, lots)}"]' for ticks, lots in levels)


def _stream(instrument: Instrument, kind: str) -> str:
    return f"{instrument.symbol.lower()}@{kind}"
