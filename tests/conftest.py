"""What every test may ask for, and the rule that CI skips nothing."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

RECORDINGS = Path(os.environ.get("WIRESTAMP_RECORDINGS", Path(__file__).parents[2] / "shared" / "data"))
NO_SKIPS = os.environ.get("WIRESTAMP_NO_SKIPS") == "1"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded exchange traffic; the test is skipped where it is absent."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"no recordings at {RECORDINGS}; name their folder in WIRESTAMP_RECORDINGS")
    return RECORDINGS


@pytest.fixture(scope="session")
def spot_recording(recordings: Path) -> Path:
    """Binance spot, 41,248 stream messages and one REST snapshot."""
    return recordings / "binance" / "spot_btcusdt_20240808.gz"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where WIRESTAMP_NO_SKIPS=1, so that nothing is silently untested."""
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} ({call.when}) was skipped where skips are forbidden: {report.longrepr}"
    return report
