"""Streams: what each packet's bytes are, rule by rule."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.streams.flows import REORDER_NS
from capture.streams.rows import BATCH, Opened, Streams
from journal.layout import ABSENT
from journal.wire import LOSS, PACKET, LossCause, PacketFlag, TcpFlag

FIN, SYN, RST, ACK = 1, 2, 4, 16
MS = 1_000_000
NOTHING, FIRST, SEEN, COPY = PacketFlag(0), PacketFlag.FIRST, PacketFlag.SEEN, PacketFlag.SEEN | PacketFlag.COPY
PART, UNACKED, LATE = PacketFlag.PART, PacketFlag.SEEN | PacketFlag.UNACKED, PacketFlag.FIRST | PacketFlag.LATE
RESENT, ACKED = PacketFlag.FIRST | PacketFlag.RESENT, PacketFlag.ACKED
Made = Any  # a class of conftest.py, which cannot be imported


def of_client(followed: Made) -> list[tuple[int, int, PacketFlag]]:
    """Sequence number, size and flags of the client's rows, without the first."""
    return [(row.offset, row.size, row.flags) for row in followed.rows() if row.stream == 2][1:]


def causes(followed: Made) -> list[tuple[int, int, LossCause]]:
    """Sequence number, size and cause of the losses."""
    return [(loss.offset, loss.size, loss.cause) for loss in followed.lost()]


def test_a_connection_from_syn_to_fin(tcp: Made) -> None:
    """SYN and FIN take a position each; data is FIRST, what has none is not."""
    talk = tcp.talk()
    talk.send(999, 0, flags=SYN, ack=0)
    talk.add(1, 4999, 0, {"ack": 1000, "flags": SYN | ACK})
    talk.send(1000, 0)
    talk.send(1000, 50)
    talk.send(1050, 50, flags=FIN | ACK)
    talk.ack(1101, flags=FIN | ACK)
    talk.send(1101, 0, ack=5001)
    followed = talk.follow()
    expected = [(2, 999, 0), (3, 4999, 0), (2, 1000, 0), (2, 1000, 50), (2, 1050, 50), (3, 5000, 0), (2, 1101, 0)]
    assert expected == [(row.stream, row.offset, row.size) for row in followed.rows()]
    assert [NOTHING] * 3 + [FIRST] * 2 + [NOTHING] * 2 == followed.flags()
    assert [] == followed.lost()
    assert [Opened(1, "167772161:40000", "167772162:443", 0, MS)] == followed.opened


def test_what_a_row_holds(tcp: Made) -> None:
    """Time, position of 64 bits, stream, sizes and flags."""
    row = tcp.follow([tcp.sent(1, 2**32 - 1, 7, time_ns=9, flags=ACK | 8, window=0)]).packets[0]
    assert (0, 9, 2**33 - 1, 3, 7, 73, ACK | 8 | TcpFlag.ZERO_WINDOW, FIRST) == tuple(row.tolist())


def test_original_that_came_late(talk: Made) -> None:
    """Reordering."""
    talk.send(1200, ip_id=9)
    talk.send(1100, ip_id=8)
    assert [(1200, 100, FIRST), (1100, 100, LATE)] == of_client(talk.follow())
    assert [(1100, 100, LossCause.REORDERED)] == causes(talk.follow())


def test_retransmission_before_any_acknowledgement(talk: Made) -> None:
    """The network's loss; the row of the loss says when it showed and when it was clear."""
    talk.send(1200)
    talk.send(1100)
    followed = talk.follow()
    assert [(1200, 100, FIRST), (1100, 100, RESENT)] == of_client(followed)
    assert [(0, 3 * MS, 4 * MS, 2**32 + 1100, 2, 100, LossCause.NETWORK, 0)] == followed.losses.tolist()


@pytest.mark.parametrize("acknowledged", [{"ack": 1300}, {"ack": 1100, "sack": ((1150, 1300),)}])
def test_acknowledged_but_not_seen(talk: Made, acknowledged: dict[str, Any]) -> None:
    """The mirror's loss, by a cumulative or a selective acknowledgement, as far as that goes."""
    talk.send(1200)
    talk.ack(**acknowledged)
    talk.send(1300, time_ns=4 * MS + REORDER_NS)
    lost = [(1150, 150 - 100, LossCause.MIRROR)] if "sack" in acknowledged else [(1100, 100, LossCause.MIRROR)]
    assert lost == causes(talk.follow())[:1]
    assert int(talk.follow().losses["closed"][0]) == 4 * MS


def test_retransmission_of_what_the_mirror_lost(talk: Made) -> None:
    """It is FIRST, but known not to be the packet that arrived."""
    talk.send(1200)
    talk.ack(1300)
    talk.send(1100)
    assert (1100, 100, RESENT | ACKED) == of_client(talk.follow())[-1]
    assert [(1100, 100, LossCause.MIRROR)] == causes(talk.follow())


def test_acknowledgement_that_overtook_the_packet(talk: Made) -> None:
    """Reordering; and an acknowledgement ahead of a packet in order is nothing at all."""
    talk.send(1200, ip_id=9)
    talk.ack(1400)
    talk.send(1100, ip_id=8)
    talk.send(1300, ip_id=10)
    assert [(1200, 100, FIRST), (1100, 100, LATE), (1300, 100, FIRST)] == of_client(talk.follow())
    assert [(1100, 100, LossCause.REORDERED)] == causes(talk.follow())


def test_hole_that_was_acknowledged_before_it_showed(talk: Made) -> None:
    """The acknowledgement is remembered."""
    talk.ack(1200)
    talk.send(1200)
    assert [(1100, 100, LossCause.MIRROR)] == causes(talk.follow())


def test_neither_filled_nor_acknowledged(talk: Made) -> None:
    """Unknown, when the capture ends."""
    talk.send(1200)
    followed = talk.follow()
    assert [(1100, 100, LossCause.UNKNOWN)] == causes(followed)
    assert [ABSENT] == followed.losses["closed"].tolist()


@pytest.mark.parametrize(("later_ns", "cause"), [(REORDER_NS, LossCause.MIRROR), (1, LossCause.UNKNOWN)])
def test_acknowledged_with_nothing_behind_it(tcp: Made, talk: Made, later_ns: int, cause: LossCause) -> None:
    """A loss without a later packet to show it; unless the capture ended so soon that it may have been on its way."""
    talk.ack(1150)
    talk.packets.append(tcp.sent(0, 1, time_ns=3 * MS + later_ns, client=5))
    assert [(1100, 50, cause)] == causes(talk.follow())


def test_pure_acknowledgement_shows_a_hole(talk: Made) -> None:
    """Its number says what was sent before."""
    talk.send(1150, 0)
    talk.send(1100, 50, ip_id=2)
    assert [(1150, 0, NOTHING), (1100, 50, LATE)] == of_client(talk.follow())


def test_copies_and_retransmissions(talk: Made) -> None:
    """The very same packet is a copy; one with another identification was sent again, acknowledged or not."""
    talk.send(1100, ip_id=7)
    talk.send(1100, ip_id=7)
    talk.send(1100, ip_id=8)
    talk.ack(1200)
    talk.send(1100, ip_id=9)
    assert [(1100, 100, flags) for flags in (FIRST, COPY, UNACKED, SEEN)] == of_client(talk.follow())


@pytest.mark.parametrize(("evidence", "flags"), [("none", LATE), ("copy", LATE), ("sack", RESENT), ("twice", RESENT)])
def test_signs_that_the_sender_may_send_again(talk: Made, evidence: str, flags: PacketFlag) -> None:
    """Without identification or TSval, a duplicate acknowledgement or a SACK makes what follows a retransmission."""
    talk.ack(1100)  # packet 3
    talk.send(1200, ip_id=0, time_ns=10 * MS)
    if evidence == "sack":
        talk.ack(1100, sack=((1200, 1300),), time_ns=10 * MS)
    elif evidence == "twice":
        talk.ack(1100, time_ns=10 * MS)
    elif evidence == "copy":
        talk.ack(1100, ip_id=3, time_ns=3 * MS)
    talk.send(1100, ip_id=0, time_ns=11 * MS)
    assert (1100, 100, flags) == of_client(talk.follow())[-1]


def test_packet_partly_seen(talk: Made) -> None:
    """Its parts are rows of their own, in the order of positions; only the first counts as a packet."""
    talk.send(1300)
    talk.send(1050, 300, ip_id=9)
    expected = [(1300, 100, FIRST), (1050, 50, SEEN), (1100, 200, RESENT | PART), (1300, 50, UNACKED | PART)]
    assert expected == of_client(talk.follow())
    talk.send(1350, 100)
    assert [(1350, 50, UNACKED), (1400, 50, FIRST | PART)] == of_client(talk.follow())[-2:]


def test_repeated_syn_and_fin(tcp: Made) -> None:
    """They are SEEN when they come again, though they have no bytes."""
    talk = tcp.talk()
    talk.send(999, 0, flags=SYN, ack=0)
    talk.send(999, 0, flags=SYN, ack=0)
    talk.send(1000, 0, flags=FIN | ACK)
    talk.send(1000, 0, flags=FIN | ACK, ip_id=3)
    assert [(999, 0, UNACKED), (1000, 0, NOTHING), (1000, 0, COPY)] == of_client(talk.follow())


def test_syn_with_data(tcp: Made) -> None:
    """Its data begins one position behind it (RFC 7413), in a row of its own."""
    talk = tcp.talk()
    talk.send(999, 30, flags=SYN, ack=0)
    talk.send(1030, 10)
    followed = talk.follow()
    assert [(999, 0, NOTHING), (1000, 30, FIRST | PART), (1030, 10, FIRST)] == [row[1:] for row in followed.rows()]


@pytest.mark.parametrize("size", [0, 1])
def test_keep_alive(talk: Made, size: int) -> None:
    """It repeats the last byte, or nothing, and is no retransmission."""
    talk.send(1099, size)
    talk.ack(1100)
    talk.send(1100)
    assert [(1099, size, NOTHING), (1100, 100, FIRST)] == of_client(talk.follow())


def test_last_byte_sent_again(talk: Made) -> None:
    """Before it is acknowledged it is no keep-alive."""
    talk.send(1100, 1)
    talk.send(1100, 1)
    assert [(1100, 1, FIRST), (1100, 1, UNACKED)] == of_client(talk.follow())


def test_probes_of_a_zero_window(talk: Made) -> None:
    """Neither the probe's byte nor the packet that carries it again is a retransmission."""
    talk.ack(1100, window=0)
    talk.send(1100, 1)
    talk.ack(1100, window=0)
    talk.send(1100, 1)
    talk.ack(1100)
    talk.send(1100)
    expected = [(1100, 1, FIRST), (1100, 1, NOTHING), (1101, 99, FIRST), (1100, 1, UNACKED | PART)]
    assert expected == of_client(talk.follow())
    assert [] == causes(talk.follow())


def test_packets_before_the_first(talk: Made) -> None:
    """What the mirror delayed at the start is late; what was sent again passed before the capture began."""
    talk.packets = []
    talk.send(1000, ip_id=50)
    talk.send(800, ip_id=48)
    talk.send(900, ip_id=49)
    talk.send(600, ip_id=51)
    talk.send(700, ip_id=47, time_ns=MS + REORDER_NS + 1)
    expected = [(800, 100, LATE), (900, 100, LATE), (600, 100, UNACKED), (700, 100, UNACKED)]
    assert expected == of_client(talk.follow())
    assert [(900, 100, LossCause.REORDERED)] == causes(talk.follow())


def test_reset_moves_nothing(talk: Made) -> None:
    """Whatever number it carries."""
    talk.send(1_000_000, 5, flags=RST)
    talk.send(1100)
    assert [(1_000_000, 5, NOTHING), (1100, 100, FIRST)] == of_client(talk.follow())
    assert [] == causes(talk.follow())


def test_number_out_of_any_window(talk: Made) -> None:
    """It moves nothing; two that agree mean that the capture missed as much."""
    talk.send(1100 + 2**31)
    talk.send(1100)
    talk.send(1200 + 2**31)
    talk.send(1300 + 2**31)
    followed = talk.follow()
    assert [NOTHING, FIRST, NOTHING, FIRST] == [flags for _, _, flags in of_client(followed)]
    assert [(1200, 2**31 + 100, LossCause.UNKNOWN)] == causes(followed)


def test_positions_go_on_over_the_wrap(tcp: Made) -> None:
    """With frames of 64 KB a batch covers all sequence numbers, also of acknowledgements."""
    count, size = 70_000, 65_000
    packets = []
    for number in range(count):
        end = (number + 1) * size
        packets += [tcp.sent(0, end - size - 9, size, time_ns=number), tcp.sent(1, 5, 0, end - 9, time_ns=number)]
    del packets[2 * count - 4]  # the one before the last of the client
    followed = tcp.follow([packet._replace(seq=packet.seq % 2**32, ack=packet.ack % 2**32) for packet in packets])
    client = followed.packets[followed.packets["stream"] == 2]
    ends = client["position"] + client["size"]
    assert 2 * count - 1 == len(followed.packets)
    assert np.array_equal(client["position"][1:-1], ends[:-2])
    assert 2**33 - 9 + count * size == int(ends[-1])
    assert [(size, LossCause.MIRROR)] == [(loss.size, loss.cause) for loss in followed.lost()]
    assert np.all(client["flags"] == FIRST)


def test_ports_used_again(talk: Made) -> None:
    """The old connection is given up, and the new one has streams of its own."""
    talk.send(1200)
    talk.send(70, 0, flags=SYN, ack=0, time_ns=2 * REORDER_NS)
    talk.send(71)
    followed = talk.follow()
    assert [2, 3, 2, 4, 4] == [row.stream for row in followed.rows()]
    assert [(2, 1100, 100, LossCause.UNKNOWN)] == [tuple(loss) for loss in followed.lost()]
    assert [1, 2] == [one.number for one in followed.opened]


def test_only_what_is_watched(tcp: Made) -> None:
    """Others have no rows, and are asked about once."""
    asked = []

    def watch(a: str, b: str, tunnel: int) -> bool:
        asked.append((a, b, tunnel))
        return a == "0:7"

    packets = [tcp.sent(0, 1, 5, client=client, tunnel=3) for client in (6, 7, 6, 7)]
    packets.append(tcp.sent(0, 1, 5, client=6))
    streams = Streams({0: "0", 167772162: "::1"}.__getitem__, watch)
    followed = tcp.follow(packets, [2], streams)
    assert [("0:6", "::1:443", 3), ("0:7", "::1:443", 3), ("0:6", "::1:443", 0)] == asked
    assert [Opened(1, "0:7", "::1:443", 3, 0)] == followed.opened
    assert [2, 2] == followed.packets["stream"].tolist()


def test_nothing_to_follow(tcp: Made) -> None:
    """Empty batches and an empty capture have empty rows."""
    followed = tcp.follow([])
    assert (PACKET, LOSS) == (followed.packets.dtype, followed.losses.dtype)
    assert 0 == len(followed.packets) == len(followed.losses)


def test_forgotten_connections(tcp: Made) -> None:
    """Beyond the capacity the oldest are given up, and begin anew when they speak again."""
    packets = [tcp.sent(0, 1, 5, client=client, time_ns=client) for client in range(16)]
    packets += [tcp.sent(0, 11, 5, client=3, time_ns=0), tcp.sent(0, 9, 5, client=99, time_ns=99)]
    packets += [tcp.sent(0, 16, 5, client=3, time_ns=100)]
    followed = tcp.follow(packets, [17, 18], Streams(str, capacity=16))
    assert 18 == followed.opened[-1].number
    assert [36] == followed.packets["stream"][-1:].tolist()
    assert [(8, 5, LossCause.UNKNOWN)] == [(loss.stream, loss.size, loss.cause) for loss in followed.lost()]


PACKETS = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(-40, 60), st.integers(0, 12), st.integers(-40, 60),
        st.sampled_from([ACK] * 12 + [SYN, SYN | ACK, FIN | ACK, RST, 0]), st.integers(0, 3), st.integers(0, 60 * MS),
        st.sampled_from([0, 500, 500]), st.sampled_from([None, 1, 2]),
        st.lists(st.tuples(st.integers(-40, 60), st.integers(-40, 60)), max_size=2),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(PACKETS, st.sets(st.integers(1, 39)))
def test_any_packets_in_any_batches(tcp: Made, given: list[tuple[Any, ...]], cuts: set[int]) -> None:
    """Whatever comes: no byte is FIRST twice, FIRST is where a byte first came, and batches change nothing."""
    packets, time_ns = [], 0
    for side, seq, size, ack, flags, ip_id, later_ns, window, tsval, sack in given:
        time_ns += later_ns
        sent = tcp.sent(side, seq % 2**32, size, ack % 2**32, time_ns, flags, window, ip_id, tsval, tuple(sack))
        packets.append(sent._replace(client=ip_id % 2))
    whole, cut = tcp.follow(packets), tcp.follow(packets, [at for at in cuts if at < len(packets)])
    assert whole.packets.tolist() == cut.packets.tolist()
    assert whole.losses.tolist() == cut.losses.tolist()
    assert whole.opened == cut.opened
    first: dict[int, set[int]] = {}
    for row in whole.packets:
        flags, came = int(row["flags"]), first.setdefault(int(row["stream"]), set())
        held = set(range(int(row["position"]), int(row["position"]) + int(row["size"])))
        assert not flags & FIRST or not came & held
        came |= held if flags & FIRST else set()
    holes = whole.losses[~np.isin(whole.losses["cause"], [LossCause.DUPLICATED, LossCause.MISSED])]
    spans = [(int(row["stream"]), int(row["position"]), int(row["size"])) for row in holes]
    counted = [(stream, at) for stream, begin, size in spans for at in range(begin, begin + size)]
    assert len(set(counted)) == len(counted)
    parts = (whole.packets["flags"] & PART) != 0
    assert len(packets) == len(parts) - parts.sum()


def test_a_batch_larger_than_one_step(tcp: Made) -> None:
    """It is taken in parts."""
    segments = tcp.segments_of([tcp.sent(0, 10 * number, 10) for number in range(BATCH + 5)])
    found = Streams(str).take(segments)
    assert BATCH + 5 == len(found.packets)
    assert 1 == len(found.opened)
