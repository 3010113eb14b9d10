"""Recorded Binance sessions: every message, its bytes, its times, and what is wrong with a damaged one."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from market.events import BookDelta, Quote, Side, Trade
from sandbox.binance_recording import BinanceRecording
from sandbox.binance_symbols import BTCUSDT
from sandbox.errors import OptionsError, RecordingError
from sandbox.publication import Publication, Reset

DEPTH = b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1500,"s":"BTCUSDT","U":5,"u":7,"b":[["1.00","2"]],"a":[]}}'  # noqa: E501 - one message
TRADE = b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1501,"s":"BTCUSDT","t":1,"p":"1.00","q":"0.5","T":1500,"m":true,"M":true}}'  # noqa: E501 - one message


def recording(path: Path, *bodies: bytes) -> BinanceRecording:
    text = b"".join(b"%d %b\n" % (1_000_000_000 + number, body) for number, body in enumerate(bodies))
    path.write_bytes(gzip.compress(text))
    return BinanceRecording([path], BTCUSDT)


def test_every_recorded_message_comes_once_byte_for_byte(spot_recording: Path) -> None:
    """With its own times put back, each publication is the recorded message."""
    session = BinanceRecording([spot_recording], BTCUSDT)
    kinds: Counter[str] = Counter()
    with gzip.open(spot_recording) as file:
        for line, entry in zip(file, session, strict=True):
            body = line.partition(b" ")[2].rstrip()
            if isinstance(entry, Reset):
                assert json.loads(body)["lastUpdateId"] == entry.snapshot.sequence
                continue
            recorded = json.loads(body)["data"]
            times = tuple(recorded[name] for name in ("E", "T") if name in recorded)
            kinds[entry.stream.partition("@")[2]] += 1
            assert body == b'{"stream":"%b","data":%b}' % (entry.stream.encode(), entry.payload(times))
    assert kinds == {"bookTicker": 28040, "trade": 9757, "depth@100ms": 3451}


def test_two_files_are_one_session(recordings: Path) -> None:
    """99,573 messages through midnight, with one snapshot and one unbroken chain of depth updates."""
    names = ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz")
    session = BinanceRecording([recordings / "binance" / name for name in names], BTCUSDT)
    entries = list(session)
    assert sum(isinstance(entry, Publication) for entry in entries) == 99_573
    times = [entry.at_ns for entry in entries]
    assert times == sorted(times)


def test_the_seed_is_the_recorded_snapshot(spot_recording: Path) -> None:
    """The snapshot stands among the first lines and is known before the first message."""
    seed = BinanceRecording([spot_recording], BTCUSDT).seed
    assert (seed.sequence, len(seed.bids), len(seed.asks)) == (50093239218, 1000, 1000)


def test_the_hosts_clock_error_is_taken_out(spot_recording: Path) -> None:
    """The host's clock was 1.27 s behind; no venue time is later than its receipt by more than the clocks' drift."""
    early = [
        entry.times_us[0] - entry.at_ns // 1000
        for entry in BinanceRecording([spot_recording], BTCUSDT)
        if isinstance(entry, Publication) and entry.times_us
    ]
    assert -5_000 < max(early) < 5_000


def test_without_a_snapshot_the_book_begins_empty_before_the_first_update(tmp_path: Path) -> None:
    """The first depth update then continues it."""
    assert recording(tmp_path / "a.gz", TRADE, DEPTH).seed.sequence == 4


def test_messages_mean_what_they_say(tmp_path: Path) -> None:
    """A buyer that was the maker means a seller who took."""
    quote = b'{"stream":"btcusdt@bookTicker","data":{"u":9,"s":"BTCUSDT","b":"1.00","B":"2","a":"1.01","A":"3"}}'
    events = [e.event for e in recording(tmp_path / "a.gz", TRADE, DEPTH, quote) if isinstance(e, Publication)]
    trade, delta, top = events
    assert isinstance(trade, Trade)
    assert isinstance(delta, BookDelta)
    assert isinstance(top, Quote)
    assert (trade.price_ticks, trade.qty_lots, trade.aggressor) == (100, 500_000, Side.SELL)
    assert (delta.bids, delta.asks, delta.sequence) == ([(100, 2_000_000)], [], 7)
    assert (top.bid_ticks, top.ask_ticks, top.ask_lots) == (100, 101, 3_000_000)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (TRADE[:-20], "expected a combined-stream message"),
        (TRADE.replace(b'"t":1', b'"t":"one"'), "Expected `int`, got `str`"),
        (TRADE.replace(b'"q":"0.5",', b""), "missing required field `q`"),
        (TRADE.replace(b"1.00", b"1.001"), "expected a multiple of 0.01, was 1.001"),
        (TRADE.replace(b"1.00", b"-1"), "expected an unsigned decimal number"),
        (TRADE.replace(b"btcusdt@trade", b"btcusdt@kline_1m"), "expected one of the streams btcusdt@trade"),
        (TRADE.replace(b"btcusdt@", b"ethusdt@"), "was 'ethusdt@trade'"),
        (b"[]", "expected a combined-stream message"),
        (b'{"lastUpdateId":"x"}', "Expected `int`"),
    ],
)
def test_a_damaged_message_is_named(tmp_path: Path, body: bytes, expected: str) -> None:
    """The error has the file, the line and what was expected; in the first lines it comes before anything is served."""
    with pytest.raises(RecordingError) as caught:
        recording(tmp_path / "bad.gz", TRADE, body)
    assert caught.value.line == 2
    assert expected in str(caught.value)


def test_a_file_that_goes_back_in_time_is_refused(tmp_path: Path) -> None:
    """Recordings are played in the order in which they were made."""
    recording(tmp_path / "a.gz", TRADE)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"5 " + TRADE + b"\n"))
    with pytest.raises(RecordingError, match="expected to continue the recording before it"):
        list(BinanceRecording([tmp_path / "a.gz", tmp_path / "b.gz"], BTCUSDT))


def test_no_file_is_no_replay() -> None:
    """At least one recording is needed."""
    with pytest.raises(OptionsError, match="at least one recording"):
        BinanceRecording([], BTCUSDT)
