"""From a person's words to the sandbox's options."""

import math
from pathlib import Path

import pytest

from wirestamp.serving import sandbox_options


@pytest.mark.parametrize(("said", "meant"), [("1", 1.0), ("10", 10.0), ("0.5", 0.5), ("max", math.inf)])
def test_speed(said: str, meant: float) -> None:
    """A factor, or as fast as it is read."""
    assert meant == sandbox_options(Path(), speed=said).speed


@pytest.mark.parametrize("said", ["0", "-1", "fast", "", "nan"])
def test_a_speed_that_is_none(said: str) -> None:
    """The option, what it was, what is allowed."""
    with pytest.raises(ValueError, match=r"--speed: was .*expected a number above 0, or max"):
        sandbox_options(Path(), speed=said)


def test_the_account_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that trader and sandbox can share one secret; it shows in no repr."""
    monkeypatch.setenv("WIRESTAMP_BINANCE_LOCAL_KEY", "one-key")
    monkeypatch.setenv("WIRESTAMP_BINANCE_LOCAL_SECRET", "one-secret")
    options = sandbox_options(Path())
    assert (("one-key", "one-secret"),) == options.accounts
    assert "one-" not in repr(options)
