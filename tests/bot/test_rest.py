"""REST requests and replies are messages like others: recorded, stamped, their connection's begin and end told."""

from typing import Any

import pytest

from bot.errors import TransportError
from bot.rest import RestSession
from bot.transport.http import Response
from journal.layout import ABSENT, MessageKind, RecordType, StampFlag
from journal.reader import read_records


@pytest.fixture
def rest(written: Any, http_peer: Any) -> RestSession:  # noqa: ANN401
    """A session with nothing asked yet."""
    return RestSession(1, "https://venue.example", written.recorder, http_peer)


async def test_a_request_is_recorded_and_stamped(rest: RestSession, written: Any, http_peer: Any) -> None:  # noqa: ANN401
    """With its cause, its line and the offset of its last byte; it was neither decided nor encoded by the engine."""
    http_peer.replies.append(Response(200, {}, b"{}"))
    await rest.get("/api/v3/depth?symbol=BTCUSDT", 7)
    line = b"GET /api/v3/depth?symbol=BTCUSDT"
    (row,) = written.rows("sent")
    assert (7, 199, 0, 9, 0, len(line), MessageKind.REST, 0) == tuple(
        row[name] for name in ("trace", "off", "order", "conn", "instrument", "size", "kind", "flags")
    )
    assert (ABSENT, ABSENT, 50, 60) == tuple(row[name] for name in ("decided", "encoded", "written", "sent"))
    (record,) = (record for record in read_records(written.folder) if record.type is RecordType.OUTBOUND)
    assert (7, 50, 9, line) == (record.trace, record.time_ns, record.conn, record.payload)


@pytest.mark.parametrize("owns", [True, False])
async def test_a_reply_is_stamped(rest: RestSession, written: Any, http_peer: Any, *, owns: bool) -> None:  # noqa: ANN401
    """A kernel stamp that is not its last byte's own is flagged."""
    http_peer.replies.append(Response(200, {}, b"12345"))
    await rest.get("/")
    http_peer.opened[0].owns_stamp = owns
    rest.stamp(3, 2)
    (row,) = written.rows("received")
    assert (3, 499, 0, 9, 2, 5, MessageKind.REST, 0 if owns else StampFlag.RX_SHARED) == tuple(
        row[name] for name in ("trace", "off", "order", "conn", "instrument", "size", "kind", "flags")
    )
    assert (ABSENT, ABSENT, 70, 77) == tuple(row[name] for name in ("exchange", "nic_rx", "kernel_rx", "read"))
    assert 77 < row["decoded"]
    assert (9, 77) == (rest.number, rest.read_ns)


async def test_a_request_without_a_reply_was_sent_all_the_same(
    rest: RestSession,
    written: Any,  # noqa: ANN401
    http_peer: Any,  # noqa: ANN401
) -> None:
    """Its row says so; the next goes over a connection of its own."""
    http_peer.replies += [TransportError("no answer within 10 s"), Response(200, {}, b"")]
    with pytest.raises(TransportError):
        await rest.get("/one")
    await rest.get("/two")
    assert [9, 10] == [row["conn"] for row in written.rows("sent")]
    assert ["open", "closed", "open"] == [each["event"] for each in written.payloads(RecordType.CONNECTION)]


async def test_a_connection_is_told_from_its_begin_to_its_end(
    rest: RestSession,
    written: Any,  # noqa: ANN401
    http_peer: Any,  # noqa: ANN401
) -> None:
    """Neither is an input of the engine."""
    http_peer.replies += [Response(200, {}, b"")] * 2
    await rest.get("/one")
    await rest.get("/two")
    rest.close()
    about = {"role": "rest", "index": 1}
    assert [
        {"event": "open", **about, "url": "https://venue.example", "stamped": True, "tls": None},
        {"event": "closed", **about, "reason": "closed by us"},
    ] == written.payloads(RecordType.CONNECTION)
    records = [record for record in read_records(written.folder) if record.type is RecordType.CONNECTION]
    assert [(0, 9), (0, 9)] == [(record.trace, record.conn) for record in records]


async def test_transmit_stamps_are_rows(rest: RestSession, written: Any, http_peer: Any) -> None:  # noqa: ANN401
    """Of this connection."""
    http_peer.replies.append(Response(200, {}, b""))
    await rest.get("/")
    http_peer.opened[0].on_transmitted(199, 1, 12_345)
    (row,) = written.rows("transmitted")
    assert (199, 9, 1, 12_345) == tuple(row[name] for name in ("off", "conn", "event", "time"))


def test_a_session_that_asked_nothing_has_nothing_to_close(rest: RestSession, written: Any) -> None:  # noqa: ANN401
    """And leaves no record."""
    rest.close()
    assert [] == written.kinds()
