"""Many CRCs at once equal each by itself."""

from zlib import crc32

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from journal.checksum import crc32_rows


@given(length=st.integers(1, 120), count=st.integers(0, 40), seed=st.integers(0, 2**32 - 1))
def test_each_row_has_the_crc_of_its_bytes(length: int, count: int, seed: int) -> None:
    """At any length, also of a view whose rows are not contiguous."""
    wide = np.random.default_rng(seed).integers(0, 256, (count, length + 8), dtype=np.uint8)
    rows = wide[:, 8:]
    assert [crc32(row.tobytes()) for row in rows] == crc32_rows(rows).tolist()


def test_more_rows_than_a_block() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (20_000, 5), dtype=np.uint8)
    assert [crc32(row.tobytes()) for row in rows] == crc32_rows(rows).tolist()
