"""The layout's promises that code elsewhere relies on."""

import numpy as np
import pytest

from journal.layout import (
    COMMIT,
    PAGE_BYTES,
    RECORD_HEADER_BYTES,
    ROW_LOGS,
    SEGMENT_HEADER,
    RecordType,
    record_bytes,
    row_struct,
    segment_name,
)


def test_no_byte_of_the_commit_word_is_zero() -> None:
    """Otherwise one flipped byte could turn a committed seal with CRC 0 into the tail."""
    assert all((COMMIT >> 32).to_bytes(4, "little"))
    assert 0 == COMMIT & 0xFFFFFFFF


def test_records_start_aligned() -> None:
    """A seal is one aligned 8-byte store."""
    assert 0 == PAGE_BYTES % 8 == RECORD_HEADER_BYTES % 8
    assert [40, 48, 48, 56] == [record_bytes(length) for length in (0, 1, 8, 9)]


@pytest.mark.parametrize("name", ROW_LOGS)
def test_a_packed_row_is_what_numpy_reads(name: str) -> None:
    """The struct and the dtype agree on every field's place, width and sign."""
    dtype = ROW_LOGS[name]
    assert dtype.names is not None
    fields = dtype.names[1:]
    values = [-(i + 1) if dtype[field].kind == "i" else i + 1 for i, field in enumerate(fields)]
    row = np.frombuffer(bytes(8) + row_struct(dtype).pack(*values), dtype)
    assert values == [row[field][0] for field in fields]
    assert 0 == dtype.itemsize % 8
    assert PAGE_BYTES >= SEGMENT_HEADER.size


def test_segment_names_sort_as_their_sequences() -> None:
    """Listing a folder shows a log in order."""
    assert ("records-000000.wsj", "received-000123.wsj") == (segment_name("records", 0), segment_name("received", 123))


def test_record_types_fit_their_field() -> None:
    """u16, and 0 is nobody's."""
    assert all(0 < kind < 1 << 16 for kind in RecordType)
