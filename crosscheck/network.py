"""What the network did with the paired connections: volume, retransmissions, losses by cause. Pure arrays."""

import numpy as np
import numpy.typing as npt

from crosscheck.model import DirectionFigures, Mask, NetworkFigures, Rows
from journal.wire import LossCause, PacketFlag, TcpFlag


def network_figures(packets: Rows, losses: Rows, inbound: list[int], outbound: list[int]) -> NetworkFigures:
    """Return the figures of some streams.

    Args:
        packets: rows `journal.wire.PACKET`, in the order of arrival.
        losses: rows `journal.wire.LOSS`.
        inbound: the streams that the trader received.
        outbound: those that it sent.
    """
    return NetworkFigures(*(_direction(packets, losses, streams) for streams in (inbound, outbound)))


def _direction(packets: Rows, losses: Rows, streams: list[int]) -> DirectionFigures:
    ours = _of(packets["stream"], streams)
    flags, tcp = packets["flags"][ours], packets["tcp"][ours]
    copied = (flags & PacketFlag.COPY) != 0
    whole = ((flags & PacketFlag.PART) == 0) & ~copied  # the first row of each packet
    time = packets["time"][ours]
    holes = losses[_of(losses["stream"], streams)]
    return DirectionFigures(
        packets=int(np.count_nonzero(whole)),
        payload_bytes=int(packets["size"][ours][~copied].sum(dtype=np.int64)),
        frame_bytes=int(packets["frame"][ours][whole].sum(dtype=np.int64)),
        seconds=int(time.max() - time.min()) / 1e9 if len(time) else 0.0,
        retransmitted=_packets_with(_sent_before(flags), flags),
        copies=int(np.count_nonzero(copied & ((flags & PacketFlag.PART) == 0))),
        reordered=_packets_with((flags & PacketFlag.LATE) != 0, flags),
        resets=int(np.count_nonzero(whole & ((tcp & TcpFlag.RST) != 0))),
        zero_windows=int(np.count_nonzero(whole & ((tcp & TcpFlag.ZERO_WINDOW) != 0))),
        **_lost(holes),
    )


def _of(stream: npt.NDArray[np.uint32], wanted: list[int]) -> Mask:
    """Tell which rows are of these streams."""
    chosen = np.zeros(max([int(stream.max(initial=0)), *wanted]) + 1, np.bool_)
    chosen[wanted] = True
    mask: Mask = chosen[stream]
    return mask


def _sent_before(flags: npt.NDArray[np.uint16]) -> Mask:
    """Tell which rows hold bytes that their sender had sent before, whether or not the capture saw it."""
    seen = (flags & (PacketFlag.SEEN | PacketFlag.COPY)) == PacketFlag.SEEN
    mask: Mask = seen | ((flags & PacketFlag.RESENT) != 0)
    return mask


def _packets_with(mask: Mask, flags: npt.NDArray[np.uint16]) -> int:
    """Count the packets of which some piece is in the mask: a piece belongs to the last row that is none."""
    number = np.cumsum((flags & PacketFlag.PART) == 0)
    return len(np.unique(number[mask]))


def _lost(holes: Rows) -> dict[str, int]:
    """Return the count and the bytes of the holes, by the fields of `DirectionFigures`."""
    fields = {
        "network": [LossCause.NETWORK],
        "mirror": [LossCause.MIRROR, LossCause.MISSED],
        "unknown": [LossCause.UNKNOWN],
    }
    figures = {}
    for name, causes in fields.items():
        size = holes["size"][np.isin(holes["cause"], causes)]
        figures[f"{name}_lost"] = len(size)
        figures[f"{name}_lost_bytes"] = int(size.sum(dtype=np.int64))
    return figures
