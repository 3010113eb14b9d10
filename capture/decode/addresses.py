"""Numbers for IPv6 addresses, given in the order of meeting them, from a bounded table. Pure.

An open-addressing hash table (Knuth, TAOCP 3, section 6.4) whose probes go array-wise: all addresses of a call take
their first probe together, those that met another address their second, and so on.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from capture.packets import U64, Int64, Mask

MAX_ADDRESSES: Final = 1 << 20

Numbers = npt.NDArray[np.int32]

FREE: Final = -1


class AddressTable:
    """IPv6 addresses and their numbers, which count from 0.

    Args:
        limit: how many addresses it takes at most.
    """

    def __init__(self, limit: int = MAX_ADDRESSES) -> None:
        self._limit = limit
        self._size = 0
        self._words = np.zeros((1024, 2), np.uint64)
        self._slots: Numbers = np.full(2 * len(self._words), FREE, np.int32)
        # Nobody outside can choose addresses that collide.
        self._factors = np.random.default_rng().integers(1 << 63, size=2, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, number: int) -> int:
        """Return the address with a number, as a 128-bit integer.

        Raises:
            IndexError: no address has this number.
        """
        if not 0 <= number < self._size:
            raise IndexError(f"address number was {number}, expected one of {self._size} that were given")
        high, low = self._words[number].tolist()
        return int(high) << 64 | int(low)

    def numbers(self, words: U64) -> Int64:
        """Return the addresses' numbers, new ones where they are met for the first time.

        Args:
            words: upper and lower half of each address, shape (n, 2), native byte order.

        Returns:
            Shape (n,); -1 where the table is full.
        """
        found = self._find(words)
        unknown = found == FREE
        if self._size < self._limit and unknown.any():
            self._add(np.unique(words[unknown], axis=0))
            found[unknown] = self._find(words[unknown])
        return found.astype(np.int64)

    def _home(self, words: U64) -> Int64:
        """Return the slot where the search for each address begins, shape (n,)."""
        mixed = words[:, 0] * self._factors[0] + words[:, 1] * self._factors[1]
        mixed ^= mixed >> np.uint64(32)
        mixed *= self._factors[0]
        home: Int64 = (mixed >> np.uint64(33)).astype(np.int64) & (len(self._slots) - 1)
        return home

    def _find(self, words: U64) -> Numbers:
        """Return the numbers of addresses, FREE of those that have none, shape (n,)."""
        found = np.full(len(words), FREE, np.int32)
        left = np.arange(len(words))
        slots = self._home(words)
        while len(left):
            candidates = self._slots[slots]
            different = self._words[candidates] ^ words[left]
            same = (different[:, 0] | different[:, 1] == 0) & (candidates != FREE)
            found[left[same]] = candidates[same]
            on = ~same & (candidates != FREE)
            left, slots = left[on], self._after(slots, on)
        return found

    def _after(self, slots: Int64, chosen: Mask) -> Int64:
        return slots[chosen] + 1 & (len(self._slots) - 1)

    def _add(self, words: U64) -> None:
        """Number addresses that are different and have no number, as far as there is room."""
        words = words[: self._limit - self._size]
        first, self._size = self._size, self._size + len(words)
        if self._size > len(self._words):
            grown = np.zeros((1 << (self._size - 1).bit_length(), 2), np.uint64)
            grown[:first] = self._words[:first]
            self._words = grown
            self._slots = np.full(2 * len(grown), FREE, np.int32)
            first, words = 0, np.concatenate([grown[:first], words])
        self._words[first : self._size] = words
        self._place(np.arange(first, self._size, dtype=np.int32), words)

    def _place(self, numbers: Numbers, words: U64) -> None:
        """Put numbers into free slots: of those that meet in one, the last stays and the others go on."""
        slots = self._home(words)
        while len(numbers):
            free = self._slots[slots] == FREE
            self._slots[slots[free]] = numbers[free]
            on = self._slots[slots] != numbers
            numbers, slots = numbers[on], self._after(slots, on)
