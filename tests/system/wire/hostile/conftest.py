"""Runs whose packets are kept: a clean one, one with real losses, one of each kind of connection."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirestamp.mirror import Mirror

from .frames import read_frames
from .scene import Front, Kind, Lossy, Recorded, Scene


@pytest.fixture(scope="session")
def scene(mirror_possible: None) -> Iterator[Scene]:  # noqa: ARG001 - asked for its skip
    """The namespaces, with frames no longer than the feed link's MTU, for one run after the other."""
    for program in ("tcpdump", "tshark"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    with Mirror(gso_max_segs=1) as mirror:
        yield Scene(mirror)


@pytest.fixture(scope="session")
def clean(scene: Scene, tmp_path_factory: pytest.TempPathFactory, spot_recording: Path) -> Recorded:
    """A run over TLS 1.3 of which nothing was lost."""
    return scene.play(tmp_path_factory.mktemp("clean"), spot_recording)


@pytest.fixture(scope="session")
def lossy(scene: Scene, tmp_path_factory: pytest.TempPathFactory, spot_recording: Path) -> Lossy:
    """A run between whose exchange and trader two packets in a hundred are really lost, both ways."""
    folder = tmp_path_factory.mktemp("lossy")
    with scene.losing(0.02, folder / "lost.pcap"):
        run = scene.play(folder, spot_recording)
    return Lossy(run, read_frames(folder / "lost.pcap"))


TLS_1_3 = ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
GCM = ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
CHACHA20 = ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")
KINDS: dict[str, tuple[Front | None, tuple[str | None, str | None]]] = {
    "tls13": (None, TLS_1_3),
    "deflate": (Front(compress=True), TLS_1_3),
    "gcm": (Front("TLSv1_2", "ECDHE+AESGCM"), GCM),
    "chacha20": (Front("TLSv1_2", "ECDHE+CHACHA20"), CHACHA20),
    "plain": (None, (None, None)),
}


@pytest.fixture(scope="session", params=KINDS)
def kind(
    request: pytest.FixtureRequest, scene: Scene, tmp_path_factory: pytest.TempPathFactory, spot_recording: Path
) -> Kind:
    """A run of each kind."""
    front, encryption = KINDS[request.param]
    plain = encryption[0] is None
    run = scene.play(tmp_path_factory.mktemp(request.param), spot_recording, messages=2500, plain=plain, front=front)
    return Kind(run, encryption, front is not None and front.compress)
