"""Packets of very many flows: Zipf's law, and elephants that begin of a sudden and send in trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.packet.flow_key import KEY_SIZE

TRAIN = 32  # packets of an elephant that come one behind the other
LEAST_SHARE, MOST_SHARE = 0.001, 0.01  # of all packets, of an elephant


@dataclass(frozen=True)
class Traffic:
    """A flow's number for each packet, and its flow key."""

    flows: Any
    keys: Any

    def __len__(self) -> int:
        return len(self.flows)

    def last_of(self, first: int, count: int, most: int) -> tuple[Any, int]:
        """Exact counts of some packets by flow, and the count of the flow with the `most`-th largest one."""
        counts = np.bincount(self.flows[first : first + count])
        return counts, int(np.partition(counts, -most)[-most])


def zipf(count: int, flows: int, exponent: float, seed: int) -> Traffic:
    """Packets drawn one by one, which do not repeat in order."""
    return _with_keys(_drawn(count, flows, exponent, np.random.default_rng(seed)))


def onset(count: int, flows: int, exponent: float, elephants: int, first: int, seed: int) -> tuple[Traffic, Any]:
    """Zipf's law, and from packet `first` on elephants that were not there before, with 0.1 % to 1 % of all packets
    each, in trains. Returns their numbers, too."""
    chance = np.random.default_rng(seed)
    drawn = _drawn(count, flows, exponent, chance)
    begun = flows + np.arange(elephants, dtype="u4")
    shares = np.geomspace(LEAST_SHARE, MOST_SHARE, elephants)
    places = chance.permutation((count - first) // TRAIN)
    owners = np.repeat(begun, (shares * len(places)).astype(int))
    for place, owner in zip(places, owners, strict=False):
        at = first + place * TRAIN
        drawn[at : at + TRAIN] = owner
    return _with_keys(drawn), begun


def _drawn(count: int, flows: int, exponent: float, chance: Any) -> Any:
    weights = np.cumsum(1 / np.arange(1, flows + 1) ** exponent)
    numbers = chance.permutation(flows).astype("u4")  # heavy flows' addresses have nothing in common
    return numbers[np.searchsorted(weights, chance.random(count) * weights[-1])]


def _with_keys(flows: Any) -> Traffic:
    """UDP over IPv4: the source address counts flows, all others are one."""
    keys = np.zeros((len(flows), KEY_SIZE), "u1")
    keys[:, :8] = np.frombuffer(bytes((17, 4, 57, 48, 53, 0, 0, 0)), "u1")
    keys[:, 8:12] = (flows + np.uint32(10 << 24)).view("u1").reshape(-1, 4)
    keys[:, 12:16] = 192, 0, 2, 1
    return Traffic(flows, keys)


def flow_of(key: bytes) -> int:
    return int.from_bytes(key[8:12], "little") - (10 << 24)
