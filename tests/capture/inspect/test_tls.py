"""Real handshakes, made in memory by OpenSSL, are decrypted with its key log; what cannot be is told, never raised."""

import ssl
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.inspect.keylog import KeyLog
from capture.inspect.tls import ContentType, Plain, Stop, TlsSession

CLIENT, SERVER = 0, 1
SUITES_1_2 = [
    f"ECDHE-{key}-{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
]
SUITES_1_3 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]

# What conftest makes, and test folders are not packages to import it from:
Network = Any
Wire = list[tuple[int, int, bytes]]
Talks = dict[ssl.TLSVersion, tuple[Wire, KeyLog]]


def decrypt(wire: Wire, keys: KeyLog) -> tuple[list[Plain], dict[int, Stop]]:
    """Return what a session makes of a capture, and why it stopped."""
    session = TlsSession(keys)
    found = [plain for part in wire for plain in session.feed(*part)]
    session.finish()
    return found, session.stopped


def spoken(found: list[Plain], side: int) -> bytes:
    """Return a side's application data."""
    return b"".join(
        each.data for each in found if each.side == side and each.content_type == ContentType.APPLICATION_DATA
    )


def assert_all_heard(pair: Any, keys: KeyLog) -> None:  # noqa: ANN401 - conftest.py has its type
    """Everything that was said is found, from both sides."""
    found, stopped = decrypt(pair.wire, keys)
    assert {} == stopped
    for side in (CLIENT, SERVER):
        assert pair.said(side) == spoken(found, side)


# -- what is decrypted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES_1_2)
def test_tls_1_2(network: Network, suite: str) -> None:
    """Each suite, with records of the largest size and of some bytes."""
    network.limit(ssl.TLSVersion.TLSv1_2)
    network.client.set_ciphers(suite)
    pair = network.connect()
    assert (suite, "TLSv1.2") == (pair.ends[CLIENT].cipher()[0], pair.ends[CLIENT].version())
    pair.talk()
    assert_all_heard(pair, network.keys)


@pytest.mark.parametrize("suite", SUITES_1_3)
def test_tls_1_3(network: Network, suite: str) -> None:
    """Each suite; the session tickets that the server sends are passed over."""
    network.insist(suite)
    pair = network.connect()
    assert (suite, "TLSv1.3") == (pair.ends[CLIENT].cipher()[0], pair.ends[CLIENT].version())
    pair.talk()
    assert_all_heard(pair, network.keys)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_record_ends_where_it_ended_on_the_wire(network: Network, version: ssl.TLSVersion) -> None:
    """The offset is what the trader's own stamps carry."""
    network.limit(version)
    pair = network.connect()
    said = [
        Plain(side, pair.say(side, data), ContentType.APPLICATION_DATA, data)
        for side, data in [(CLIENT, b"\0" * 7), (SERVER, b"bye\0\0")]
    ]
    assert said == decrypt(pair.wire, network.keys)[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session(network: Network, version: ssl.TLSVersion) -> None:
    """Its handshake is shorter, and in TLS 1.2 the server is the first to change keys."""
    network.limit(version)
    first = network.connect()
    first.talk()
    pair = network.connect(first.ends[CLIENT].session)
    assert pair.ends[CLIENT].session_reused
    pair.talk()
    assert_all_heard(pair, network.keys)


def test_a_hello_retry(network: Network) -> None:
    """The server insists on a curve that the client has not guessed; the second hello is the real one."""
    network.server.set_ecdh_curve("secp384r1")
    pair = network.connect()
    assert 2 == sum(side == SERVER and data[0] == ContentType.HANDSHAKE for side, _, data in pair.wire)
    pair.talk()
    assert_all_heard(pair, network.keys)


@pytest.mark.parametrize("of_both", [False, True])
@pytest.mark.parametrize("suite", SUITES_1_3)
def test_key_updates(network: Network, suite: str, *, of_both: bool) -> None:
    """Again and again, from either side."""
    network.insist(suite)
    pair = network.connect()
    said = {CLIENT: b"", SERVER: b""}
    for turn in range(6):
        side = turn % 2
        pair.update_key(side, of_both=of_both)
        said[side] += b"%d" % turn
        pair.say(side, b"%d" % turn)
    found, stopped = decrypt(pair.wire, network.keys)
    assert ({}, said) == (stopped, {side: spoken(found, side) for side in said})


def test_a_goodbye_is_an_alert(network: Network) -> None:
    """close_notify (RFC 8446, section 6.1)."""
    pair = network.connect()
    with pytest.raises(ssl.SSLWantReadError):
        pair.ends[CLIENT].unwrap()
    end = pair.carry(CLIENT)
    assert [Plain(CLIENT, end, ContentType.ALERT, b"\x01\x00")] == decrypt(pair.wire, network.keys)[0]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_cut_and_any_order_of_the_two_directions(
    talks: Talks, version: ssl.TLSVersion, data: st.DataObject
) -> None:
    """A mirror may bring one direction before the other; what each side said is the same, in its own order."""
    wire, keys = talks[version]
    streams = [b"".join(part for who, _, part in wire if who == side) for side in (CLIENT, SERVER)]
    at, cut = [0, 0], []
    while at != [len(stream) for stream in streams]:
        side = data.draw(st.sampled_from([side for side in (CLIENT, SERVER) if at[side] < len(streams[side])]))
        size = data.draw(st.sampled_from([1, 4, 5, 6, 300, 5_000, 100_000]))
        size = max(size, len(streams[side]) // 20)
        cut.append((side, at[side], streams[side][at[side] : at[side] + size]))
        at[side] = min(at[side] + size, len(streams[side]))
    expected, got = decrypt(wire, keys), decrypt(cut, keys)
    for side in (CLIENT, SERVER):
        assert [each for each in expected[0] if each.side == side] == [each for each in got[0] if each.side == side]
    assert {} == got[1]


# -- what is not ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_hole_ends_its_direction_alone(network: Network, side: int) -> None:
    """The other is decrypted on."""
    pair = network.connect()
    shaken = len(pair.wire)
    pair.talk()
    lost = next(at for at, (who, _, _) in enumerate(pair.wire) if at >= shaken and who == side)
    found, stopped = decrypt(pair.wire[:lost] + pair.wire[lost + 1 :], network.keys)
    assert ({side: Stop.HOLE}, b"") == (stopped, spoken(found, side))
    assert pair.said(1 - side) == spoken(found, 1 - side)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_without_the_secrets_nothing_is_decrypted(network: Network, version: ssl.TLSVersion) -> None:
    """Both directions say why."""
    network.limit(version)
    pair = network.connect()
    pair.talk()
    assert ([], dict.fromkeys((CLIENT, SERVER), Stop.NO_SECRET)) == decrypt(pair.wire, KeyLog())


def test_the_wrong_secrets_decrypt_nothing(network: Network) -> None:
    """Each record is authenticated."""
    pair = network.connect()
    pair.talk()
    lines = network.key_log.read_text().splitlines()
    wrong = KeyLog(line[:-2] + ("00" if line[-2:] != "00" else "01") for line in lines)
    assert ([], dict.fromkeys((CLIENT, SERVER), Stop.UNDECRYPTABLE)) == decrypt(pair.wire, wrong)


def test_a_suite_without_aead(network: Network) -> None:
    """TLS 1.2 knows more than is read here."""
    network.limit(ssl.TLSVersion.TLSv1_2)
    network.client.set_ciphers("ECDHE-RSA-AES128-SHA256")
    pair = network.connect()
    pair.talk()
    assert ([], dict.fromkeys((CLIENT, SERVER), Stop.UNKNOWN_SUITE)) == decrypt(pair.wire, network.keys)


@pytest.mark.parametrize(
    ("version", "at", "value", "reason"),
    [
        (ssl.TLSVersion.TLSv1_2, 9, b"\x03\x02", Stop.UNKNOWN_VERSION),
        (ssl.TLSVersion.TLSv1_3, 76, b"\x13\x04", Stop.UNKNOWN_SUITE),
        (ssl.TLSVersion.TLSv1_3, 82, b"\x00\x99", Stop.UNKNOWN_SUITE),
    ],
)
def test_what_a_server_might_choose(talks: Talks, version: ssl.TLSVersion, at: int, value: bytes, reason: Stop) -> None:
    """TLS 1.1; a suite of a later day; TLS 1.2 with a suite of 1.3."""
    wire, keys = talks[version]
    place = next(place for place, part in enumerate(wire) if part[0] == SERVER)
    side, off, data = wire[place]
    changed = [*wire[:place], (side, off, data[:at] + value + data[at + 2 :]), *wire[place + 1 :]]
    found, stopped = decrypt(changed, keys)
    assert ([], reason) == (found, stopped[SERVER])


def test_tls_1_2_data_before_any_keys(talks: Talks) -> None:
    """What is not encrypted is no application data."""
    wire, keys = talks[ssl.TLSVersion.TLSv1_2]
    hellos = [next(part for part in wire if part[0] == side) for side in (CLIENT, SERVER)]
    early = CLIENT, len(hellos[CLIENT][2]), b"\x17\x03\x03\x00\x01x"
    assert ([], {CLIENT: Stop.BROKEN}) == decrypt([*hellos, early], keys)


def test_a_renegotiation_ends_it(network: Network) -> None:
    """What was said before the server asked for it is kept."""
    network.limit(ssl.TLSVersion.TLSv1_2)
    pair = network.connect()
    pair.talk()
    pair.renegotiate()
    found, stopped = decrypt(pair.wire, network.keys)
    assert {SERVER: Stop.RENEGOTIATED} == stopped
    assert pair.said(SERVER) == spoken(found, SERVER)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_capture_that_began_late(talks: Talks, version: ssl.TLSVersion) -> None:
    """Behind the handshake nothing says whose keys these are."""
    wire, keys = talks[version]
    starts = [next(off for who, off, data in wire if who == side and data[0] == 23 and off) for side in (0, 1)]
    late = [(side, off - starts[side], data) for side, off, data in wire if off >= starts[side]]
    assert ([], dict.fromkeys((CLIENT, SERVER), Stop.MID_CONNECTION)) == decrypt(late, keys)


def test_one_direction_alone(talks: Talks) -> None:
    """It waits for the other's hello to the end."""
    wire, keys = talks[ssl.TLSVersion.TLSv1_3]
    for side in (CLIENT, SERVER):
        assert ([], {side: Stop.ONE_SIDED}) == decrypt([part for part in wire if part[0] == side], keys)


def test_what_waits_is_bounded(talks: Talks) -> None:
    """A direction whose other half never comes is given up."""
    wire, keys = talks[ssl.TLSVersion.TLSv1_3]
    session, off = TlsSession(keys), 0
    record = b"\x17\x03\x03\x40\x00" + bytes(0x4000)
    for data in [data for side, _, data in wire if side == CLIENT][:1] + [record] * 20:
        session.feed(CLIENT, off, data)
        off += len(data)
    assert {CLIENT: Stop.ONE_SIDED} == session.stopped


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Stop.NOT_TLS),
        (b"\x16\x03\x01\xff\xff\x01", Stop.NOT_TLS),
        (b"\x16\x03\x01\x00\x04\x0b\x00\x00\x00", Stop.MID_CONNECTION),
        (b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03", Stop.BROKEN),
        (b"\x16\x03\x01\x00\x06\x02\x00\x00\x02\x03\x03", Stop.BROKEN),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", Stop.BROKEN),
    ],
)
def test_bytes_that_are_no_handshake(data: bytes, reason: Stop) -> None:
    """Plain text, too long a record, another message than a hello, hellos cut short, too long a message."""
    assert ([], {CLIENT: reason}) == decrypt([(CLIENT, 0, data)], KeyLog())


def test_a_server_that_refuses_is_heard() -> None:
    """Its alert is not encrypted."""
    assert [Plain(SERVER, 6, ContentType.ALERT, b"\x02\x28")] == TlsSession(KeyLog()).feed(
        SERVER, 0, b"\x15\x03\x03\x00\x02\x02\x28"
    )


@settings(max_examples=200, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_changed_bytes_never_raise(talks: Talks, version: ssl.TLSVersion, data: st.DataObject) -> None:
    """And whatever is found was said: a changed record does not decrypt."""
    wire, keys = talks[version]
    changed = [(side, off, bytearray(part)) for side, off, part in wire]
    for _ in range(data.draw(st.integers(1, 4))):
        part = changed[data.draw(st.integers(0, len(changed) - 1))][2]
        part[data.draw(st.integers(0, min(len(part) - 1, 600)))] = data.draw(st.integers(0, 255))
    found, _ = decrypt([(side, off, bytes(part)) for side, off, part in changed], keys)
    true = decrypt(wire, keys)[0]
    assert all(each in true for each in found if each.content_type == ContentType.APPLICATION_DATA)


def message(kind: int, body: bytes) -> bytes:
    """Return a handshake message."""
    return bytes([kind]) + len(body).to_bytes(3) + body


def record(content_type: int, fragment: bytes) -> bytes:
    """Return a TLS record."""
    return bytes([content_type, 3, 3]) + len(fragment).to_bytes(2) + fragment


RANDOM = bytes(32)
SECRETS_1_3 = ("HANDSHAKE_TRAFFIC_SECRET", "TRAFFIC_SECRET_0")
VERSION_1_3 = b"\0\x06\0\x2b\0\2\3\4"
RECORDS = [
    record(22, message(1, b"\3\3" + RANDOM)),
    *(
        record(22, message(2, b"\3\3" + RANDOM + b"\0" + suite + b"\0" + extensions))
        for suite, extensions in ((b"\xc0\x2b", b""), (b"\x13\x01", VERSION_1_3), (b"\x13\x09", VERSION_1_3))
    ),
    record(22, message(2, b"short")),
    record(22, message(20, bytes(12))),
    record(20, b"\1"),
    record(21, b"\1\0"),
    record(23, bytes(40)),
    record(23, b""),
    b"\x16\3\3",
    b"HTTP/1.1 200",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([CLIENT, SERVER]), st.sampled_from(RECORDS)), max_size=12))
def test_records_in_any_senseless_order_never_raise(parts: list[tuple[int, bytes]]) -> None:
    """From either side; nothing but alerts is ever found in them."""
    names = ["CLIENT_RANDOM", *(f"{role}_{what}" for role in ("CLIENT", "SERVER") for what in SECRETS_1_3)]
    session = TlsSession(KeyLog(f"{name} {RANDOM.hex()} {bytes(48).hex()}" for name in names))
    offsets = [0, 0]
    for side, data in parts:
        found = session.feed(side, offsets[side], data)
        offsets[side] += len(data)
        assert {ContentType.ALERT} >= {each.content_type for each in found}
    session.finish()
