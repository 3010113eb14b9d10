"""Packets kept on disk: the newest, under a cap, in files that can be read at any time."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.files.pcapng_writer import PcapngWriter
from capture.files.store import MIN_STORE_BYTES, PacketStore

Files = Any
NOW_NS = 1_700_000_000 * 10**9


def batch_from(files: Files, first: int, count: int, size: int = 1_000) -> tuple[list[Any], Any]:
    """Return packets that can be told apart, and a batch of them."""
    frames = [files.frame(NOW_NS + n, b"%d" % n + bytes(size), size + 10) for n in range(first, first + count)]
    return frames, files.batch_of(frames)


def stored(files: Files, folder: Path) -> list[Any]:
    """Read all files of a store."""
    paths = sorted(folder.iterdir())
    read, troubles = files.read(*paths) if paths else ([], [])
    assert [] == troubles
    return list(read)


def size_of(folder: Path) -> int:
    """Return what the files of a folder take, bytes."""
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run, in a folder of runs."""
    run = tmp_path / "captures" / "20250102T000000.000Z"
    run.mkdir(parents=True)
    return run


def test_what_fits_is_kept(capture_files: Files, run: Path) -> None:
    """In one file, which can be read before it is closed."""
    frames, batch = batch_from(capture_files, 0, 100)
    store = PacketStore(run, MIN_STORE_BYTES)
    store.append(batch, np.arange(0, 100, 2))
    assert frames[::2] == stored(capture_files, run)
    store.append(batch)
    store.close()
    assert frames[::2] + frames == stored(capture_files, run)
    assert [run / "packets-000000.pcapng"] == list(run.iterdir())
    assert (150, 0, 0, []) == (store.stored, store.left_out, store.deleted_files, store.troubles)


def test_the_oldest_go_first(capture_files: Files, run: Path) -> None:
    """All files together never exceed the cap; what is left is the end of what was stored, without a gap."""
    cap, everything = 4 << 20, []
    store = PacketStore(run, cap)
    for n in range(20):
        frames, batch = batch_from(capture_files, n * 700, 700)
        everything += frames
        store.append(batch)
        assert size_of(run) <= cap
        assert max(path.stat().st_size for path in run.iterdir()) <= 1 << 20
    store.close()
    left = stored(capture_files, run)
    assert everything[-len(left) :] == left
    assert cap // 2 < size_of(run)
    numbers = [int(path.stem[-6:]) for path in sorted(run.iterdir())]
    assert list(range(store.deleted_files, numbers[-1] + 1)) == numbers
    assert 14_000 == store.stored
    assert size_of(run) + store.deleted_bytes > 14_000 * 1_000


def test_a_store_goes_on_behind_what_is_there(capture_files: Files, run: Path) -> None:
    """Files of an earlier run in the same folder count, and are not written over."""
    everything = []
    for n in range(6):
        frames, batch = batch_from(capture_files, n * 900, 900)
        everything += frames
        store = PacketStore(run, MIN_STORE_BYTES)
        store.append(batch)
        store.close()
        assert size_of(run) <= MIN_STORE_BYTES
    left = stored(capture_files, run)
    assert everything[-len(left) :] == left
    assert len(left) >= 900


def test_earlier_runs_make_room(capture_files: Files, run: Path) -> None:
    """The cap is that of all runs; a folder goes with its last packets unless something else is in it."""
    empty, holding = (run.with_name(f"20250101T00000{n}.000Z") for n in (0, 1))
    for folder in (empty, holding):
        folder.mkdir()
        store = PacketStore(folder, MIN_STORE_BYTES)
        store.append(batch_from(capture_files, 0, 900)[1])
        store.close()
    (holding / "records-000000.wsj").touch()
    frames, batch = batch_from(capture_files, 0, 900)
    store = PacketStore(run, MIN_STORE_BYTES)
    store.append(batch)
    store.append(batch)
    store.close()
    assert sum(size_of(folder) for folder in run.parent.iterdir()) <= MIN_STORE_BYTES
    assert [holding, run] == sorted(run.parent.iterdir())
    assert [holding / "records-000000.wsj"] == list(holding.iterdir())
    assert (frames * 2)[-900:] == stored(capture_files, run)[-900:]


def test_files_are_for_owner_and_group(capture_files: Files, run: Path) -> None:
    """They hold other people's traffic."""
    store = PacketStore(run, MIN_STORE_BYTES)
    store.append(batch_from(capture_files, 0, 1)[1])
    store.close()
    assert [0o640] == [path.stat().st_mode & 0o777 for path in run.iterdir()]


def test_a_packet_larger_than_a_file_is_left_out(capture_files: Files, run: Path) -> None:
    """The others are stored, and it is counted."""
    frames = [capture_files.frame(NOW_NS, bytes(size), size) for size in (10, 1 << 20, 20)]
    store = PacketStore(run, MIN_STORE_BYTES)
    store.append(capture_files.batch_of(frames))
    store.close()
    assert [frames[0], frames[2]] == stored(capture_files, run)
    assert (2, 1) == (store.stored, store.left_out)


def test_a_cap_that_holds_nothing_is_refused(run: Path) -> None:
    """The caller is told what is the least."""
    with pytest.raises(ValueError, match=r"was given 1,000,000 bytes, expected at least 2,097,152"):
        PacketStore(run, 1_000_000)


@settings(max_examples=30, deadline=None)
@given(room=st.integers(0, 400_000))
def test_a_full_disk_ends_the_storing_only(
    capture_files: Files, tmp_path_factory: pytest.TempPathFactory, room: int
) -> None:
    """Wherever the disk is full: the files hold whole packets, it is told once, and the rest is counted."""
    folder = tmp_path_factory.mktemp("full") / "run"
    folder.mkdir()
    frames, batch = batch_from(capture_files, 0, 300)
    store = PacketStore(folder, MIN_STORE_BYTES)
    taken = 0
    put = PcapngWriter._put

    def put_until_full(writer: PcapngWriter, written: bytes | memoryview) -> None:
        nonlocal taken
        fitting = min(len(written), room - taken)
        taken += fitting
        put(writer, written[:fitting])
        if fitting < len(written):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PcapngWriter, "_put", put_until_full)
        for _ in range(3):
            store.append(batch)
    store.close()
    expected = frames * 3 if not store.troubles else (frames * 3)[: store.stored]
    assert expected == stored(capture_files, folder)
    assert 900 == store.stored + store.left_out
    told = f"{folder}: packets are no longer stored (No space left on device) after {store.stored:,} of them"
    assert [told] == store.troubles
