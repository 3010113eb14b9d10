"""An error is one line that a person can use."""

from pathlib import Path

import pytest

from wirestamp.failing import fail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("was 3, expected 4"), "was 3, expected 4"),
        (OSError("of our own making"), "of our own making"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "a.pcap"), "a.pcap: No such file or directory"),
    ],
)
def test_one_line(error: Exception, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, with the command's name; numbers of errors are for programs."""
    assert 3 == fail("capture", error, 3)
    assert ("", f"wirestamp capture: {words}\n") == capsys.readouterr()


def test_a_real_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is named."""
    with pytest.raises(IsADirectoryError) as caught:
        tmp_path.read_bytes()
    fail("export", caught.value, 1)
    assert f"wirestamp export: {tmp_path}: Is a directory\n" == capsys.readouterr().err
