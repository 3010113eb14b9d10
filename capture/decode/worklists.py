"""Which packets stand at which header: the state of a decode in progress. Pure.

A *span* is a part of a packet that begins with a header. Steps take all spans at one kind of header, and push what is
behind those headers to the worklist of the next kind. A span that goes no further is counted under a reason, so that
no packet is ever lost: it is in a worklist, became a segment, or was counted.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from capture.decode.headers import Header
from capture.packets import U32, Bytes, Int64, Mask

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Spans:
    """Parts of some packets, all at the same kind of header; each array has shape (n,).

    Attributes:
        packet: index of the packet in its batch.
        at: where the header begins in the buffer.
        end: where the captured bytes of this layer end; ≤ `wire_end`.
        wire_end: where they would end if all of them had been captured.
        tunnel: identifier of the innermost tunnel passed so far that has one, else 0.
        ip: where the innermost IP header passed so far begins; that header is complete.
    """

    packet: Int64
    at: Int64
    end: Int64
    wire_end: Int64
    tunnel: U32
    ip: Int64

    def __len__(self) -> int:
        return len(self.packet)

    def columns(self) -> tuple[Values, ...]:
        """Return the arrays in the order of the attributes."""
        return self.packet, self.at, self.end, self.wire_end, self.tunnel, self.ip

    def pick(self, chosen: Mask) -> Self:
        """Return the spans where `chosen` is true."""
        index = np.flatnonzero(chosen)
        return type(self)(*(column[index] for column in self.columns()))

    @classmethod
    def join(cls, parts: list["Spans"]) -> "Spans":
        """Return all spans of some parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))


@dataclass(slots=True)
class Rebuilt:
    """A datagram that its fragments have completed: header and payload, unfragmented.

    Attributes:
        packet: index of the packet that brought the last fragment.
        tunnel: as in `Spans`.
        datagram: an IPv4 or IPv6 packet.
    """

    packet: int
    tunnel: int
    datagram: bytes


@dataclass(slots=True)
class Worklists:
    """The spans of a buffer that wait for their next step.

    Attributes:
        data: the buffer, shape (bytes,).
        time_ns: capture time of every packet of the batch, by index.
        counts: packets that go no further, by reason.
        rebuilt: datagrams that fragments have completed; they are in no worklist.
    """

    data: Bytes
    time_ns: Int64
    counts: Counter[str]
    rebuilt: list[Rebuilt] = field(default_factory=list)
    _waiting: defaultdict[Header, list[Spans]] = field(default_factory=lambda: defaultdict(list))

    def push(self, header: Header, spans: Spans) -> None:
        """Let spans wait that begin with such a header."""
        if len(spans):
            self._waiting[header].append(spans)

    def take(self, header: Header, size: int) -> Spans | None:
        """Return the spans at such a header, less those where it is cut.

        Args:
            header: the kind of header.
            size: its fixed part, bytes, which may be read afterwards.

        Returns:
            At least one span, or None.
        """
        parts = self._waiting.pop(header, None)
        if parts is None:
            return None
        spans = Spans.join(parts)
        spans = self.keep(spans, spans.end - spans.at >= size, f"truncated in {header} header")
        return spans if len(spans) else None

    def keep(self, spans: Spans, good: Mask, reason: str) -> Spans:
        """Return the spans where `good` is true, and count the others under a reason."""
        lost = len(good) - int(np.count_nonzero(good))
        if not lost:
            return spans
        self.counts[reason] += lost
        return spans.pick(good)

    def route(self, spans: Spans, values: Values, routes: Mapping[int, Header], reason: Callable[[int], str]) -> None:
        """Push each span to the worklist of the header that a value announces.

        Args:
            spans: shape (n,), each at the announced header.
            values: what announces it: an EtherType, a protocol number, shape (n,).
            routes: the header by value, the most frequent first.
            reason: gives the name under which spans with another value are counted.
        """
        left = len(spans)
        for value, header in routes.items():
            here = values == value
            count = int(np.count_nonzero(here))
            if count == len(spans):
                self.push(header, spans)
                return
            if count:
                self.push(header, spans.pick(here))
                left -= count
            if not left:
                return
        unknown = values[~np.isin(values, list(routes))]
        for value, count in zip(*np.unique(unknown, return_counts=True), strict=True):
            self.counts[reason(int(value))] += int(count)

    def clear(self, reason: str) -> None:
        """Count whatever still waits under a reason."""
        for parts in self._waiting.values():
            self.counts[reason] += sum(map(len, parts))
        self._waiting.clear()

    def __len__(self) -> int:
        return sum(len(spans) for parts in self._waiting.values() for spans in parts)
