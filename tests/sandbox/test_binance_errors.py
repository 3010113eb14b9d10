"""The time unit that an address asks for."""

import pytest

from sandbox.binance_errors import ApiError, time_unit


def test_both_spellings_of_both_units() -> None:
    """Upper or lower case, not mixed; milliseconds when nothing is said."""
    assert [time_unit({"timeUnit": unit}) for unit in ("MICROSECOND", "microsecond")] == [True, True]
    assert [time_unit({"timeUnit": unit}) for unit in ("MILLISECOND", "millisecond")] == [False, False]
    assert time_unit({}) is False
    for unit in ("Microsecond", "us", ""):
        with pytest.raises(ApiError) as caught:
            time_unit({"timeUnit": unit})
        assert caught.value.code == -1194
