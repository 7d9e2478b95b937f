"""The flows of a simulation: what is fixed about them, and how fast each is at each look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from burstline.state.toeplitz import DEFAULT_KEY, toeplitz

# Packets/s of each flow in the epoch of this number, when each goes to the core told.
Rates = Callable[[int, Any], Any]


@dataclass(frozen=True)
class Flows:
    """By flow: a key, the hash that a NIC makes of it, and bytes a packet; `groups` are numbers of the wildcard rules
    that would take it, -1 for none, where there are such rules at all."""

    keys: Sequence[bytes]
    hashes: Any
    sizes: Any
    groups: Any = None

    def __len__(self) -> int:
        return len(self.keys)

    def buckets(self, count: int) -> Any:
        """The bucket of each flow in a RETA of so many entries, a power of two: low bits of the hash (Microsoft, "RSS
        hashing types")."""
        return np.asarray(self.hashes, np.int64) & (count - 1)


class Traffic(Protocol):
    """What a simulation runs over: packets/s of each flow in so many epochs of `step` seconds."""

    @property
    def flows(self) -> Flows: ...

    @property
    def epochs(self) -> int: ...

    @property
    def step(self) -> float: ...

    def at(self, epoch: int, cores: Any) -> Any: ...


@dataclass(frozen=True)
class Trace:
    """Packets/s by epoch of `step` seconds, and flow."""

    name: str
    flows: Flows
    rates: Any
    step: float = 0.01

    def at(self, epoch: int, cores: Any) -> Any:
        return self.rates[epoch]

    @property
    def epochs(self) -> int:
        return len(self.rates)


def made_flows(count: int, seed: int = 0, size: int = 400) -> Flows:
    """So many UDP flows over IPv4, with the Toeplitz hash of their 5-tuples."""
    chance = np.random.default_rng(seed)
    tuples = chance.integers(0, 256, (count, 12), np.uint8)
    return Flows([bytes(row) for row in tuples], hashes_of(tuples), np.full(count, size))


def hashes_of(inputs: Any, key: bytes = DEFAULT_KEY) -> Any:
    """The Toeplitz hash of each row of bytes."""
    found = np.zeros(len(inputs), np.uint32)
    for place in range(inputs.shape[1]):
        values = [toeplitz(key, bytes(place) + bytes((value,))) for value in range(256)]
        found ^= np.array(values, np.uint32)[inputs[:, place]]
    return found
