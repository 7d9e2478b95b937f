"""The memory of a hash table of words: buckets of one cache line, seven keys and the word that says which are taken.

    word 0       bits 1 to 7: which of the words 1 to 7 are keys; bits 8 and up: how many keys went past the bucket
    words 1-7    keys, or the low halves of keys of 128 bits, whose high halves are in the next line, at the same places
    then         in a map: the values, in a line of their own, at the same places
A key lies in the bucket that its hash names, or in the next one with room. A search ends at a bucket that no key went
past, so that one is taken out without leaving a mark (Bronson and Shi, "Open-sourcing F14 for faster, more
memory-efficient hash tables", 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.flow_key import WORD
from burstline.state.key_hash import FIRST, SECOND, STEP, hash_word, hash_words, signed
from burstline.state.region import Block, Region

LINE, LANES, TAKEN, PASSED = 64, 7, 0xFE, 1 << 8
LOAD = 3, 4  # of all places, so many are taken when the table is full


class HashHead(Struct):
    buckets: i64  # address
    count: i64  # of buckets
    used: i64  # keys
    capacity: i64
    refused: i64


class Buckets:
    """One worker's. `words` is 1 or 2, of 64 bits, that a key has; `values` is 1 in a map, else 0."""

    def __init__(self, capacity: int, words: int, values: int) -> None:
        self.words, self.values = words, values
        self.stride = LINE * (words + values)
        size = self.size(capacity, words, values)
        self.count = size // self.stride
        self.region = Region(size)
        self.head = Block(HashHead.layout)
        self.head.set(buckets=self.region.address, count=self.count, capacity=capacity)

    @staticmethod
    def size(capacity: int, words: int, values: int) -> int:
        """Bytes of all buckets."""
        return -(-capacity * LOAD[1] // (LOAD[0] * LANES)) * LINE * (words + values)

    def _home(self, key: int) -> int:
        hashed = hash_word(key & WORD) if self.words == 1 else hash_words(key & WORD, key >> 64)
        return hashed * self.count >> 64

    def _word(self, bucket: int, line: int, lane: int) -> int:
        return self.region.i64(bucket * self.stride + line * LINE + 8 * lane)

    def find(self, key: int) -> tuple[int, int] | None:
        """The bucket and the place there of a key."""
        parts = [signed(key >> 64 * k) for k in range(self.words)]
        bucket = self._home(key)
        for _ in range(self.count):
            first = self._word(bucket, 0, 0)
            for lane in range(1, LANES + 1):
                if first >> lane & 1 and all(self._word(bucket, k, lane) == part for k, part in enumerate(parts)):
                    return bucket, lane
            if first < PASSED:
                return None
            bucket = (bucket + 1) % self.count
        return None

    def value(self, place: tuple[int, int]) -> int:
        return self._word(place[0], self.words, place[1])

    def fill(self, entries: Mapping[int, int]) -> None:
        """Put keys with their values into an empty table: first all that fit where they belong, then the others."""
        import numpy as np

        words = [np.array([key >> 64 * k & WORD for key in entries], "u8") for k in range(self.words)]
        values = np.array(list(entries.values()), "i8")
        hashed = _hashed(words[0] if self.words == 1 else words[0] ^ _hashed(words[1]))
        high, low, count = hashed >> np.uint64(32), hashed & np.uint64(0xFFFFFFFF), np.uint64(self.count)
        home = (high * count + (low * count >> np.uint64(32)) >> np.uint64(32)).astype("i8")
        order = np.argsort(home, kind="stable")
        home = home[order]
        lane = np.arange(len(home)) - np.searchsorted(home, home) + 1
        fits = lane <= LANES
        lines = self._lines()
        for k, column in enumerate((*words, values)[: self.words + self.values]):
            lines[home[fits], k, lane[fits]] = column[order][fits].astype("i8")
        lines[:, 0, 0] = (2 << np.minimum(np.bincount(home, minlength=self.count), LANES)) - 2
        numbers = list(entries)
        for k in order[~fits].tolist():
            self._place(numbers[k], entries[numbers[k]])
        self.head.set(used=len(entries))

    def _place(self, key: int, value: int) -> None:
        bucket = self._home(key)
        while (first := self._word(bucket, 0, 0)) & TAKEN == TAKEN:
            self.region.set_i64(bucket * self.stride, first + PASSED)
            bucket = (bucket + 1) % self.count
        lane = next(k for k in range(1, LANES + 1) if not first >> k & 1)
        parts = [*(signed(key >> 64 * k) for k in range(self.words)), value][: self.words + self.values]
        for k, part in enumerate(parts):
            self.region.set_i64(bucket * self.stride + k * LINE + 8 * lane, part)
        self.region.set_i64(bucket * self.stride, first | 1 << lane)

    def read(self) -> tuple[Any, Any]:
        """All keys, as rows of words of 64 bits, the highest first, and their values, zeros in a set."""
        import numpy as np

        lines = self._lines()
        taken = (lines[:, 0, :1] >> np.arange(8)) & 1 != 0
        taken[:, 0] = False
        keys = np.stack([lines[:, k][taken] for k in reversed(range(self.words))], axis=1)
        return keys, lines[:, self.words][taken] if self.values else np.zeros(len(keys), "i8")

    def _lines(self) -> Any:
        """Words by bucket, line and place: the memory itself."""
        return self.region.numpy("i8", self.count * self.stride // 8).reshape(self.count, -1, 8)


def _hashed(words: Any) -> Any:
    """`hash_word` of an array."""
    import numpy as np

    mixed = words + np.uint64(STEP)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(FIRST)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(SECOND)
    return mixed ^ mixed >> np.uint64(31)
