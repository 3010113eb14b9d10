"""Volume and losses, counted by packets though some packets are several rows."""

import numpy as np

from crosscheck.network import network_figures
from journal.wire import LOSS, PACKET, LossCause, PacketFlag, TcpFlag

P = PacketFlag


def packet_rows(*rows: tuple[int, int, int, int]) -> np.ndarray:
    """Return rows of (stream, size, tcp, flags), a second apart, in frames of 100 bytes."""
    packets = np.zeros(len(rows), PACKET)
    for place, name in enumerate(("stream", "size", "tcp", "flags")):
        packets[name] = [row[place] for row in rows]
    packets["time"] = 10**9 * np.arange(len(rows))
    packets["frame"] = 100
    return packets


NO_LOSS = np.zeros(0, LOSS)


def test_a_packet_in_pieces_is_one_packet() -> None:
    """Its bytes are those of all pieces, and it is retransmitted when one of them is."""
    packets = packet_rows(
        (2, 10, 0, P.FIRST), (2, 20, 0, P.SEEN), (2, 30, 0, P.FIRST | P.PART), (2, 40, 0, P.SEEN | P.PART), (3, 7, 0, 1)
    )
    figures = network_figures(packets, NO_LOSS, [2], [3])
    assert (2, 100, 200, 1) == (
        figures.inbound.packets,
        figures.inbound.payload_bytes,
        figures.inbound.frame_bytes,
        figures.inbound.retransmitted,
    )
    assert (3.0, 200 * 8 / 3) == (figures.inbound.seconds, figures.inbound.bits_per_s)
    assert (1, 7, 0.0, 0.0) == (
        figures.outbound.packets,
        figures.outbound.payload_bytes,
        figures.outbound.seconds,
        figures.outbound.bits_per_s,
    )


def test_a_mirrors_copy_is_no_packet_of_the_network() -> None:
    """Nor a retransmission; a retransmission that fills a hole is one, reordering is none."""
    packets = packet_rows(
        (2, 10, 0, P.FIRST),
        (2, 10, 0, P.SEEN | P.COPY),
        (2, 10, 0, P.SEEN | P.UNACKED),
        (2, 10, 0, P.FIRST | P.RESENT),
        (2, 10, 0, P.FIRST | P.LATE),
    )
    found = network_figures(packets, NO_LOSS, [2], []).inbound
    assert (4, 40, 1, 2, 1) == (found.packets, found.payload_bytes, found.copies, found.retransmitted, found.reordered)


def test_resets_and_closed_windows_are_counted() -> None:
    """By direction."""
    packets = packet_rows((2, 0, TcpFlag.RST, 0), (3, 0, TcpFlag.ZERO_WINDOW, 0), (3, 0, TcpFlag.ZERO_WINDOW, 0))
    figures = network_figures(packets, NO_LOSS, [2], [3])
    assert (1, 0) == (figures.inbound.resets, figures.inbound.zero_windows)
    assert (0, 2) == (figures.outbound.resets, figures.outbound.zero_windows)


def test_losses_are_counted_by_cause_in_holes_and_bytes() -> None:
    """Of the chosen streams; reordering and what arrived twice are no loss, a copy that the mirror lost is its own."""
    causes = [LossCause.UNKNOWN, LossCause.MIRROR, LossCause.NETWORK, LossCause.REORDERED, LossCause.MISSED]
    losses = np.zeros(7, LOSS)
    losses["stream"] = [2, 2, 2, 2, 2, 2, 9]
    losses["size"] = [1, 10, 100, 1000, 20, 7, 5]
    losses["cause"] = [*causes, LossCause.DUPLICATED, LossCause.MIRROR]
    found = network_figures(packet_rows(), losses, [2], [900]).inbound
    assert (2, 30) == (found.mirror_lost, found.mirror_lost_bytes)
    assert (1, 100) == (found.network_lost, found.network_lost_bytes)
    assert (1, 1) == (found.unknown_lost, found.unknown_lost_bytes)
