"""Traffic to try policies with, drawn from a seed: by what is steered well, and by what is made to fool them.

`load` is the mean load of a core when all cores share alike, unless a family says otherwise; cores do `CAPACITY`
packets a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from burstline.steering.control.flows import Flows, Trace, made_flows

CAPACITY = 1e6  # packets/s of a core
STEP = 0.01  # seconds
FLOWS = 4000

Family = Callable[..., Trace]


def zipf(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, exponent: float = 1.1) -> Trace:
    """Rates after Zipf's law that stay."""
    chance = np.random.default_rng(seed)
    rates = shares(chance, exponent) * total(cores, load)
    return Trace("zipf", made_flows(FLOWS, seed), np.tile(rates, (epochs, 1)), STEP)


def noisy(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, exponent: float = 1.0) -> Trace:
    """Rates after Zipf's law, of which each epoch sees a Poisson number of packets."""
    made = zipf(seed, cores, epochs, load, exponent)
    chance = np.random.default_rng(seed + 1)
    return Trace("noisy", made.flows, chance.poisson(made.rates * STEP) / STEP, STEP)


def elephants(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, count: int = 12) -> Trace:
    """Mice, and elephants with half of all packets that come and go: each is there for 0.2 seconds or longer, by
    Pareto's law."""
    chance = np.random.default_rng(seed)
    rates = np.tile(shares(chance, 0.6) * total(cores, load) / 2, (epochs, 1))
    for flow in chance.choice(FLOWS, count, replace=False):
        begins = int(chance.integers(0, epochs))
        lasts = round(0.2 * (1 + chance.pareto(1.2)) / STEP)
        begins = max(0, begins - lasts // 2)
        rates[begins : begins + lasts, flow] += total(cores, load) / 2 / max(1, count // 2) * chance.uniform(0.5, 1.5)
    return Trace("elephants", made_flows(FLOWS, seed), rates, STEP)


def colliding(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, count: int = 6) -> Trace:
    """Elephants that all have the bad luck to be hashed to one core, each of a third of a core, and mice."""
    chance = np.random.default_rng(seed)
    flows = made_flows(FLOWS, seed)
    rates = shares(chance, 0.5) * total(cores, load) * 0.5
    there = np.flatnonzero(flows.buckets(128) % cores == int(chance.integers(cores)))
    rates[chance.choice(there, min(count, len(there)), replace=False)] = total(cores, load) * 0.5 / count
    return Trace("colliding", flows, np.tile(rates, (epochs, 1)), STEP)


def bursts(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5) -> Trace:
    """Flows that are on for one to five epochs and off for longer, over steady mice."""
    chance = np.random.default_rng(seed)
    rates = np.tile(shares(chance, 0.6) * total(cores, load) * 0.7, (epochs, 1))
    for flow in chance.choice(FLOWS, 40, replace=False):
        at = int(chance.integers(0, 20))
        while at < epochs:
            lasts = int(chance.integers(1, 6))
            rates[at : at + lasts, flow] += CAPACITY * chance.uniform(0.05, 0.3)
            at += lasts + int(chance.integers(5, 40))
    return Trace("bursts", made_flows(FLOWS, seed), rates, STEP)


def shifting(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, every: int = 30) -> Trace:
    """Rates after Zipf's law of which other flows have the largest every so many epochs."""
    chance = np.random.default_rng(seed)
    parts = [shares(chance, 1.0) for _ in range(-(-epochs // every))]
    rates = np.repeat(parts, every, axis=0)[:epochs] * total(cores, load)
    return Trace("shifting", made_flows(FLOWS, seed), rates, STEP)


def dying(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, lasts: int = 4) -> Trace:
    """One elephant after the other, of which each dies when it has just been placed."""
    chance = np.random.default_rng(seed)
    rates = np.tile(shares(chance, 0.5) * total(cores, load) * 0.8, (epochs, 1))
    for begins in range(0, epochs, lasts):
        rates[begins : begins + lasts, int(chance.integers(FLOWS))] += CAPACITY * chance.uniform(0.3, 0.6)
    return Trace("dying", made_flows(FLOWS, seed), rates, STEP)


def equal(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, count: int = 64) -> Trace:
    """A few flows, all alike."""
    flows = made_flows(count, seed)
    return Trace("equal", flows, np.full((epochs, count), total(cores, load) / count), STEP)


def giant(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.3, size: float = 1.3) -> Trace:
    """One flow that is larger than a core, and mice."""
    chance = np.random.default_rng(seed)
    rates = shares(chance, 0.5) * total(cores, load)
    rates[int(chance.integers(FLOWS))] = size * CAPACITY
    return Trace("giant", made_flows(FLOWS, seed), np.tile(rates, (epochs, 1)), STEP)


def mice(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5) -> Trace:
    """Many flows, none of which is heavy, each there for a short time."""
    chance = np.random.default_rng(seed)
    rates = np.where(chance.random((epochs, FLOWS)) < 0.3, chance.exponential(1.0, (epochs, FLOWS)), 0.0)
    return Trace("mice", made_flows(FLOWS, seed), rates * total(cores, load) / (0.3 * FLOWS), STEP)


def turning(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.5, every: int = 20) -> Trace:
    """What has been crowded is empty next, and the other way round: places that were good are bad."""
    chance = np.random.default_rng(seed)
    flows = made_flows(FLOWS, seed)
    home = flows.buckets(128) % cores
    rates = np.zeros((epochs, FLOWS))
    for begins in range(0, epochs, every):
        heavy = home == int(chance.integers(cores))
        part = chance.exponential(1.0, FLOWS) * np.where(heavy, 4.0, 1.0)
        rates[begins : begins + every] = part / part.sum() * total(cores, load)
    return Trace("turning", flows, rates, STEP)


def overload(seed: int, cores: int = 8, epochs: int = 100, load: float = 0.95) -> Trace:
    """Nearly as much as all cores can do, by Zipf's law."""
    made = zipf(seed, cores, epochs, load, 0.9)
    return Trace("overload", made.flows, made.rates, STEP)


def shares(chance: Any, exponent: float, count: int = FLOWS) -> Any:
    """Of all packets, by flow: Zipf's law, in an order by chance."""
    found = np.arange(1, count + 1) ** -exponent
    return chance.permutation(found / found.sum())


def total(cores: int, load: float) -> float:
    """Packets/s."""
    return cores * load * CAPACITY


FAMILIES: Mapping[str, Family] = {
    made.__name__: made
    for made in (
        zipf, noisy, elephants, colliding, bursts, shifting, dying, equal, giant, mice, turning, overload,
    )
}  # fmt: skip


def joined(name: str, parts: list[Trace]) -> Trace:
    """Traces of the same step one after the other; flows of each are flows of the whole."""
    flows = Flows(
        [b"%d" % k + key for k, part in enumerate(parts) for key in part.flows.keys],
        np.concatenate([part.flows.hashes for part in parts]),
        np.concatenate([part.flows.sizes for part in parts]),
    )
    rates = np.zeros((sum(part.epochs for part in parts), len(flows)))
    row = column = 0
    for part in parts:
        rates[row : row + part.epochs, column : column + len(part.flows)] = part.rates
        row, column = row + part.epochs, column + len(part.flows)
    return Trace(name, flows, rates, parts[0].step)
