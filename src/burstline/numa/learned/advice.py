"""What the cost model advises: how many packets to ask for, how far ahead to prefetch, whether to sleep, and how much
distances weigh in placements. Each value is within bounds, goes one step at a time, and has its reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from burstline.numa.learned.features import Features
from burstline.numa.learned.model import CostOfPackets

BURSTS = (32, 64, 128, 256)
WORTH = 0.02  # of a packet's ns: less is no gain
PREFETCH = (4, 64)  # packets ahead
SLEEP = 20e-6  # seconds that an adaptive worker sleeps at least
WEIGHT = (0.5, 2.0)  # times the analytic cost of a hop


@dataclass(frozen=True)
class Tuning:
    """What is in force."""

    burst: int = 256
    prefetch: int = 16
    idle: Literal["poll", "adaptive"] = "adaptive"
    hop_weight: float = 1.0


@dataclass(frozen=True)
class Advice:
    """`name` of a Tuning's field should become `value`."""

    name: str
    value: int | float | str
    reason: str


def advise(model: CostOfPackets, seen: Features, tuning: Tuning, useful: float = 1.0) -> list[Advice]:
    """For a worker of which `useful` of all polls find packets. Nothing where the model is switched off, as there is
    nothing known then that the usual values do not stand for."""
    return [*_advised(model, seen, tuning, useful)] if model.is_on else []


def tuned(tuning: Tuning, advice: list[Advice]) -> Tuning:
    """With all of it taken. Raises TypeError for what is no field."""
    return replace(tuning, **{one.name: one.value for one in advice})  # type: ignore[arg-type]


def _advised(model: CostOfPackets, seen: Features, tuning: Tuning, useful: float) -> Iterator[Advice]:
    yield from _burst(model, seen, tuning)
    ns = model.predict(seen)
    ahead = min(PREFETCH[1], max(PREFETCH[0], math.ceil(model.prior.latency * (1 + seen.hops) / max(ns, 1.0))))
    step = ahead if abs(ahead - tuning.prefetch) < 8 else tuning.prefetch + (8 if ahead > tuning.prefetch else -8)
    if abs(ahead - tuning.prefetch) > 1:
        said = f"a packet takes {ns:.0f} ns, and memory {model.prior.latency * (1 + seen.hops):.0f}"
        yield Advice("prefetch", step, f"{said}: {ahead} packets ahead are enough")
    gap = 1 / max(seen.rate, 1e-9)
    idle: Literal["poll", "adaptive"] = "poll" if gap < SLEEP / 8 and useful > 0.05 else "adaptive"
    if idle != tuning.idle and not SLEEP / 16 < gap < SLEEP / 4:  # in between, what is stays
        yield Advice(
            "idle", idle, f"a packet comes each {1e6 * gap:.2f} us, and {100 * useful:.0f} % of polls find some"
        )
    weight = _hop_weight(model, seen)
    if abs(weight - tuning.hop_weight) > 0.1:
        goes = max(-0.25, min(0.25, weight - tuning.hop_weight))
        said = f"a hop costs {weight:.2f} times what the analytic model says"
        yield Advice("hop_weight", round(tuning.hop_weight + goes, 3), said)


def _burst(model: CostOfPackets, seen: Features, tuning: Tuning) -> Iterator[Advice]:
    """The smallest that costs hardly more than the best, one doubling at a time: in a large one packets wait for each
    other."""

    def ns(burst: int) -> float:
        full = seen.fill >= 0.75 * tuning.burst  # more would have come
        fill = min(float(burst), seen.fill * burst / tuning.burst if full else seen.fill)
        return model.predict(replace(seen, burst=burst, fill=fill))

    costs = {burst: ns(burst) for burst in BURSTS}
    least = min(costs.values())
    wanted = next(burst for burst in BURSTS if costs[burst] <= (1 + WORTH) * least)
    if wanted == tuning.burst or tuning.burst not in BURSTS:
        return
    place = BURSTS.index(tuning.burst) + (1 if wanted > tuning.burst else -1)
    found = BURSTS[place]
    said = (
        f"{costs[found]:.0f} ns a packet with bursts of {found}, {costs[tuning.burst]:.0f} with those of {tuning.burst}"
    )
    yield Advice("burst", found, said)


def _hop_weight(model: CostOfPackets, seen: Features) -> float:
    """How many times the analytic cost of a hop one costs."""
    near, far = replace(seen, hops=0.0), replace(seen, hops=1.0)
    analytic = model.prior.predict(far) - model.prior.predict(near)
    found = (model.learned(far) - model.learned(near)) / analytic if analytic > 1e-9 else 1.0
    return min(max(found, WEIGHT[0]), WEIGHT[1])
