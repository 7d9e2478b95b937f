"""One look, as the balancer reckons with it: what each group is to each worker, in cores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burstline.numa.balance.memory import Memory
from burstline.numa.balance.places import ACROSS, NODE, Places
from burstline.numa.balance.seen import Floats, Ints, Seen
from burstline.numa.balance.settings import BalanceSettings
from burstline.numa.balance.waiting import cost

LEAST_NS = 1.0
UNEXPLAINED = 0.05  # of a worker's packets: less is chance
FULL = 1.0  # of a core
LARGE = 0.01  # of a core: a group whose change is one for its worker
FIXED = 0.5  # waiting packets times seconds: of any move


@dataclass
class View:
    """`at` and `loads` change as moves are decided; `spread` is the standard error of each load. `works[w, g]` is the
    load of group g at worker w; `open` are workers that groups may go to."""

    seen: Seen
    places: Places
    settings: BalanceSettings
    memory: Memory
    works: Floats
    at: Ints
    loads: Floats
    spread: Floats
    open: NDArray[np.bool_]
    movable: NDArray[np.bool_]
    left: int  # moves that may be made at this look

    @classmethod
    def of(cls, seen: Seen, places: Places, settings: BalanceSettings, memory: Memory, step: float) -> View:
        assert memory.estimate is not None and memory.ns is not None and memory.stays is not None
        known = memory.ns[memory.ns > 0]
        usual = float(np.median(known)) if len(known) else 100.0
        ns = np.where(memory.ns > 0, memory.ns, usual)
        each = np.arange(seen.groups)
        here = places.stalls[seen.at, each]
        # What it costs where it is was measured; elsewhere the cost model says how much longer a packet waits.
        by_packet = np.maximum(LEAST_NS, ns[seen.at] + places.stalls - here[None, :])
        works = by_packet * memory.estimate.rates * 1e-9
        mine = works[seen.at, each]
        count = places.workers
        loads = np.bincount(seen.at, mine, minlength=count).astype(float)
        # What no group explains was sent there by rules, and stays.
        packets = np.array([worker.packets for worker in seen.workers])
        rest = packets - np.bincount(seen.at, seen.packets, minlength=count)
        loads += np.where(rest > UNEXPLAINED * packets, rest, 0.0) * ns * 1e-9
        noise = memory.estimate.variance(step) * (ns[seen.at] * 1e-9) ** 2
        spread = np.sqrt(np.bincount(seen.at, noise, minlength=count))
        opened = ~np.array([worker.parked for worker in seen.workers])
        movable = ~seen.moving & (memory.stays <= seen.time)
        left = int(min(settings.at_once, memory.tokens + 1e-9))
        return cls(
            seen, places, settings, memory, works, seen.at.copy(), loads, spread * settings.sure, opened, movable, left
        )

    @property
    def dispersion(self) -> float:
        assert self.memory.estimate is not None
        return self.memory.estimate.dispersion

    def gains(self, groups: Ints) -> Floats:
        """(worker, group): the cost that goes when a group goes there, less what cannot be told from chance; minus
        infinity where it must not."""
        source = self.at[groups]
        each = np.arange(len(groups))
        gone, come = self.works[source, groups], self.works[:, groups]
        low, high = np.maximum(self.loads - self.spread, 0.0), self.loads + self.spread
        before = cost(low[source], self.dispersion)
        after = cost(np.maximum(low[source] - gone, 0.0), self.dispersion)
        risen = cost(high[:, None] + come, self.dispersion) - cost(high, self.dispersion)[:, None]
        found: Floats = (before - after)[None, :] - risen
        # What a full worker took from one that has less to do would be dropped there instead, and come back.
        crowded = (self.loads[:, None] + come >= FULL) & (self.loads[:, None] + come >= self.loads[source][None, :])
        found[crowded] = -np.inf
        found[~self.open] = -np.inf
        found[source, each] = -np.inf
        return found

    def prices(self, groups: Ints) -> Floats:
        """(worker, group): waiting packets times seconds that a move costs, more for what has moved before."""
        assert self.memory.estimate is not None and self.memory.again is not None
        held = self.memory.estimate.rates[groups] * self.settings.held * min(self.settings.held / 2, self.settings.late)
        carried = self.places.handover[self.at[groups]].T * self.seen.records[groups] * 1e-9
        found: Floats = (FIXED + held + carried) * 2.0 ** np.minimum(self.memory.again[groups], 60)
        return found

    def lifetimes(self, groups: Ints) -> Floats:
        """(worker, group): seconds for which a gain is counted on. As long again as traffic has been what it is; but
        less and less once nothing has changed at both workers for longer than the horizon: what did not pay until
        then, and seems to pay now, is chance."""
        assert self.memory.estimate is not None
        time, since = self.seen.time, self.memory.estimate.since
        age = np.clip(time - since[groups], min(self.settings.least, self.settings.horizon), self.settings.horizon)
        changed = np.zeros(len(self.loads))
        large = self.works[self.at, np.arange(len(self.at))] > LARGE
        np.maximum.at(changed, self.at[large], since[large])
        quiet = time - np.maximum(changed[:, None], changed[self.at[groups]][None, :])
        found: Floats = age[None, :] * np.minimum(1.0, self.settings.horizon / np.maximum(quiet, 1e-9))
        return found

    def tier(self, source: int, target: int) -> tuple[int, int]:
        """How far apart two workers are, for which the near ones come first; nodes by their distance."""
        tier = int(self.places.tiers[source, target])
        return (tier, int(self.places.distances[source, target]) if tier >= ACROSS else NODE)

    def move(self, group: int, worker: int) -> None:
        source = self.at[group]
        self.loads[source] -= self.works[source, group]
        self.loads[worker] += self.works[worker, group]
        self.at[group] = worker
        self.movable[group] = False
        self.left -= 1
