"""What the bytes of a journal mean: segment headers, records, rows. Pure.

A journal is a folder with one *record log* (variable-size records: raw messages, orders, everything the engine
consumed) and several *row logs* (fixed-size stamps that numpy reads in place). Each log is a chain of segments,
`<log>-<sequence>.wsj`. A segment is one page of header, then the entries:

    header    8s magic  u32 version  u32 length  u32 CRC-32 of the JSON  | JSON, `length` bytes | zeros up to 4096
              (the JSON: log, sequence, size of the file in bytes, creation time, and what the entries are)
    record    u64 seal  u32 length  u16 type  u16 flags  u64 trace  i64 time_ns  u32 conn  u32 0 | payload | zeros to 8
    row       u64 seal | the log's dtype, a multiple of 8 bytes

All little-endian. The seal is written last, in one aligned 8-byte store: its upper half is the commit word, its lower
half the CRC-32 of everything behind it up to the end of the entry. A zero seal is the tail; a commit word with a CRC
that does not match, or any other seal, is corruption.
"""

import struct
from enum import IntEnum
from typing import Final

import numpy as np

VERSION: Final = 1
MAGIC: Final = b"WIRESTMP"
SUFFIX: Final = ".wsj"
PAGE_BYTES: Final = 4096  # size of a segment's header

SEGMENT_HEADER: Final = struct.Struct("<8sIII")
RECORD_HEADER: Final = struct.Struct("=IHHQqII")  # behind the seal
RECORD_HEADER_BYTES: Final = 8 + RECORD_HEADER.size
SEAL: Final = struct.Struct("=Q")

COMMIT: Final = 0x5EA1C0DE << 32  # no byte of it is zero, so no single flipped byte makes a seal look unset
CRC_MASK: Final = 0xFFFFFFFF

ABSENT: Final = -(2**63)  # a hop without a stamp; numpy's own not-a-time


class RecordType(IntEnum):
    """What a record's payload is. All payloads are JSON but for INBOUND, OUTBOUND and the body of REPLY."""

    CONFIG = 1  # the configuration without its secrets, and the versions that ran
    CONNECTION = 2  # opened, with its addresses and TLS parameters, or closed, with the reason
    INBOUND = 3  # one message as received
    OUTBOUND = 4  # one message as sent, secrets masked
    REPLY = 5  # an HTTP reply: a JSON line with request and status, then the body
    ORDER = 6  # an intent, written before its bytes leave
    EXECUTION = 7  # an execution report as decoded
    FEED_STATUS = 8
    CLOCK = 9  # CLOCK_REALTIME and CLOCK_MONOTONIC read together
    INSTRUMENT = 10
    TIMER = 11
    COMMAND = 12  # a person's or the service's order to the engine: halt, stop
    STRATEGY = 13  # a strategy was started, stopped or raised
    DROPPED = 14  # a message that could not be used, and why
    END = 15  # the run's last record: its counts
    COUNTS = 16  # what a capture has counted so far: packets, drops, what it could not decode and why


class MessageKind(IntEnum):
    """What a stamped message was for."""

    MARKET = 1
    ORDER = 2  # order entry and execution reports
    REST = 3
    SESSION = 4  # subscriptions, logons


class StampFlag(IntEnum):
    """Bits of a row's `flags`."""

    RX_SHARED = 1  # kernel_rx belongs to a later byte of the same read: keep it out of kernel_rx figures


class TxEvent(IntEnum):
    """Which kernel TX stamp a `transmitted` row holds; values of `ee_info` in the kernel's `linux/errqueue.h`."""

    DRIVER = 0
    SCHED = 1
    ACK = 2
    NIC = 100  # the driver's event with the NIC's own clock


_HOP = "<i8"  # ns of CLOCK_REALTIME but for `exchange` (the venue's clock) and `nic_*` (the NIC's); ABSENT where none

# One row per inbound message. `off` is the TCP stream offset of its last ciphertext byte, `order` the ordinal of the
# order that it concerns or 0, `size` its payload in bytes.
RECEIVED: Final = np.dtype(
    [
        ("seal", "<u8"), ("trace", "<u8"), ("off", "<u8"), ("order", "<u8"),
        ("conn", "<u4"), ("instrument", "<u4"), ("size", "<u4"), ("kind", "<u2"), ("flags", "<u2"),
        ("exchange", _HOP), ("nic_rx", _HOP), ("kernel_rx", _HOP), ("read", _HOP), ("decoded", _HOP),
    ]
)  # fmt: skip

# One row per outbound message. `trace` is that of the message that caused it, so tick-to-trade is a join.
SENT: Final = np.dtype(
    [
        ("seal", "<u8"), ("trace", "<u8"), ("off", "<u8"), ("order", "<u8"),
        ("conn", "<u4"), ("instrument", "<u4"), ("size", "<u4"), ("kind", "<u2"), ("flags", "<u2"),
        ("decided", _HOP), ("encoded", _HOP), ("written", _HOP), ("sent", _HOP),
    ]
)  # fmt: skip

# One row per kernel TX stamp, which arrives after the send: the byte at `off` of `conn` met `event` at `time`.
TRANSMITTED: Final = np.dtype([("seal", "<u8"), ("off", "<u8"), ("conn", "<u4"), ("event", "<u4"), ("time", _HOP)])

RECORDS: Final = "records"
ROW_LOGS: Final[dict[str, np.dtype[np.void]]] = {
    "received": RECEIVED,
    "sent": SENT,
    "transmitted": TRANSMITTED,
}

_STRUCT_CODES = {"<u8": "Q", "<u4": "I", "<u2": "H", "<i8": "q"}


def row_struct(dtype: np.dtype[np.void]) -> struct.Struct:
    """Return the struct that packs a row's fields behind its seal, in the dtype's order."""
    assert dtype.names is not None
    assert dtype.names[0] == "seal"
    assert dtype.itemsize % 8 == 0
    return struct.Struct("=" + "".join(_STRUCT_CODES[dtype[name].str] for name in dtype.names[1:]))


def segment_name(log: str, sequence: int) -> str:
    """Return the file name of a log's segment: `records-000000.wsj`."""
    return f"{log}-{sequence:06d}{SUFFIX}"


def record_bytes(payload_bytes: int) -> int:
    """Return the room that a record takes: seal, header, payload, padding to 8 bytes."""
    return RECORD_HEADER_BYTES + (payload_bytes + 7 & ~7)
