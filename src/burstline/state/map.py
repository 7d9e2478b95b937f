"""A map from numbers or addresses to numbers that stages ask and change."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64
from burstline.state.hash_table import HashTable
from burstline.state.key_hash import Key, signed

Merge = Literal["add", "max"]


class Map(HashTable):
    """`tries = Map(100_000)`; in a stage `tries[key] = value`, `tries[key] += 1`, `tries.get(key, default)`,
    `tries.add(key, n)`, `key in tries`, `tries.pop(key, default)`, `tries.discard(key)`, `len(tries)`.

    Keys are as in a `Set`, values are numbers of 64 bits, and `tries[key]` is 0 where there is no such key. Each worker
    has a map of its own. Python reads one: with `merge="add"` a value is what Python gave it at first and all that
    workers changed of it, with "max" it is the largest. A full map takes no new key, and `refused` counts how often.
    Raises UsageError.
    """

    has_values = True

    def __init__(self, capacity: int, key: Any = i64, merge: Merge = "add") -> None:
        if merge not in ("add", "max"):
            raise UsageError(f"merge is {merge!r}", 'write "add" or "max"')
        super().__init__(capacity, key)
        self.merge = merge

    def get(self, key: Key, default: int) -> int:
        """The value of a key, or `default`."""
        number = self.number(key)
        values = self._values(number)
        if not values:
            return operator.index(default)
        if self.merge == "max" or not self._workers:
            return max(values)
        given = self._given.get(number, 0)
        return signed(sum(values) - given * (len(values) - 1))

    def __getitem__(self, key: Key) -> int:
        return self.get(key, 0)

    def __setitem__(self, key: Key, value: int) -> None:
        self._put(self.number(key), signed(operator.index(value)))

    def add(self, key: Key, n: int = 1) -> int:
        """Add to the value of a key, 0 where there is none; returns the sum, also where there is no room for it."""
        total = signed(self.get(key, 0) + operator.index(n))
        self._put(self.number(key), total)
        return total

    def pop(self, key: Key, default: int) -> int:
        """Take a key out; returns its value, or `default`."""
        value = self.get(key, default)
        self._remove(self.number(key))
        return value

    def discard(self, key: Key) -> bool:
        """Take a key out; True where it was there."""
        return self._remove(self.number(key))

    def update(self, entries: Mapping[Any, int] | Iterable[tuple[Key, int]]) -> None:
        """Put entries in for every run from the next one on."""
        for key, value in entries.items() if isinstance(entries, Mapping) else entries:
            self._give(self.number(key), signed(operator.index(value)))

    def items(self) -> Iterator[tuple[Key, int]]:
        """Keys with their values, by rising key."""
        keys, values = self._merged()
        return zip(map(self.shown, self._numbers(keys)), values.tolist(), strict=True)

    def to_numpy(self) -> Any:
        """A structured array of `key`, as in `Set.to_numpy`, and `value`, int64, by rising key."""
        import numpy as np

        keys, values = self._merged()
        found = np.zeros(len(keys), [("key", self.key.numpy), ("value", "i8")])
        found["key"], found["value"] = self._keys_to_numpy(keys), values
        return found

    def _merged(self) -> tuple[Any, Any]:
        import numpy as np

        keys, values = self._all()
        keys, which = self._distinct(keys)
        if self.merge == "max" or not self._workers:
            merged = np.full(len(keys), -(1 << 63), "i8")
            np.maximum.at(merged, which, values)
            return keys, merged
        merged = np.zeros(len(keys), "i8")
        np.add.at(merged, which, values)
        if self._given and len(self._workers) > 1:
            copies = np.bincount(which, minlength=len(keys))
            given = np.array([self._given.get(number, 0) for number in self._numbers(keys)], "i8")
            merged -= given * (copies - 1)
        return keys, merged

    def __repr__(self) -> str:
        return f"Map of {len(self):,} keys"
