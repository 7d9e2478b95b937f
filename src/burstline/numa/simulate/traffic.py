"""Traffic for the simulator: which flows there are, and how fast each is when. Drawn from a seed, or of a capture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstline.numa.balance.seen import Floats, Ints

FLOWS = 4096
EACH = 16  # flows that stand behind one of the simulation
TRAIN = 2.0  # packets that come behind each other, on average


@dataclass(frozen=True)
class Replay:
    """Packets of a capture: when each came (ns, from 0), and its flow."""

    times: Floats
    flows: NDArray[np.int32]


@dataclass(frozen=True)
class Traffic:
    """By flow: the hash that NICs make of it, the port that it comes by, and how many flows it stands for. `parts` are
    packets/s of each flow from a time on, in seconds; or there is a `replay`."""

    name: str
    hashes: Ints
    ports: Ints
    seconds: float
    parts: tuple[tuple[float, Floats], ...] = ()
    replay: Replay | None = None
    each: float = EACH
    train: float = TRAIN
    changes: tuple[float, ...] = field(default=())  # when it changes, for whoever wants to know what came then

    @property
    def flows(self) -> int:
        return len(self.hashes)

    def rates(self, time: float) -> tuple[Floats, float]:
        """Packets/s of each flow at a time, and until when that is so."""
        for (_, rates), (until, _) in pairwise((*self.parts, (self.seconds, None))):
            if time < until - 1e-9:
                assert rates is not None
                return rates, until
        rates = self.parts[-1][1]
        return rates, float("inf")


@dataclass(frozen=True)
class Wanted:
    """What traffic is drawn for: packets/s in all, ports with the share of it that each gets, flows."""

    packets: float
    ports: Sequence[float] = (1.0,)
    seconds: float = 10.0
    flows: int = FLOWS
    seed: int = 0


def zipf(chance: Any, count: int, exponent: float) -> Floats:
    """Shares of flows by Zipf's law, in an order by chance."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    found: Floats = chance.permutation(weights / weights.sum())
    return found


def _flows(chance: Any, wanted: Wanted) -> tuple[Ints, Ints]:
    hashes = chance.integers(0, 1 << 32, wanted.flows)
    edges = np.cumsum(np.array(wanted.ports) / sum(wanted.ports))
    return hashes, np.minimum(np.searchsorted(edges, chance.random(wanted.flows)), len(edges) - 1).astype(np.int64)


def steady(wanted: Wanted, exponent: float = 0.6) -> Traffic:
    """Many flows, none of which is heavy, that stay as they are."""
    chance = np.random.default_rng(wanted.seed)
    flows = _flows(chance, wanted)
    return Traffic("steady", *flows, wanted.seconds, ((0.0, zipf(chance, wanted.flows, exponent) * wanted.packets),))


def skewed(wanted: Wanted, exponent: float = 0.9) -> Traffic:
    """Few heavy flows and many light ones, by Zipf's law, that stay as they are."""
    made = steady(wanted, exponent)
    return Traffic("skewed", made.hashes, made.ports, made.seconds, made.parts)


def shifting(wanted: Wanted, exponent: float = 0.9, every: float = 1.0) -> Traffic:
    """By Zipf's law; every so many seconds other flows are the heavy ones."""
    chance = np.random.default_rng(wanted.seed)
    flows = _flows(chance, wanted)
    starts = tuple(float(start) for start in np.arange(0, wanted.seconds, every))
    parts = tuple((start, zipf(chance, wanted.flows, exponent) * wanted.packets) for start in starts)
    return Traffic("shifting", *flows, wanted.seconds, parts, changes=starts[1:])


def flash(wanted: Wanted, share: float = 0.3, lasts: float = 1.5, every: float = 3.0, few: int = 48) -> Traffic:
    """Many flows that stay; and every so many seconds a crowd comes to a few: within a fifth of a second they have that
    share of all packets, on top, and go as they came."""
    chance = np.random.default_rng(wanted.seed)
    flows = _flows(chance, wanted)
    calm = zipf(chance, wanted.flows, 0.6) * wanted.packets
    parts: list[tuple[float, Floats]] = [(0.0, calm)]
    changes: list[float] = []
    for start in np.arange(every / 2, wanted.seconds, every):
        crowd = np.zeros(wanted.flows)
        crowd[chance.choice(wanted.flows, min(few, wanted.flows), replace=False)] = share * wanted.packets / few
        ramp = [(start + 0.02 * k, (k + 1) / 10) for k in range(10)]
        fall = [(start + lasts + 0.02 * k, 1 - (k + 1) / 10) for k in range(10)]
        parts += [(float(time), calm + part * crowd) for time, part in ramp + fall if time < wanted.seconds]
        changes += [float(start), float(start + lasts)]
    return Traffic("flash", *flows, wanted.seconds, tuple(parts), changes=tuple(changes))


def replayed(
    name: str,
    hashes: Ints,
    times: Floats,
    flows: Ints,
    ports: int = 1,
    *,
    faster: float = 1.0,
    seconds: float | None = None,
) -> Traffic:
    """A capture: `times` in ns and the number of its flow for each packet; `faster` times as fast as it was, and again
    and again for so many `seconds`, once without. Flows are handed to ports by their hashes."""
    began = np.maximum.accumulate(np.asarray(times, np.float64) - float(times[0])) / faster
    once = float(began[-1]) * (1 + 1 / len(began))
    lasts = once if seconds is None else seconds * 1e9
    rounds = max(1, int(np.ceil(lasts / once)))
    whole = np.concatenate([began + once * k for k in range(rounds)])
    numbers = np.tile(np.asarray(flows, np.int32), rounds)
    found = Replay(whole[whole < lasts], numbers[whole < lasts])
    by_port = (np.asarray(hashes, np.int64) >> 16) % ports
    return Traffic(name, np.asarray(hashes, np.int64), by_port, lasts / 1e9, replay=found, each=1.0)


FAMILIES: Mapping[str, Callable[[Wanted], Traffic]] = {
    "steady": steady, "skewed": skewed, "shifting": shifting, "flash": flash,
}  # fmt: skip
