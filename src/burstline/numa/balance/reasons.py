"""Why, in words and the numbers that decided it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from burstline.numa.balance.places import TIERS

if TYPE_CHECKING:
    from burstline.numa.balance.propose import Found
    from burstline.numa.balance.view import View


def move(view: View, found: Found) -> str:
    source = int(view.at[found.group])
    assert view.memory.estimate is not None and view.memory.again is not None
    rate = float(view.memory.estimate.rates[found.group])
    said = [
        f"{rate:,.0f} packets/s are {view.works[source, found.group]:.3f} of a core; worker {source} has "
        f"{view.loads[source]:.3f} and worker {found.worker}, in {_where(view, source, found.worker)}, "
        f"{view.loads[found.worker]:.3f}",
        f"{found.gain:.3g} packets fewer wait, for {found.lifetime:.2g} s; the move costs {found.price:.3g} packet-s",
    ]
    longer = float(view.places.stalls[found.worker, found.group] - view.places.stalls[source, found.group])
    if abs(longer) >= 1:
        said.append(f"{abs(longer):.0f} ns a packet {'more' if longer > 0 else 'less'} for memory there")
    if found.better is not None:
        worker, gain = found.better
        said.append(f"worker {worker}, in {_where(view, source, worker)}, would gain {gain:.3g}: not enough more")
    if view.seen.workers[source].dropped > 0:
        said.append(f"{view.seen.workers[source].dropped:,.0f} packets/s find its queue full")
    again = int(view.memory.again[found.group])
    if again:
        said.append(f"it moved {again} times since its traffic changed, so the price is {2 ** min(again, 60):,} times")
    return "; ".join(said)


def drain(view: View, group: int, source: int, target: int) -> str:
    return (
        f"worker {source} is to be parked; worker {target}, in {_where(view, source, target)}, has "
        f"{view.loads[target]:.3f} of a core, and this is {view.works[target, group]:.3f}"
    )


def park(view: View, worker: int, total: float, others: int, idle: float) -> str:
    return (
        f"the load is {total:.2f} cores, {total / others:.2f} of each of the other {others}, no more than "
        f"{view.settings.low:g} for {idle:.2g} s; worker {worker} has no group any more"
    )


def wake(view: View, worker: int, total: float, active: int) -> str:
    fullest = int(np.argmax(view.loads))
    return (
        f"the load is {total:.2f} cores, {total / active:.2f} of each of the {active} that work, and high is "
        f"{view.settings.high:g}; it is nearest to worker {fullest}, which has {view.loads[fullest]:.2f}"
    )


def _where(view: View, source: int, target: int) -> str:
    return TIERS[int(view.places.tiers[source, target])]
