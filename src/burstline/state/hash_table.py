"""What `Set` and `Map` have in common: keys of 64 or 128 bits, one table per worker, merged when it is read."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import FIELD_TYPES, FieldType
from burstline.packet.flow_key import WORD
from burstline.state.base import State
from burstline.state.hash_buckets import Buckets
from burstline.state.key_hash import Key, signed

KINDS = tuple(FIELD_TYPES[name] for name in ("i64", "ipv4", "ipv6"))
MOST = 1 << 31


class HashTable(State):
    """Keys of one kind: numbers of 64 bits and IPv4 addresses, which are their numbers (`i64`), or addresses of one
    version (`ipv4`, `ipv6`).

    What Python put in before the first run, and by `update`, is there at the start of each, in every worker's copy.
    """

    has_values = False

    def __init__(self, capacity: int, key: Any = i64) -> None:
        name = type(self).__name__
        if type(capacity) is not int or not 1 <= capacity < MOST:
            raise UsageError(f"{name} capacity {capacity!r} is out of range", f"give 1 to {MOST - 1:,} keys")
        if key not in KINDS:
            raise UsageError(f"a {name} has no keys of {key!r}", "write key=bl.i64, bl.ipv4 or bl.ipv6")
        self.capacity = capacity
        self.key: FieldType = key
        self._given: dict[int, int] = {}
        self._own: dict[int, int] = {}
        self._refused = 0
        self._ran = False
        self._workers: list[Buckets] = []

    @property
    def words(self) -> int:
        """Of 64 bits, that a key has."""
        return 2 if self.key.kind == "ipv6" else 1

    def number(self, key: Key) -> int:
        """A key as the number that is stored. TypeError for one that the table does not take."""
        if self.key.kind == "int" and not isinstance(key, IPv6Address):
            return signed(int(key) if isinstance(key, IPv4Address) else operator.index(key))
        if not isinstance(key, IPv6Address if self.key.kind == "ipv6" else IPv4Address):
            raise TypeError(f"a key is no {type(key).__name__}: this {type(self).__name__} has keys of {self.key.name}")
        return int(key)

    def shown(self, number: int) -> Key:
        """The key that a number stands for."""
        if self.key.kind == "int":
            return number
        return IPv6Address(number) if self.key.kind == "ipv6" else IPv4Address(number)

    def _give(self, number: int, value: int) -> None:
        """Write an entry that every run begins with, from the next one on."""
        if number not in self._given and len(self._given) >= self.capacity:
            raise UsageError(f"{self.capacity:,} keys are in, and there is one more", "give a larger capacity")
        self._given[number] = value
        if not self._ran:
            self._own[number] = value

    def _put(self, number: int, value: int) -> bool:
        """Write an entry, before the first run or in an interpreted one; False where there is no room."""
        self._check_writable()
        if not self._ran:
            self._give(number, value)
        elif number not in self._own and len(self._own) >= self.capacity:
            self._refused += 1
            return False
        self._own[number] = value
        return True

    def _remove(self, number: int) -> bool:
        self._check_writable()
        if not self._ran:
            self._given.pop(number, None)
        return self._own.pop(number, None) is not None

    def _check_writable(self) -> None:
        if self._workers:
            raise UsageError(
                f"each worker has a {type(self).__name__} of its own, which Python only reads",
                "write `update(...)`: it is there from the next run on",
            )

    def _values(self, number: int) -> list[int]:
        """Of a key: its value in each copy that has it."""
        if not self._workers:
            return [self._own[number]] if number in self._own else []
        places = ((table, table.find(number)) for table in self._workers)
        return [table.value(place) if self.has_values else 0 for table, place in places if place]

    def _all(self) -> tuple[Any, Any]:
        """All keys of all copies, as rows of words of 64 bits, and their values."""
        import numpy as np

        if self._workers:
            parts = [table.read() for table in self._workers]
            return np.concatenate([keys for keys, _ in parts]), np.concatenate([values for _, values in parts])
        words = [[signed(n >> 64 * k) for k in reversed(range(self.words))] for n in self._own]
        return np.array(words, "i8").reshape(-1, self.words), np.array(list(self._own.values()), "i8")

    def _distinct(self, keys: Any) -> tuple[Any, Any]:
        """Of rows of words: those that differ, rising, and of each row which of them it is."""
        import numpy as np

        ordered = keys if self.words == 1 else keys.view("u8")
        found, which = np.unique(ordered, axis=0, return_inverse=True)
        return found.view("i8"), which.reshape(-1)

    def _keys(self) -> Any:
        return self._distinct(self._all()[0])[0]

    def _numbers(self, keys: Any) -> list[int]:
        words = keys.tolist()
        return [w[0] if self.words == 1 else (w[0] & WORD) << 64 | w[1] & WORD for w in words]

    def _keys_to_numpy(self, keys: Any) -> Any:
        if self.key.kind == "ipv6":
            return keys.astype(">i8").view("u1").reshape(-1, 16)
        return keys.reshape(-1).astype(self.key.numpy)

    def __contains__(self, key: Key) -> bool:
        return bool(self._values(self.number(key)))

    def __len__(self) -> int:
        return len(self._keys()) if self._workers else len(self._own)

    def __iter__(self) -> Iterator[Key]:
        return map(self.shown, self._numbers(self._keys()))

    @property
    def refused(self) -> int:
        """How often a new key found no room."""
        return self._refused + sum(table.head.get("refused") for table in self._workers)

    def warnings(self) -> list[str]:
        if not self.refused:
            return []
        kind = type(self).__name__
        return [f"a {kind} is full: {self.refused:,} times a key was left out; raise capacity above {self.capacity:,}"]

    def about(self) -> str:
        size = Buckets.size(self.capacity, self.words, int(self.has_values))
        return f"up to {self.capacity:,} keys {self.key.name}, {size:,} bytes"

    def signature(self) -> tuple[Any, ...]:
        return (self.key.name,)

    def attach(self) -> int:
        table = Buckets(self.capacity, self.words, int(self.has_values))
        table.fill(self._given)
        self._workers.append(table)
        return table.head.address

    def addresses(self) -> list[int]:
        return [table.head.address for table in self._workers]

    def adopt(self, old: Any) -> bool:
        """Not where Python put in other keys: they are to be there."""
        if (self.key, self.capacity, self._given) != (old.key, old.capacity, old._given):
            return False
        self._own, self._refused, self._workers = old._own, old._refused, old._workers
        return True

    def reset(self) -> None:
        self._own, self._refused, self._ran, self._workers = dict(self._given), 0, True, []
