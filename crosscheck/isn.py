"""Where a stream begins: the position of its byte 0, from its SYN or, where the capture missed that, from votes.

Stamps know offsets, packets know positions; what is wanted is the constant between them. A stamp that owns its time
ends a packet: inbound it ended a read that emptied the socket, outbound it ended a send. So each such stamp votes for
`packet end − (offset + 1)`, for every packet that was captured when θ allows it. Stamps with few packets near them say
most, so they are asked. The truth gets a vote of nearly every stamp; so do its rivals where messages are of equal size
(with a feed of 146-byte messages every shift by a multiple of 146 aligns as well), and size cannot tell them apart.
Time can: shifted by k messages, a stamp must fit the packet of k messages later, and a pause longer than the
tolerance refutes that. A feed that never pauses remains ambiguous, and so does one without a clock interval.

A candidate wins when

- every stamp fits it: the packet with its byte was captured at the stamp's time + θ, give or take the mirror's delay;
  a byte that came late or was sent again says nothing, one outside of what was captured at that time is a misfit;
- nine in ten stamps end a packet, and there are enough of them;
- no other candidate is left. A rival is out when it aligns half as often, or when several stamps refute it: a single
  false stamp may refute the truth, so it must not make a rival the only one left.

Both sides of the tolerance are open outbound too: a stamp that breaks causality must not choose the candidate by which
it is judged afterwards.

Even then, what is captured first may be the retransmission of a packet that had passed before. So the stream is taken
to begin at the first stamp after all those that are older than the capture.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from crosscheck.model import Column, Index
from crosscheck.streams import Stream
from journal.wire import PacketFlag

MIRROR_DELAY_NS: Final = 5_000_000  # how far a mirror's copy and the stamp of the same packet may lie apart

_NO_OFFSET: Final = 2**62

_MIN_PAIRS: Final = 8  # fewer agree by chance
_MIN_REFUTATIONS: Final = 3
_MIN_END_SHARE: Final = 0.9
_RIVAL_SHARE: Final = 0.5  # of the winner's votes
_VOTERS: Final = 256
_POOL: Final = 1 << 16  # stamps among which voters are chosen
_PROBED: Final = 4096  # stamps that every candidate meets before the survivors meet all
_MAX_VOTES: Final = 1 << 22
_MAX_CANDIDATES: Final = 4096
_MAX_SURVIVORS: Final = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stream begins.

    Attributes:
        base: position of its byte 0.
        start: position of the first byte whose passing the capture can have seen.
    """

    base: int
    start: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Stamps of one stream that own their time, shape (k,) each.

    Attributes:
        off: stream offset of the message's last byte.
        earliest, latest: when its packet passed, by the stamp and the bounds of θ, ns of the monitor's clock.
    """

    off: Column
    earliest: Column
    latest: Column

    def __len__(self) -> int:
        return len(self.off)

    def take(self, places: Index) -> "Evidence":
        """Return some of them."""
        return Evidence(self.off[places], self.earliest[places], self.latest[places])

    def widened(self, tolerance_ns: int) -> "Evidence":
        """Return the same stamps with wider windows."""
        return Evidence(self.off, self.earliest - tolerance_ns, self.latest + tolerance_ns)


@dataclass(frozen=True, slots=True)
class Fit:
    """How stamps agree with a stream whose byte 0 is assumed somewhere.

    Attributes:
        fits, misfits: stamps whose packet was captured in their window, or not; some say neither.
        ends: of those that fit, how many end a packet.
    """

    fits: int
    misfits: int
    ends: int


class Sightings:
    """When the originals of a stream's packets passed, on the monitor's own clock.

    Packets that a NIC stamped are left out: its clock is a third one.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._clear = stream.clear() & ((stream.flags & PacketFlag.HARDWARE) == 0)
        clear = np.flatnonzero(self._clear)
        by_time = clear[np.argsort(stream.time[clear], kind="stable")]
        self._time = stream.time[by_time]
        self._end = stream.first.end[by_time]

    def start(self, base: int, evidence: Evidence) -> int:
        """Return the position of the first stamp that is younger than the capture, as are all behind it.

        Args:
            base: position of byte 0.
            evidence: of the whole stream, some of it as young.
        """
        older = evidence.earliest < self._time[0]
        passed = evidence.off[older].max(initial=-1)
        return base + int(evidence.off[evidence.off > passed].min(initial=_NO_OFFSET))

    def during(self, evidence: Evidence) -> Evidence:
        """Return the stamps that fall between the first packet and the last."""
        if not len(self._time):
            return evidence.take(np.empty(0, np.intp))
        return evidence.take(np.flatnonzero((evidence.latest >= self._time[0]) & (evidence.earliest <= self._time[-1])))

    def fit(self, base: int, evidence: Evidence) -> Fit:
        """Compare stamps with the packets that carried their bytes if byte 0 is at `base`.

        Args:
            base: a position.
            evidence: with windows that hold the mirror's delay.
        """
        if not len(self._time):
            return Fit(0, 0, 0)
        position = base + evidence.off
        place = self._stream.first.find(position)
        found = place >= 0
        place, window = place[found], evidence.take(np.flatnonzero(found))
        clear, time = self._clear[place], self._stream.time[place]
        fits = clear & (window.earliest <= time) & (time <= window.latest)
        ends = fits & (position[found] == self._stream.first.end[place] - 1)
        early, late = position < self._stream.start(), position >= self._stream.extent
        inside = (evidence.earliest > self._time[0]) & (evidence.latest < self._time[-1])
        misfits = np.count_nonzero(clear & ~fits) + np.count_nonzero((early | late) & inside)
        return Fit(int(np.count_nonzero(fits)), int(misfits), int(np.count_nonzero(ends)))

    def candidates(self, evidence: Evidence) -> list[int]:
        """Return the positions that many voters propose for byte 0, at most `_MAX_CANDIDATES` + 1."""
        pool = evidence.take(_spread(len(evidence), _POOL))
        begin = np.searchsorted(self._time, pool.earliest)
        count = np.searchsorted(self._time, pool.latest, "right") - begin
        voters = np.flatnonzero(count)
        voters = voters[np.argsort(count[voters], kind="stable")][:_VOTERS]
        voters = voters[np.cumsum(count[voters]) <= _MAX_VOTES]
        if not len(voters):
            return []
        sizes = count[voters]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        packet = np.repeat(begin[voters], sizes) + within
        proposed, votes = np.unique(self._end[packet] - np.repeat(pool.off[voters] + 1, sizes), return_counts=True)
        kept: list[int] = proposed[votes >= _RIVAL_SHARE * votes.max()][: _MAX_CANDIDATES + 1].tolist()
        return kept


def find_origin(stream: Stream, sightings: Sightings, evidence: Evidence) -> Origin | None:
    """Find where a stream begins.

    Args:
        stream: the stream.
        sightings: of its packets.
        evidence: the stamps that own their time, with windows that hold the mirror's delay.

    Returns:
        None when the SYN is missing, and no candidate fits every stamp or more than one may be true.
    """
    if stream.isn is not None:
        return Origin(stream.isn + 1, stream.isn + 1)
    base = _vote(sightings, sightings.during(evidence))
    return None if base is None else Origin(base, sightings.start(base, evidence))


def _vote(sightings: Sightings, evidence: Evidence) -> int | None:
    """Return the one position of byte 0 that these stamps allow, if it is one."""
    if len(evidence) < _MIN_PAIRS:
        return None
    candidates = sightings.candidates(evidence)
    if len(candidates) > _MAX_CANDIDATES:
        return None
    probed = evidence.take(_spread(len(evidence), _PROBED))
    candidates = [base for base in candidates if sightings.fit(base, probed).misfits < _MIN_REFUTATIONS]
    if len(candidates) > _MAX_SURVIVORS:
        return None
    fits = {base: sightings.fit(base, evidence) for base in candidates}
    fits = {base: fit for base, fit in fits.items() if fit.misfits < _MIN_REFUTATIONS}
    most = max((fit.ends for fit in fits.values()), default=0)
    contenders = [(base, fit) for base, fit in fits.items() if fit.ends >= _RIVAL_SHARE * most]
    if len(contenders) != 1:
        return None
    base, fit = contenders[0]
    proven = not fit.misfits and fit.ends >= max(_MIN_PAIRS, _MIN_END_SHARE * fit.fits)
    return base if proven else None


def _spread(length: int, at_most: int) -> Index:
    """Return evenly spaced places."""
    if length <= at_most:
        return np.arange(length)
    return np.arange(at_most) * length // at_most
