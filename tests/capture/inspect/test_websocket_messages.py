"""Messages out of frames in any cut; whole conversations are in test_messages.py."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from capture.inspect import websocket_messages
from capture.inspect.websocket_messages import WebSocketReader

FRAMES = [
    Frame(Opcode.TEXT, b"one"),
    Frame(Opcode.BINARY, b"tw", fin=False),
    Frame(Opcode.PING, b"?"),
    Frame(Opcode.CONT, b"o"),
    Frame(Opcode.TEXT, b"x" * 300),
    Frame(Opcode.CLOSE, b"\x03\xe8"),
]
SAID = [
    (Opcode.TEXT, b"one"),
    (Opcode.PING, b"?"),
    (Opcode.BINARY, b"two"),
    (Opcode.TEXT, b"x" * 300),
    (Opcode.CLOSE, b"\x03\xe8"),
]


@given(cut=st.integers(0, 400), is_server=st.booleans())
def test_messages_out_of_any_cut(cut: int, *, is_server: bool) -> None:
    """From either side; what lies behind the last is counted."""
    stream = b"".join(frame.serialize(mask=not is_server) for frame in FRAMES)
    reader = WebSocketReader("", is_server=is_server)
    cut %= len(stream)
    first, _ = reader.take(stream[:cut])
    second, behind = reader.take(stream[cut:] + b"\x81")
    assert (SAID, 1) == (first + second, behind)
    assert not reader.is_broken


def test_what_lies_behind_a_message() -> None:
    """Nothing does within a fragmented one, whatever comes between its frames."""
    one, start, ping, end, *_ = (frame.serialize(mask=False) for frame in FRAMES)
    reader = WebSocketReader("", is_server=True)
    assert ([(Opcode.TEXT, b"one")], len(start)) == reader.take(one + start)
    assert ([(Opcode.PING, b"?")], None) == reader.take(ping)
    assert ([(Opcode.BINARY, b"two")], 1) == reader.take(end + b"\x81")
    assert ([], None) == reader.take(b"\x05half")


@pytest.mark.parametrize(
    "broken",
    [
        b"\x81\x80abcd",  # masked by a server
        b"\x83\x00",  # an opcode of a later day
        b"\xc1\x00",  # compressed, which was not negotiated
        b"\x80\x00",  # continues nothing
        b"\x01\x00\x81\x00",  # begins within another
        b"\x09\x00",  # a control frame in pieces
        b"\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x01",  # larger than anybody may be
    ],
)
def test_bytes_that_are_no_frames(broken: bytes) -> None:
    """What came before them is kept."""
    reader = WebSocketReader("", is_server=True)
    found, _ = reader.take(b"\x81\x03one" + broken)
    assert [(Opcode.TEXT, b"one")] == found
    assert reader.is_broken


def test_what_is_put_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a message, and what it inflates to."""
    monkeypatch.setattr(websocket_messages, "_MAX_MESSAGE_BYTES", 100)
    reader = WebSocketReader("", is_server=True)
    reader.take(Frame(Opcode.TEXT, b"x" * 60, fin=False).serialize(mask=False))
    assert not reader.is_broken
    assert ([], None) == reader.take(Frame(Opcode.CONT, b"x" * 60).serialize(mask=False))
    assert reader.is_broken
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(10_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    reader = WebSocketReader("permessage-deflate", is_server=True)
    assert ([], None) == reader.take(bytes([0xC1, len(bomb) - 4]) + bomb[:-4])
    assert reader.is_broken


@pytest.mark.parametrize("extensions", ["=", "x-other; a=1"])
def test_extensions_that_are_not_known(extensions: str) -> None:
    """They change nothing for frames that do not use them."""
    reader = WebSocketReader(extensions, is_server=True)
    assert ([(Opcode.TEXT, b"")], 0) == reader.take(b"\x81\x00")
    reader.take(b"\xc1\x00")
    assert reader.is_broken
