"""Fields at any byte position of a buffer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from capture.files.records import fields_at, overlapping


@given(st.binary(min_size=8, max_size=50), st.data())
def test_a_number_is_read_where_it_stands(content: bytes, data: st.DataObject) -> None:
    """At any position, aligned or not, in either byte order."""
    positions = data.draw(st.lists(st.integers(0, len(content) - 4)))
    window = np.frombuffer(content, np.uint8)
    for order, dtype in (("little", "<u4"), ("big", ">u4")):
        read = fields_at(window, np.array(positions, np.int64), np.dtype(dtype))
        assert [int.from_bytes(content[at : at + 4], order) for at in positions] == read.tolist()


def test_the_last_item_ends_with_the_buffer() -> None:
    """No item reads behind the buffer, and one that is larger than the buffer has no place."""
    window = np.arange(5, dtype=np.uint8)
    assert [b"\0\1\2\3", b"\1\2\3\4"] == [item.tobytes() for item in overlapping(window, 4)]
    assert 0 == len(overlapping(window, 6))


def test_items_can_be_written() -> None:
    """The view is of the buffer itself."""
    window = np.zeros(6, np.uint8)
    overlapping(window, 2)[np.array([1, 4])] = np.array([b"ab", b"cd"], "V2")
    assert b"\0ab\0cd" == window.tobytes()
