"""TCP headers: the end of the way. Pure."""

from typing import Final, NamedTuple

import numpy as np

from capture.decode.addresses import AddressTable
from capture.decode.headers import IPV4, IPV6, TCP, Header, read
from capture.decode.worklists import Spans, Worklists
from capture.packets import U16, U32, U64, Bytes, Int64, Mask

IPV6_NUMBERS: Final = 1 << 32  # what an IPv6 address's number is added to, so that it is no IPv4 address


class Found(NamedTuple):
    """The columns of `Segments` that come from headers; each array has shape (n,)."""

    packet: Int64
    tunnel: U32
    source: U64
    target: U64
    seq: U32
    ack: U32
    flags: U16
    window: U16
    ip_id: U16
    size: U32
    payload: Int64
    captured: U32
    options: Int64
    options_size: U16


def step(work: Worklists, addresses: AddressTable) -> Found | None:
    """Return the segments whose TCP headers wait.

    Args:
        work: the worklists.
        addresses: where IPv6 addresses have their numbers.
    """
    spans = work.take(Header.TCP, TCP.itemsize)
    if spans is None:
        return None
    head = read(work.data, spans.at, TCP)
    header_bytes = (head["size"] >> 4).astype(np.int64) * 4
    sound = (header_bytes >= TCP.itemsize) & (header_bytes <= spans.wire_end - spans.at)
    if not sound.all():
        spans = work.keep(spans, sound, "TCP data offset out of range")
        head, header_bytes = head[sound], header_bytes[sound]
    source, target, ip_id, known = _endpoints(work.data, spans, addresses)
    if not known.all():
        spans = work.keep(spans, known, "too many IPv6 addresses")
        head, header_bytes = head[known], header_bytes[known]
        source, target, ip_id = source[known], target[known], ip_id[known]
    options = spans.at + TCP.itemsize
    begin = spans.at + header_bytes
    payload = np.minimum(begin, spans.end)
    return Found(
        packet=spans.packet,
        tunnel=spans.tunnel,
        source=source << np.uint64(16) | head["source"],
        target=target << np.uint64(16) | head["target"],
        seq=head["seq"].astype(np.uint32),
        ack=head["ack"].astype(np.uint32),
        flags=head["flags"].astype(np.uint16),
        window=head["window"].astype(np.uint16),
        ip_id=ip_id,
        size=(spans.wire_end - begin).astype(np.uint32),
        payload=payload,
        captured=(spans.end - payload).astype(np.uint32),
        options=options,
        options_size=(payload - options).astype(np.uint16),
    )


def _endpoints(data: Bytes, spans: Spans, addresses: AddressTable) -> tuple[U64, U64, U16, Mask]:
    """Return source, target, identification, and whether the addresses have numbers; each of shape (n,)."""
    fourth = data[spans.ip] < 0x50  # the version is the upper half of the first byte
    if fourth.all():
        head = read(data, spans.ip, IPV4)
        return head["source"].astype(np.uint64), head["target"].astype(np.uint64), head["id"].astype(np.uint16), fourth
    source, target = np.zeros((2, len(spans)), np.uint64)
    ip_id = np.zeros(len(spans), np.uint16)
    head = read(data, spans.ip[fourth], IPV4)
    source[fourth], target[fourth], ip_id[fourth] = head["source"], head["target"], head["id"]
    sixth = ~fourth
    head = read(data, spans.ip[sixth], IPV6)
    words = np.concatenate([head["source"], head["target"]]).astype(np.uint64)
    numbers = addresses.numbers(words).reshape(2, -1)
    source[sixth], target[sixth] = (numbers + IPV6_NUMBERS).astype(np.uint64)
    known = fourth
    known[sixth] = (numbers >= 0).all(axis=0)
    return source, target, ip_id, known
