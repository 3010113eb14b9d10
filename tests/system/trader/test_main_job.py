"""The main job on the real recordings: everything sent is received, stamped, in order, and can be reached again."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from journal.layout import (
    ABSENT,
    PAGE_BYTES,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    MessageKind,
    RecordType,
    StampFlag,
    TxEvent,
)
from journal.reader import Record, RecordReader, read_records, read_rows, repair_seal
from market.book import OrderBook
from market.events import BookDelta, BookSnapshot
from venues.registry import VENUES

Json = dict[str, Any]


class DemoRun(Protocol):
    """A finished demo (conftest.py)."""

    folder: Path
    review: Json


def joined(run: Path, log: str) -> np.ndarray:
    """Return all rows of a log as one array."""
    return np.concatenate(read_rows(run, log))


def replay(run: Path) -> subprocess.CompletedProcess[str]:
    """Run `wirestamp replay`."""
    return subprocess.run(
        [sys.executable, "-m", "wirestamp", "replay", str(run)], capture_output=True, text=True, timeout=60, check=False
    )


# -- counts -----------------------------------------------------------------------------------------------------------


def test_everything_sent_is_received(spot_run: DemoRun) -> None:
    """41,248 messages and 9,757 trades, no gap, nothing dropped; every order was answered."""
    review = spot_run.review
    assert (41_248, 9_757, 0, 0) == tuple(review[key] for key in ("messages", "trades", "gaps", "dropped"))
    assert review["orders"] > 400
    assert review["fills"] >= review["orders"]
    assert 0 == review["rejects"]


def test_through_midnight(midnight_run: DemoRun) -> None:
    """Both files in a row: one connection, one depth chain, no gap."""
    review = midnight_run.review
    assert (99_573, 0, 0) == tuple(review[key] for key in ("messages", "gaps", "dropped"))


# -- the book ---------------------------------------------------------------------------------------------------------


def dumb_book(events: Iterator[Json]) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Keep a book as dicts of decimal strings: a snapshot, then every later update; yields it after each."""
    bids: dict[str, str] = {}
    asks: dict[str, str] = {}
    last_id, waiting = 0, []
    for event in events:
        if "lastUpdateId" in event:
            last_id = event["lastUpdateId"]
            bids, asks = dict(map(tuple, event["bids"])), dict(map(tuple, event["asks"]))
            updates, waiting = waiting, []
            yield bids, asks
        elif last_id == 0:
            waiting.append(event)
            continue
        else:
            updates = [event]
        for update in updates:
            if update["u"] <= last_id:
                continue
            assert update["U"] <= last_id + 1
            last_id = update["u"]
            for side, changes in ((bids, update["b"]), (asks, update["a"])):
                for price, quantity in changes:
                    if Decimal(quantity):
                        side[price] = quantity
                    else:
                        side.pop(price, None)
            yield bids, asks


def journalled_depth(run: Path) -> Iterator[Json]:
    """Yield the snapshot bodies and depth updates in the order in which the trader consumed them."""
    for record in read_records(run):
        if record.type is RecordType.REPLY and b'"snapshot"' in record.payload.partition(b"\n")[0]:
            yield json.loads(record.payload.partition(b"\n")[2])
        elif record.type is RecordType.INBOUND and record.payload.startswith(b'{"stream":"btcusdt@depth'):
            yield json.loads(record.payload)["data"]


def traders_book(run: Path) -> Iterator[OrderBook]:
    """Yield the trader's own book after each snapshot and update, by its own decoder and synchronisation."""
    records = read_records(run)
    for record in records:
        if record.type is RecordType.REPLY:
            head, _, body = record.payload.partition(b"\n")
            instrument = VENUES["binance"].parse_instrument("BTC-USDT", 1, json.loads(head)["status"], body)
            break
    feed, book = VENUES["binance"].feed([instrument], ["trade", "book", "quote"]), OrderBook(instrument)
    for record in records:
        if record.type is RecordType.REPLY:
            events = feed.receive_snapshot(instrument, record.payload.partition(b"\n")[2])
        elif record.type is RecordType.INBOUND and record.payload.startswith(b'{"stream"'):
            events = feed.receive(record.payload)
        else:
            continue
        for event in events:
            if isinstance(event, BookSnapshot):
                book.reset(event)
                yield book
            elif isinstance(event, BookDelta):
                book.update(event)
                yield book


@pytest.mark.parametrize("which", ["spot_run", "midnight_run"])
def test_book_equals_the_dumb_one_after_every_update(which: str, request: pytest.FixtureRequest) -> None:
    """The whole book, level by level, against dicts of decimal strings."""
    run = request.getfixturevalue(which).folder
    compared = 0
    for book, (bids, asks) in itertools.zip_longest(traders_book(run), dumb_book(journalled_depth(run))):
        for mine, theirs in ((book.bids(), bids), (book.asks(), asks)):
            price, qty = book.instrument.price, book.instrument.qty
            assert theirs == {price.text(ticks) + "000000": qty.text(lots) for ticks, lots in mine}
        compared += 1
    assert compared > (3_000 if which == "spot_run" else 6_000)


# -- stamps -----------------------------------------------------------------------------------------------------------


def test_messages_carry_kernel_stamps(spot_run: DemoRun) -> None:
    """At least 99 % have kernel_rx; a shared one is flagged, and each read has one owner at most."""
    rows = joined(spot_run.folder, "received")
    market = rows[rows["kind"] == MessageKind.MARKET]
    assert np.mean(market["kernel_rx"] != ABSENT) >= 0.99
    owners = market[(market["flags"] & StampFlag.RX_SHARED) == 0]
    assert 0 < len(owners)
    assert len(owners) == len(np.unique(owners["read"]))
    assert np.all(np.diff(market["trace"].astype(np.int64)) > 0)
    assert np.all(np.diff(market["off"].astype(np.int64)) >= 0)


def test_orders_carry_kernel_stamps_cause_and_offset(spot_run: DemoRun) -> None:
    """Every order sent has kernel_tx, its trace id, and the stream offset of its last ciphertext byte."""
    sent, transmitted = joined(spot_run.folder, "sent"), joined(spot_run.folder, "transmitted")
    orders = sent[sent["order"] > 0]
    assert spot_run.review["orders"] == len(orders)
    drivers = transmitted[transmitted["event"] == TxEvent.DRIVER]
    stamped = set(zip(drivers["conn"].tolist(), drivers["off"].tolist(), strict=True))
    assert all(pair in stamped for pair in zip(orders["conn"].tolist(), orders["off"].tolist(), strict=True))
    causes = set(joined(spot_run.folder, "received")["trace"].tolist())
    assert all(trace in causes for trace in orders["trace"].tolist())


def test_hops_are_in_order(spot_run: DemoRun) -> None:
    """What one clock orders: kernel_rx ≤ read ≤ decoded ≤ decided ≤ encoded ≤ written ≤ sched ≤ tx ≤ ack, and sent."""
    received, sent, transmitted = (joined(spot_run.folder, log) for log in ("received", "sent", "transmitted"))
    stamped = received[received["kernel_rx"] != ABSENT]
    assert np.all(stamped["kernel_rx"] <= stamped["read"])
    assert np.all(received["read"] <= received["decoded"])
    orders = sent[sent["order"] > 0]
    decoded = dict(zip(received["trace"].tolist(), received["decoded"].tolist(), strict=True))
    assert all(
        decoded[trace] <= at for trace, at in zip(orders["trace"].tolist(), orders["decided"].tolist(), strict=True)
    )
    for earlier, later in itertools.pairwise(("decided", "encoded", "written", "sent")):
        assert np.all(orders[earlier] <= orders[later])
    by_event = {
        event: {
            (conn, off): at
            for conn, off, kind, at in zip(
                *(transmitted[name].tolist() for name in ("conn", "off", "event", "time")), strict=True
            )
            if kind == event
        }
        for event in (TxEvent.SCHED, TxEvent.DRIVER, TxEvent.ACK)
    }
    for row in orders:
        key = (int(row["conn"]), int(row["off"]))
        chain = [int(row["written"]), *(by_event[event][key] for event in by_event if key in by_event[event])]
        assert chain == sorted(chain)


# -- replay -----------------------------------------------------------------------------------------------------------


def test_replay_reaches_the_same_intents(spot_run: DemoRun) -> None:
    """Decode, book, strategy and risk over the journal again lead to every intent of the run and to no other."""
    done = replay(spot_run.folder)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"all {spot_run.review['orders']:,} intents are the same" in done.stdout


def copied(run: Path, folder: Path) -> Path:
    """Copy a run's journal."""
    target = folder / run.name
    target.mkdir()
    for file in run.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def record_at(run: Path, wanted: Callable[[Record], bool]) -> tuple[Path, int, int]:
    """Return file, begin and end of the first record of the first segment that is wanted."""
    file = run / "records-000000.wsj"
    content, at = file.read_bytes(), PAGE_BYTES
    for record in RecordReader(run):
        end = at + RECORD_HEADER_BYTES + (len(record.payload) + 7 & ~7)
        assert len(record.payload) == RECORD_HEADER.unpack_from(content, at + 8)[0]
        if wanted(record):
            return file, at, end
        at = end
    raise AssertionError("there is no such record")


@pytest.mark.parametrize("kind", [RecordType.CONFIG, RecordType.INBOUND, RecordType.ORDER, RecordType.EXECUTION])
def test_a_flipped_byte_is_reported(kind: RecordType, spot_run: DemoRun, tmp_path: Path) -> None:
    """A committed record that is not what was written is corruption, with file and offset, and exit status 4."""
    run = copied(spot_run.folder, tmp_path)
    file, at, end = record_at(run, lambda record: record.type is kind)
    content = bytearray(file.read_bytes())
    content[(at + end) // 2] ^= 0x01
    file.write_bytes(content)
    done = replay(run)
    assert 4 == done.returncode
    assert f"{file} is corrupt at byte {at}" in done.stderr


def test_a_changed_quantity_gives_other_intents(spot_run: DemoRun, tmp_path: Path) -> None:
    """A message that decided a signal, changed with its CRC repaired, is found out by the intents, with status 4."""
    run = copied(spot_run.folder, tmp_path)
    cause = next(record.trace for record in read_records(run) if record.type is RecordType.ORDER)
    file, at, end = record_at(run, lambda record: record.trace == cause and record.type is RecordType.INBOUND)
    content = bytearray(file.read_bytes())
    body = bytes(content[at:end])
    digit = body.index(b'"q":"') + len(b'"q":"0.0000')  # the last digit of 0.00001 BTC, which the strategy counts
    content[at + digit] = ord("1") if body[digit] != ord("1") else ord("2")
    repair_seal(content, at, end)
    file.write_bytes(content)
    done = replay(run)
    assert 4 == done.returncode
    assert "intents differ" in done.stderr
