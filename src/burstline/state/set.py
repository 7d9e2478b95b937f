"""A set of numbers or addresses that stages ask and change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from burstline.state.hash_table import HashTable
from burstline.state.key_hash import Key


class Set(HashTable):
    """`seen = Set(1_000_000)`; in a stage `pkt.ipv4.src in seen`, `seen.add(key)`, `seen.discard(key)`, `len(seen)`.

    Keys are numbers and IPv4 addresses, which are their numbers; with `key=bl.ipv4` or `key=bl.ipv6` only addresses of
    that version. Each worker has a set of up to `capacity` keys; Python reads their union. A full one takes no new key,
    and `refused` counts how often. Raises UsageError.
    """

    def add(self, key: Key) -> bool:
        """Put a key in; True where it was not there and now is."""
        self._check_writable()
        number = self.number(key)
        return not self._values(number) and self._put(number, 0)

    def discard(self, key: Key) -> bool:
        """Take a key out; True where it was there."""
        return self._remove(self.number(key))

    def update(self, keys: Iterable[Key]) -> None:
        """Put keys in for every run from the next one on, e.g. a list of known addresses."""
        for key in keys:
            self._give(self.number(key), 0)

    def to_numpy(self) -> Any:
        """The keys, rising: int64, uint32 for IPv4 addresses, 16 bytes each for IPv6 ones."""
        return self._keys_to_numpy(self._keys())

    def __repr__(self) -> str:
        return f"Set of {len(self):,} keys"
