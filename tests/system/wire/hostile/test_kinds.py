"""Whatever a message is wrapped in, its packet is found by the stream offset of its last byte, without any key."""

import json
from pathlib import Path

from journal.layout import RecordType
from journal.reader import read_records, read_rows
from review.summary import summarise

from .scene import Kind


def encryption(run: Path) -> set[tuple[str | None, str | None]]:
    """Return the TLS versions and ciphers of a run's connections."""
    payloads = [json.loads(each.payload) for each in read_records(run) if each.type is RecordType.CONNECTION]
    return {(about["tls"], about["cipher"]) for about in payloads if about["event"] == "open"}


def test_every_message_of_every_kind_is_matched(kind: Kind) -> None:
    """Or its reason is named; no stamp contradicts its packet, and θ, which is 0 here, is in the interval."""
    run = kind.run
    assert {kind.encryption} == encryption(run.trader)
    review = summarise(run.trader, [run.monitor])
    wire, clock = review.wire, review.clock
    assert wire is not None
    assert clock is not None
    named = sum(sum(reasons.values()) for reasons in wire.unmatched.values())
    assert wire.unmatched_rx + wire.unmatched_tx == named
    assert wire.matched_rx >= 2500
    assert wire.matched_tx >= review.orders >= 10
    assert wire.match_ratio is not None
    assert wire.match_ratio >= 0.99  # a sender's timer may send a segment twice: those are named, and few
    assert (0, 0) == (wire.causality_violations, wire.order_violations)
    assert clock.lower_ns is not None
    assert clock.upper_ns is not None
    assert clock.lower_ns <= 0 <= clock.upper_ns
    assert 0 == review.unanswered
    messages = sum(int(rows["size"].sum()) for rows in read_rows(run.trader, "received"))
    assert wire.inbound is not None
    assert kind.compressed == (wire.inbound.payload_bytes < 0.8 * messages)
