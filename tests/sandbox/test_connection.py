"""Frames are RFC 6455's."""

import pytest
from websockets.frames import Frame, Opcode

from sandbox.connection import text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_is_what_another_implementation_writes(size: int) -> None:
    """All three forms of the length, at their limits."""
    payload = b"x" * size
    assert Frame(Opcode.TEXT, payload).serialize(mask=False) == text_frame(payload)
