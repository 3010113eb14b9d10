"""What a trader's log shows, and what it must not."""

import json

import pytest
import structlog

from wirestamp.running import log_to_stderr


def test_a_traceback_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """They may hold secrets; the error and the lines that it passed are enough."""
    log_to_stderr()
    secret_value = "never-to-be-seen"
    try:
        int(secret_value[:0])
    except ValueError as error:
        structlog.get_logger("a test of its own").error("it raised", exc_info=error)
    shown = capsys.readouterr().err
    event = json.loads(shown.strip().splitlines()[-1])
    assert "it raised" == event["event"]
    assert "ValueError" in shown
    assert secret_value not in shown
