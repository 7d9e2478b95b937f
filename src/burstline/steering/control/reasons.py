"""Why an action is taken, in words with the numbers that decided it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from burstline.steering.control.actions import Dedicate
from burstline.steering.control.degradation import Chosen
from burstline.steering.control.demand import Demand, Steering
from burstline.steering.control.items import Items
from burstline.steering.control.memory import Memory
from burstline.steering.control.plan import Plan
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import HeavyFlow, Snapshot


@dataclass(frozen=True)
class About:
    """What all actions of one plan have in common."""

    made: Plan
    items: Items
    seen: Snapshot
    demand: Demand
    plain: Steering
    looks: int  # for which it was on trial

    def flow(self, flow: HeavyFlow, to: int, level: str) -> str:
        rate = self.demand.flows[flow.key][1]
        cores = rate / self.demand.capacity
        said = f"{level}; {rate:,.0f} packets/s are {cores:.2f} of a core, for {flow.age:.3g} s"
        if cores > 1:
            said += "; it cannot be split without reordering, and the best for it is a core alone"
        return f"{said}; {self._cores(flow.core, to)}"

    def bucket(self, bucket: int, to: int, chosen: Mapping[bytes, Chosen]) -> str:
        rate = self.items.rate(bucket)
        said = f"{rate:,.0f} packets/s are {rate / self.demand.capacity:.3f} of a core"
        inside = [
            one.why
            for key, one in chosen.items()
            if one.level == "reta" and self.demand.flows[key][0] == bucket and key not in self.items.keys
        ]
        if inside:
            said += f"; in it is a heavy flow, {inside[0]}"
        return f"{said}; {self._cores(self.seen.reta[bucket], to)}"

    def _cores(self, source: int, to: int) -> str:
        """`source` is the number of a core, `to` its place."""
        n = len(self.seen.cores)
        place = {core.core: k for k, core in enumerate(self.seen.cores)}
        now = self.items.current.loads(self.demand, n)
        after = self.made.steering.loads(self.demand, n)
        plain = self.plain.loads(self.demand, n)
        mean = self.demand.total / n
        where = f"core {source} has {now[place[source]] / mean:.2f} of the mean load"
        if place[source] == to:
            where = f"it stays when its bucket goes: {where}"
        else:
            where += f" and core {self.seen.cores[to].core} {now[to] / mean:.2f}"
        one = len(self.made.changes) == 1
        return (
            f"{where}; {len(self.made.changes)} change{'s' * (not one)} make{'s' * one} the "
            f"fullest {after.max() / mean:.3f} instead of {now.max() / mean:.3f} (plain RSS {plain.max() / mean:.3f}), "
            f"which cost{'s' * one} {1e6 * self.made.price:,.0f} us of a core and "
            f"count{'s' * one} for {self.made.lifetime:.2g} s; tried on paper by "
            f"{self.looks} looks"
        )


def dedicate(seen: Snapshot, demand: Demand, core: int, key: bytes, moves: int) -> Dedicate:
    rate = demand.flows[key][1]
    cores = rate / demand.capacity
    alone = "; more than a core can do, and it cannot be split without reordering" if cores > 1 else ""
    others = f"what else is there would wait behind it, and leaves in {moves} moves" if moves else "it is alone there"
    why = f"a flow of {rate:,.0f} packets/s takes {cores:.2f} of core {seen.cores[core].core}{alone}; {others}"
    return Dedicate(seen.cores[core].core, (key,), why)


def undedicate(load: float, mean: float, demand: Demand, there: bool, idle: bool) -> str:
    if not there:
        return "the flow that it was dedicated to is no longer there"
    busy = f"its flow takes {load / demand.capacity:.2f} of it"
    return f"{busy}, which is {load / mean:.2f} of the mean load, and others have more" if idle else busy


def retreat(memory: Memory, time: float, ours: float, plain: float, s: Settings) -> str | None:
    """Why to go back to plain RSS, where there is a reason."""
    if memory.ledger.is_lost(s.stake):
        return (
            f"steering has lost {-memory.ledger.balance:.2f} core-looks against plain RSS, {memory.ledger.lately:.2f} "
            f"of them at this look, and another one like it makes that more than its stake of {s.stake:g}"
        )
    compared = f"cost {plain:.3f} cores under plain RSS, {ours:.3f} as steered"
    if memory.worse > s.agree:
        for_long = f"{memory.worse} looks in a row, and no change that pays does as well"
        return f"plain RSS would do better, {for_long}: {compared}"
    if memory.useless_since is not None and time - memory.useless_since >= s.horizon:
        return f"plain RSS would have done as well for {time - memory.useless_since:.3g} s: {compared}"
    return None
