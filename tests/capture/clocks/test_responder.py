"""The responder without a socket: whom it answers, with what, and what it forgets."""

import ipaddress
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.clocks.probe import DATAGRAM, PROBE, REPLY, Prober
from capture.clocks.responder import _MAX_HOSTS, _MAX_SESSIONS, MAX_RATE, Responder
from journal.layout import ABSENT

HOST = "192.168.7.9"
SESSION = 2**64 - 1
SECOND = 10**9


def probe(number: int, session: int = SESSION) -> bytes:
    return DATAGRAM.pack(b"WSCP", 1, PROBE, 0, session, number, 0, 0, 0)


def counted(core: Responder) -> dict[str, int]:
    return {name: count for name, count in asdict(core.counts).items() if count}


def answer(core: Responder, number: int, t2: int, now: int, session: int = SESSION) -> tuple[int, int, int, int] | None:
    """Return number, T2, previous number and its T3 of the reply."""
    data = core.reply(probe(number, session), HOST, t2, now)
    if data is None:
        return None
    magic, version, kind, reserved, replied, *fields = DATAGRAM.unpack(data)
    assert (b"WSCP", 1, REPLY, 0, session) == (magic, version, kind, reserved, replied)
    return tuple(fields)  # type: ignore[return-value]


def test_a_reply_carries_its_own_t2_and_the_previous_t3() -> None:
    """The first has no previous; T3 is the clock before the send until the kernel's stamp is there."""
    core = Responder()
    assert (1, 100, 0, ABSENT) == answer(core, 1, 100, 105)
    assert (2, 200, 1, 105) == answer(core, 2, 200, 205)
    sent = core.reply(probe(3), HOST, 300, 305)
    assert sent is not None
    core.departed(sent, 307)
    assert (4, 400, 3, 307) == answer(core, 4, 400, 405)
    assert {} == counted(core)


def test_a_reply_is_as_long_as_the_probe() -> None:
    """Nothing is amplified."""
    reply = Responder().reply(probe(1), HOST, 1, 1)
    assert reply is not None
    assert len(probe(1)) == len(reply)


def test_copies_and_stragglers_stay_unanswered() -> None:
    """So that T3 of a number has one meaning; a departure that comes late is nobody's."""
    core = Responder()
    first = core.reply(probe(1), HOST, 100, 105)
    assert first is not None
    assert (3, 300, 1, 105) == answer(core, 3, 300, 305)
    assert None is answer(core, 3, 310, 311)
    assert None is answer(core, 2, 320, 321)
    assert None is answer(core, 0, 320, 321)
    core.departed(first, 999)
    core.departed(probe(3), 999)
    core.departed(b"", 999)
    assert (2**64 - 1, 400, 3, 305) == answer(core, 2**64 - 1, 400, 405)
    assert {"stale": 3} == counted(core)


def test_sessions_are_apart() -> None:
    """Two agents on one host, or one that started again."""
    core = Responder()
    assert (1, 100, 0, ABSENT) == answer(core, 1, 100, 105, session=1)
    assert (1, 200, 0, ABSENT) == answer(core, 1, 200, 205, session=2)
    assert (2, 300, 1, 105) == answer(core, 2, 300, 305, session=1)
    assert (2, 400, 1, 205) == answer(core, 2, 400, 405, session=2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        probe(1)[:-1],
        probe(1) + b"\0",
        b"GET " + probe(1)[4:],
        b"WSCP\2" + probe(1)[5:],
        b"WSCP\1\2" + probe(1)[6:],
    ],
)
def test_what_is_no_probe_gets_no_answer(data: bytes) -> None:
    """Also a reply: two responders must not talk to each other."""
    core = Responder()
    assert None is core.reply(data, HOST, 1, 1)
    assert {"malformed": 1} == counted(core)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1", True), ("10.1.2.3", True), ("172.31.0.1", True), ("192.168.1.1", True), ("169.254.1.1", True),
        ("100.64.0.1", True), ("::1", True), ("fd00::1", True), ("fe80::1%eth0", True), ("::ffff:10.0.0.1", True),
        ("8.8.8.8", False), ("172.32.0.1", False), ("2001:db8::1", False), ("::ffff:8.8.8.8", False),
    ],
)  # fmt: skip
def test_only_private_addresses_unless_told(host: str, answered: bool) -> None:  # noqa: FBT001 - a table's column
    """Loopback, link-local and private ones."""
    core = Responder()
    assert answered == (core.reply(probe(1), host, 1, 1) is not None)
    assert ({} if answered else {"refused": 1}) == counted(core)


def test_other_networks_when_told() -> None:
    """And then only those."""
    core = Responder((ipaddress.ip_network("203.0.113.0/28"),))
    assert core.reply(probe(1), "203.0.113.15", 1, 1) is not None
    assert None is core.reply(probe(2), "203.0.113.16", 1, 1)
    assert None is core.reply(probe(2), "127.0.0.1", 1, 1)
    assert {"refused": 2} == counted(core)


def test_a_hosts_rate_is_limited_and_recovers() -> None:
    """Each host by itself, whatever its sessions; a clock that is set back gives nothing and takes nothing."""
    core = Responder()
    much = 3 * int(MAX_RATE)

    def answered(now: int) -> int:
        return sum(core.reply(probe(number, now + number), HOST, 1, now) is not None for number in range(1, much))

    assert MAX_RATE == answered(SECOND)
    assert {"limited": much - 1 - int(MAX_RATE)} == counted(core)
    assert core.reply(probe(1), "10.0.0.1", 1, SECOND) is not None
    assert MAX_RATE == answered(2 * SECOND)
    assert 0 == answered(SECOND)
    assert MAX_RATE // 10 == answered(SECOND + SECOND // 10)


def test_many_hosts_and_sessions_cost_bounded_memory() -> None:
    """The least recently heard are forgotten; who probes on keeps its place."""
    core = Responder()
    for number in range(1, 2000):
        address = str(ipaddress.ip_address("10.0.0.0") + number)
        core.reply(probe(1, number), address, 1, number * SECOND)
        assert (number, 7, number - 1, (number - 1) * SECOND if number > 1 else ABSENT) == answer(
            core, number, 7, number * SECOND, session=0
        )
    assert _MAX_HOSTS == len(core._hosts)
    assert _MAX_SESSIONS == len(core._sessions)


def test_a_flood_of_addresses_frees_nobody_from_the_limit() -> None:
    """A host that is heard is not forgotten."""
    core = Responder()
    for number in range(1, int(MAX_RATE) + 1):
        assert core.reply(probe(number), HOST, 1, SECOND) is not None
    for number in range(2 * _MAX_HOSTS):
        core.reply(probe(1, number), str(ipaddress.ip_address("10.0.0.0") + number), 1, SECOND)
        assert None is core.reply(probe(1, 10**6 + number), HOST, 1, SECOND)


@given(st.lists(st.tuples(st.sampled_from(["deliver", "lose", "copy", "swap"]), st.booleans()), max_size=80))
def test_prober_and_responder_over_a_bad_network(fates: list[tuple[str, bool]]) -> None:
    """Whatever is lost, copied or overtaken: each row's stamps are of its own probe, departures before arrivals."""
    prober, responder = Prober(SESSION, SECOND // 20, lambda: 0.5), Responder()
    now, held, rows = 10**12, b"", []
    for number, (fate, reply_lost) in enumerate(fates, 1):
        now += SECOND // 20
        data = prober.datagram(now + number)
        queue = {"deliver": [data], "lose": [], "copy": [data, data], "swap": [held] if held else []}[fate]
        held = data if fate == "swap" else b""
        for at, arrived in enumerate(queue):
            reply = responder.reply(arrived, HOST, now + 1000 + number, now + 2000 + number)
            if reply is not None and not reply_lost:
                prober.on_reply(reply, now + 3000 + number + at)
        rows += prober.take_rows()
    rows += prober.finish()
    assert sorted(rows) == rows
    for number, t1, t2, t3, t4 in rows:
        assert 10**12 + number * SECOND // 20 + number == t1
        assert t1 < t2 < t4
        assert t3 == ABSENT or t2 < t3 < t4
    counts = prober.counts
    assert len(rows) == counts.answered
    assert counts.sent == counts.answered + counts.lost
