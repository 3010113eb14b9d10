"""The benchmark's C exchange as its clients meet it: market stream, orders by WebSocket and REST, plain and TLS."""

import http.client
import json
import shutil
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from local_exchange import BuildError, Exchange, compile_program, make_certificate

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
ORDER = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.001"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program("exchange", tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def exchange(program: Path, certificate: tuple[Path, Path]) -> Iterator[Exchange]:
    with Exchange(program, certificate, rate=1000, core=0, ticks=50) as exchange:
        yield exchange


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=certificate[0]) if request.param == "tls" else None


def websocket(exchange: Exchange, path: str, tls: ssl.SSLContext | None = None) -> ClientConnection:
    port = exchange.tls_port if tls else exchange.port
    return connect(f"{'wss' if tls else 'ws'}://127.0.0.1:{port}{path}", ssl=tls, proxy=None)


def get(exchange: Exchange, path: str, tls: ssl.SSLContext | None = None) -> tuple[int, dict[str, object]]:
    connection = (
        http.client.HTTPSConnection("127.0.0.1", exchange.tls_port, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", exchange.port)
    )
    connection.request("GET", path)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_the_combined_stream_carries_every_trade_once_and_then_falls_silent(
    exchange: Exchange, tls: ssl.SSLContext | None
) -> None:
    with websocket(exchange, "/stream?streams=btcusdt@trade", tls) as feed:
        messages = [json.loads(feed.recv(timeout=5)) for _ in range(50)]
        with pytest.raises(TimeoutError):
            feed.recv(timeout=0.05)
    assert {"btcusdt@trade"} == {message["stream"] for message in messages}
    ids = [message["data"]["t"] for message in messages]
    assert list(range(ids[0], ids[0] + 50)) == ids
    assert set("eEstpqTmM") == set(messages[0]["data"])
    assert 13 == len(str(messages[0]["data"]["T"])), "milliseconds unless asked otherwise"


def test_a_stream_may_ask_for_microseconds(exchange: Exchange) -> None:
    with websocket(exchange, "/stream?streams=btcusdt@trade&timeUnit=MICROSECOND") as feed:
        trade = json.loads(feed.recv(timeout=5))["data"]
    assert 16 == len(str(trade["E"])) == len(str(trade["T"]))


def test_a_raw_stream_starts_when_it_is_asked_for(exchange: Exchange) -> None:
    with websocket(exchange, "/ws/0") as feed:
        feed.send('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":7}')
        assert {"result": None, "id": 7} == json.loads(feed.recv(timeout=5))
        assert "trade" == json.loads(feed.recv(timeout=5))["e"]


def test_an_order_by_websocket_is_filled_under_its_own_id(exchange: Exchange, tls: ssl.SSLContext | None) -> None:
    request = {"id": "b-17", "method": "order.place", "params": ORDER | {"newClientOrderId": "mine"}}
    with websocket(exchange, "/ws-api/v3", tls) as orders:
        orders.send(json.dumps(request))
        answer = json.loads(orders.recv(timeout=5))
    assert ("b-17", 200) == (answer["id"], answer["status"])
    result = answer["result"]
    filled = (
        result["clientOrderId"],
        result["status"],
        result["side"],
        result["executedQty"],
    )
    assert ("mine", "FILLED", "SELL", "0.001") == filled


def test_an_order_by_rest_is_filled_and_the_connection_stays(exchange: Exchange) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port)
    for ordinal in (1, 2):
        body = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&newClientOrderId=r-{ordinal}"
        connection.request("POST", "/api/v3/order", body)
        answer = json.loads(connection.getresponse().read())
        assert (f"r-{ordinal}", "FILLED", ordinal) == (answer["clientOrderId"], answer["status"], answer["orderId"])
    connection.close()
    assert {"ticks": 0, "orders": 2} == exchange.counts()


@pytest.mark.parametrize("method", ["time", "ping", "exchangeInfo", "account.status", "openOrders.status"])
def test_other_requests_are_answered_and_place_nothing(exchange: Exchange, method: str) -> None:
    with websocket(exchange, "/ws-api/v3") as orders:
        orders.send(json.dumps({"id": 1, "method": method}))
        assert 200 == json.loads(orders.recv(timeout=5))["status"]
    assert 0 == exchange.counts()["orders"]


def test_metadata_is_served_and_an_unknown_endpoint_is_refused(exchange: Exchange, tls: ssl.SSLContext | None) -> None:
    status, info = get(exchange, "/api/v3/exchangeInfo", tls)
    assert 200 == status
    assert ["BTCUSDT"] == [symbol["symbol"] for symbol in info["symbols"]]  # type: ignore[attr-defined] # JSON
    assert "serverTime" in get(exchange, "/api/v3/time", tls)[1]
    assert "bids" in get(exchange, "/api/v3/depth?symbol=BTCUSDT&limit=5", tls)[1]
    assert 404 == get(exchange, "/sapi/v1/capital", tls)[0]


def test_a_client_that_reads_nothing_is_waited_for_and_then_gets_every_answer(exchange: Exchange) -> None:
    """Orders and answers exceed what both kernels and the exchange can hold, so it stops reading until we read."""
    orders, answered, tail = 100_000, 0, b""
    payload = json.dumps({"id": 5, "method": "order.place", "params": ORDER}).encode()
    frame = b"\x81" + bytes([0x80 | 126]) + len(payload).to_bytes(2) + bytes(4) + payload
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.connect(("127.0.0.1", exchange.port))
        client.sendall(b"GET /ws-api/v3 HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a2V5\r\n\r\n")
        client.settimeout(10)
        sender = threading.Thread(target=client.sendall, args=(frame * orders,))
        sender.start()
        taken = -1
        while taken != (taken := exchange.counts()["orders"]) or not taken:
            sender.join(0.05)
        assert 0 < taken < orders, "nobody takes the answers, so the exchange must have stopped reading"
        while answered < orders:
            chunk = tail + client.recv(1 << 20)
            answered += chunk.count(b'"status":200')
            tail = chunk[-11:]
        sender.join()
    assert orders == exchange.counts()["orders"]


def test_a_ping_is_answered_and_a_frame_without_mask_ends_the_connection(exchange: Exchange) -> None:
    with websocket(exchange, "/ws-api/v3") as orders:
        assert orders.ping(b"probe").wait(5)
        orders.socket.sendall(b"\x81\x02{}")  # RFC 6455, section 5.1: a server closes on an unmasked frame
        with pytest.raises(ConnectionClosed):
            orders.recv(timeout=5)


def test_a_bad_certificate_is_said_at_start(program: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="ended with status 2"):
        Exchange(program, (tmp_path / "none.pem", tmp_path / "none.pem"), rate=1, core=0)
