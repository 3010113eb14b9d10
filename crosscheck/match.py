"""Messages to packets: which packet carried a message's last byte, or why that cannot be said. Pure arrays.

A wrong match is worse than none: a byte is matched only where its first passing was seen, and, inbound, where no other
copy of it can be the one that the trader's kernel took. Where the receiver had a copy that the capture missed, nothing
says that the one it saw was the first.
"""

from typing import Final

import numpy as np

from crosscheck.isn import Origin
from crosscheck.model import Column, Index, Reasons, Unmatched
from crosscheck.streams import Stream
from journal.wire import LossCause, PacketFlag

_REASON_OF_CAUSE: Final = np.array(
    [
        {LossCause.MIRROR: Unmatched.MIRROR_LOST, LossCause.NETWORK: Unmatched.NETWORK_LOST}.get(
            cause, Unmatched.UNKNOWN_LOSS
        )
        for cause in LossCause
    ],
    np.uint8,
)
Found = tuple[
    Index, Reasons
]  # the row of each message's packet, -1 where none, and `Unmatched`; shape (messages,) each

# What a capture can say of a byte only when it saw the byte, or that it is missing.
_TELLING: Final = np.isin(
    np.arange(len(Unmatched)),
    [Unmatched.MATCHED, Unmatched.MIRROR_LOST, Unmatched.NETWORK_LOST, Unmatched.RESENT, Unmatched.UNKNOWN_LOSS],
)


def match_stream(stream: Stream, origin: Origin, off: Column, *, inbound: bool) -> Found:
    """Find the packets of some messages in the stream that carried them.

    Args:
        stream: the stream.
        origin: where it begins.
        off: stream offset of each message's last byte, shape (m,).
        inbound: whether the trader received the stream. Outbound, a byte that was sent again is matched to its first
            copy, since the trader's own stamps are of the first transmission; inbound it is not known which copy the
            kernel took.

    Returns:
        The rows of their packets in `WireSide.packets`, and the reasons where there are none.
    """
    position = origin.base + off
    place = stream.first.find(position)
    reason = _missing(stream, position)
    seen = place >= 0
    flags = stream.flags[place[seen]]
    resent = (flags & PacketFlag.RESENT) != 0
    acked = (flags & PacketFlag.ACKED) != 0
    of_seen = np.where(acked, Unmatched.MIRROR_LOST, Unmatched.NETWORK_LOST)
    of_seen[~resent] = Unmatched.MATCHED
    if inbound:
        of_seen[~resent & (stream.again.find(position[seen]) >= 0)] = Unmatched.RESENT
    of_seen[stream.missed.find(position[seen]) >= 0] = Unmatched.MIRROR_LOST
    reason[seen] = of_seen
    reason[position < origin.start] = Unmatched.BEFORE_CAPTURE
    packet = np.full(len(off), -1, np.intp)
    matched = reason == Unmatched.MATCHED
    packet[matched] = stream.row[place[matched]]
    return packet, reason


def _missing(stream: Stream, position: Column) -> Reasons:
    """Say of each position why no packet with it was captured."""
    reason = np.full(len(position), Unmatched.UNKNOWN_LOSS, np.uint8)
    reason[position >= stream.extent] = Unmatched.AFTER_CAPTURE
    reason[stream.missed.find(position) >= 0] = Unmatched.MIRROR_LOST
    hole = stream.hole.find(position)
    reason[hole >= 0] = _REASON_OF_CAUSE[stream.cause[hole[hole >= 0]]]
    return reason


def combine(found: list[Found]) -> Found:
    """Join what several captured connections say of the same messages.

    A message is matched when exactly one of them knows of its byte; where two do, one of them is another tap's copy,
    and nothing tells whose time is meant.

    Args:
        found: results of `match_stream`, at least one, of equal shapes.
    """
    packet, reason = found[0]
    known = _TELLING[reason].astype(np.uint8)
    for other_packet, other_reason in found[1:]:
        telling = _TELLING[other_reason]
        packet = np.where(telling, other_packet, packet)
        reason = np.where(telling, other_reason, reason)
        known += telling
    twice = known > 1
    return np.where(twice, -1, packet), np.where(twice, np.uint8(Unmatched.CONNECTION_AMBIGUOUS), reason)


def nothing_found(messages: int, reason: Unmatched) -> Found:
    """Return what a connection says of messages when all it has is a reason."""
    return np.full(messages, -1, np.intp), np.full(messages, reason, np.uint8)
