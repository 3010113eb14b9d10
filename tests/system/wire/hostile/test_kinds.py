"""Whatever the bytes are wrapped in, a message is found by the offset of its last byte."""

from pathlib import Path
import pytest


def test_x(scene, spot_recording, tmp_path):
    r = scene.play(tmp_path, spot_recording)
    from review.summary import summarise

    print(summarise(r.trader, [r.monitor]).wire)
