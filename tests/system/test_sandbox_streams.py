"""The market streams of a running sandbox: every message once, in order, and a book without gaps."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

STREAMS = "btcusdt@trade/btcusdt@depth@100ms/btcusdt@bookTicker"
Run = Callable[..., Any]
# What conftest makes, and test folders are not packages to import it from:
Sandbox = Any
Json = Any


async def collect(sandbox: Sandbox, count: int, path: str = f"/stream?streams={STREAMS}") -> list[dict[str, Any]]:
    async with sandbox.connected(path) as socket:
        return [json.loads(await asyncio.wait_for(socket.recv(), 30)) for _ in range(count)]


async def test_every_recorded_message_is_sent_exactly_once_over_tls(run_sandbox: Run, spot_recording: Path) -> None:
    """41,248 messages to one subscriber of all three streams, and the status says so."""
    sandbox = run_sandbox(replay=[spot_recording], speed="inf")
    messages = await collect(sandbox, 41_248)
    assert sandbox.http_url.startswith("https://")
    kinds = Counter(message["stream"] for message in messages)
    assert kinds == {"btcusdt@bookTicker": 28040, "btcusdt@trade": 9757, "btcusdt@depth@100ms": 3451}
    status = sandbox.get("/sandbox/status")
    assert (status["sent"], status["published"], status["finished"]) == (41_248, 41_248, True)
    assert kinds == status["sent_by_stream"]


async def test_two_files_play_through_midnight(run_sandbox: Run, recordings: Path) -> None:
    """99,573 messages, the depth updates of both files one chain."""
    files = [recordings / "binance" / f"spot_btcusdt_2024080{day}.gz" for day in (8, 9)]
    messages = await collect(run_sandbox(replay=files, speed="inf", plain=True), 99_573)
    updates = [message["data"] for message in messages if message["stream"].endswith("depth@100ms")]
    assert all(before["u"] + 1 == after["U"] for before, after in pairwise(updates))


@pytest.mark.parametrize("source", ["replay", "synthetic"])
async def test_a_client_that_follows_the_venues_rule_has_no_gap(
    run_sandbox: Run, source: str, spot_recording: Path
) -> None:
    """A snapshot fetched in mid-stream continues with the messages; a later one equals the client's book."""
    options = {"replay": [spot_recording]} if source == "replay" else {"rate": 20}
    sandbox = run_sandbox(plain=True, speed=10, **options)
    updates: list[dict[str, Any]] = []
    async with sandbox.connected("/ws/btcusdt@depth@100ms") as socket:
        book = None
        while len(updates) < 60:
            updates.append(json.loads(await asyncio.wait_for(socket.recv(), 30)))
            if len(updates) == 10:
                book = await asyncio.to_thread(sandbox.get, "/api/v3/depth?symbol=BTCUSDT&limit=5000")
        later = await asyncio.to_thread(sandbox.get, "/api/v3/depth?symbol=BTCUSDT&limit=5000")
        while updates[-1]["u"] < later["lastUpdateId"]:
            updates.append(json.loads(await asyncio.wait_for(socket.recv(), 30)))
    assert book is not None
    followed = {name: dict(book[name]) for name in ("bids", "asks")}
    last = book["lastUpdateId"]
    fresh = [update for update in updates if last < update["u"] <= later["lastUpdateId"]]
    assert fresh[0]["U"] <= last + 1 <= fresh[0]["u"]
    for number, update in enumerate(fresh):
        assert number == 0 or update["U"] == last + 1
        last = update["u"]
        for name, short in (("bids", "b"), ("asks", "a")):
            followed[name] |= dict(update[short])
    for name in ("bids", "asks"):
        standing = {price: quantity for price, quantity in followed[name].items() if float(quantity)}
        assert dict(later[name]) == standing


async def test_times_are_now_and_keep_their_distances(run_sandbox: Run, spot_recording: Path) -> None:
    """At ten times the speed a second of the recording is a tenth of one, and no stamp lies ahead of the clock."""
    recorded = await collect(run_sandbox(replay=[spot_recording], speed=10, plain=True), 400)
    heard_ms = time.time() * 1000
    times = [message["data"]["E"] for message in recorded if "E" in message["data"]]
    assert heard_ms - 5000 < times[0] <= times[-1] <= heard_ms
    assert times[-1] - times[0] < 3000


async def test_microseconds_for_those_who_ask(run_sandbox: Run) -> None:
    """`timeUnit=MICROSECOND` in the address; a unit that is neither is refused with -1194."""
    sandbox = run_sandbox(plain=True, rate=50)
    (message,) = await collect(sandbox, 1, "/ws/btcusdt@trade?timeUnit=microsecond")
    assert abs(message["E"] / 1e6 - time.time()) < 60
    assert sandbox.get("/ws/btcusdt@trade?timeUnit=HOUR")["code"] == -1194


async def test_subscriptions_change_while_connected(run_sandbox: Run) -> None:
    """SUBSCRIBE, LIST_SUBSCRIPTIONS, UNSUBSCRIBE, properties, and the errors of bad requests."""
    sandbox = run_sandbox(plain=True, rate=50)
    async with sandbox.connected("/ws") as socket:

        async def ask(request: object) -> Json:
            await socket.send(request if isinstance(request, str) else json.dumps(request))
            while True:
                answer = json.loads(await asyncio.wait_for(socket.recv(), 10))
                if "id" in answer or "error" in answer:
                    return answer

        subscribe = {"method": "SUBSCRIBE", "params": ["btcusdt@trade", "ethusdt@trade"], "id": 1}
        assert await ask(subscribe) == {"result": None, "id": 1}
        assert json.loads(await socket.recv())["e"] == "trade"
        listed = await ask({"method": "LIST_SUBSCRIPTIONS", "id": "two"})
        assert listed == {"result": ["btcusdt@trade", "ethusdt@trade"], "id": "two"}
        assert await ask({"method": "SET_PROPERTY", "params": ["combined", True], "id": 3}) == {"result": None, "id": 3}
        assert (await ask({"method": "GET_PROPERTY", "params": ["combined"], "id": 4}))["result"] is True
        assert json.loads(await socket.recv())["stream"] == "btcusdt@trade"
        removal = {"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": None}
        assert await ask(removal) == {"result": None, "id": None}
        assert (await ask({"method": "DANCE", "id": 5}))["error"]["code"] == 2
        assert (await ask({"method": "SET_PROPERTY", "params": ["colour", True], "id": 6}))["error"]["code"] == 0
        assert (await ask('{"method":'))["error"]["code"] == 3
        assert (await ask({"method": "SUBSCRIBE", "params": "x", "id": 7}))["error"]["code"] == 2


async def test_the_market_waits_for_somebody_who_listens(run_sandbox: Run, spot_recording: Path) -> None:
    """What one subscriber left, the next one gets: nothing is played to nobody."""
    sandbox = run_sandbox(replay=[spot_recording], speed=10, plain=True)
    assert sandbox.get("/sandbox/status")["published"] == 0
    await collect(sandbox, 100)
    left = sandbox.get("/sandbox/status")
    assert left["subscribers"] == 0
    assert left["published"] < 41_248
    await collect(sandbox, 100)
    assert sandbox.get("/sandbox/status")["published"] > left["published"]


async def test_the_same_seed_is_the_same_market(run_sandbox: Run, tmp_path: Path) -> None:
    """Two synthetic sandboxes differ in their times only."""
    runs = []
    for name in ("a", "b"):
        sandbox = run_sandbox(data_dir=tmp_path / name, plain=True, seed=7, speed="inf")
        messages = await collect(sandbox, 300)
        runs.append([message["data"] | {"E": 0, "T": 0} for message in messages])
    assert runs[0] == runs[1]


async def test_a_damaged_recording_ends_the_sandbox_where_it_is_damaged(
    run_sandbox: Run, tmp_path: Path, spot_recording: Path
) -> None:
    """What came before the damage is sent, then the process says file, line and reason."""
    cut = tmp_path / "cut.gz"
    with spot_recording.open("rb") as file:
        cut.write_bytes(file.read(600_000))
    sandbox = run_sandbox(replay=[cut], speed="inf", plain=True)
    async with sandbox.connected(f"/stream?streams={STREAMS}") as socket:
        heard = [message async for message in socket]
    _, error = await asyncio.to_thread(sandbox.process.communicate, timeout=20)
    assert f"{cut}, line {len(heard) + 2}: " in error  # lines count from 1, and one is the snapshot
    assert "truncated" in error
    assert sandbox.process.returncode == 1


def test_garbage_is_refused_at_the_start(run_sandbox: Run, tmp_path: Path) -> None:
    """Before anything is served."""
    (tmp_path / "garbage.gz").write_bytes(b"no gzip")
    with pytest.raises(RuntimeError, match=r"garbage\.gz, line 1: expected gzip data"):
        run_sandbox(replay=[tmp_path / "garbage.gz"])
    with pytest.raises(RuntimeError, match="expected a speed above 0, was -1"):
        run_sandbox(speed=-1)
