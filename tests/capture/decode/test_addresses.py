"""The table of IPv6 addresses against a dictionary."""

from ipaddress import IPv6Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.decode.addresses import AddressTable

WORDS = st.integers(0, (1 << 64) - 1)
FEW = st.sampled_from([0, 1, 1 << 63, (1 << 64) - 1])


@given(st.lists(st.lists(st.tuples(WORDS | FEW, FEW), max_size=40), max_size=8))
def test_an_address_keeps_its_number(calls: list[list[tuple[int, int]]]) -> None:
    """Equal addresses have one number, different ones different numbers, from call to call."""
    table = AddressTable()
    seen: dict[tuple[int, int], int] = {}
    for addresses in calls:
        numbers = table.numbers(np.array(addresses, np.uint64).reshape(-1, 2)).tolist()
        for address, number in zip(addresses, numbers, strict=True):
            assert number == seen.setdefault(address, number)
            assert address[0] << 64 | address[1] == table[number]
    assert len(seen) == len(set(seen.values())) == len(table)


def test_it_grows_and_forgets_nothing() -> None:
    """Addresses of one subnet, which differ in few bits, a hundred thousand of them."""
    table = AddressTable()
    words = np.zeros((100_000, 2), np.uint64)
    words[:, 0] = 0x20010DB800000000
    words[:, 1] = np.arange(100_000)
    numbers = [table.numbers(part) for part in np.array_split(words, 13)]
    assert np.arange(100_000).tolist() == np.concatenate(numbers).tolist() == table.numbers(words).tolist()
    assert IPv6Address("2001:db8::1:869f") == IPv6Address(table[99_999])


def test_a_full_table_knows_what_it_knew() -> None:
    """And says of others that it has no number."""
    table = AddressTable(limit=3)
    words = np.arange(10, dtype=np.uint64).reshape(5, 2)
    assert [0, 1, 2, -1, -1] == table.numbers(words).tolist()
    assert [-1, 2, 0] == table.numbers(words[[4, 2, 0]]).tolist()
    assert 3 == len(table)


@pytest.mark.parametrize("number", [-1, 1, 1 << 40])
def test_a_number_that_was_never_given(number: int) -> None:
    """Our own caller's mistake."""
    table = AddressTable()
    table.numbers(np.zeros((1, 2), np.uint64))
    with pytest.raises(IndexError, match=rf"address number was {number}, expected one of 1"):
        table[number]
