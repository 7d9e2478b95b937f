"""Which groups go where: each move by itself gains more than it costs, and what is near comes first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from burstline.numa.balance import reasons
from burstline.numa.balance.actions import MoveGroup
from burstline.numa.balance.seen import Ints
from burstline.numa.balance.view import View
from burstline.numa.balance.waiting import cost

FULLEST = 2  # workers that groups are taken from at a time
AWAY = 32  # groups that wait longest for memory where they are, which may go home


class Found(NamedTuple):
    group: int
    worker: int
    gain: float  # of cost, in cores
    lifetime: float
    price: float
    better: tuple[int, float] | None  # a worker farther away, and what it would have gained

    @property
    def net(self) -> float:
        return self.gain * self.lifetime - self.price


def moves(view: View) -> Iterator[MoveGroup]:
    """The best move, the best after that one, and so on, as long as one pays and as many as are allowed."""
    while view.left > 0:
        found = best(view)
        if found is None:
            return
        reason = reasons.move(view, found)
        view.move(found.group, found.worker)
        yield MoveGroup(found.group, found.worker, reason)


def best(view: View) -> Found | None:
    groups = _candidates(view)
    if not len(groups):
        return None
    gains, lifetimes, prices = view.gains(groups), view.lifetimes(groups), view.prices(groups)
    nets = gains * lifetimes - view.settings.margin * prices
    nets[~np.isfinite(nets)] = -np.inf
    top = int(nets.argmax())
    if nets.flat[top] <= 0:
        return None
    worker, k = divmod(top, len(groups))
    farthest = (worker, float(gains[worker, k]))
    most, source = float(nets[worker, k]), int(view.at[groups[k]])
    # Of what the fullest worker can do, the nearest that brings enough of the best.
    mine = np.flatnonzero(view.at[groups] == source)
    tiers = sorted({view.tier(source, int(w)) for w in np.flatnonzero(view.open) if w != source})
    for tier in tiers:
        here = np.array([w for w in np.flatnonzero(view.open) if w != source and view.tier(source, int(w)) == tier])
        part = nets[np.ix_(here, mine)]
        at = int(part.argmax())
        if part.flat[at] >= view.settings.near * most:
            row, column = divmod(at, len(mine))
            worker, k = int(here[row]), int(mine[column])
            break
    group = int(groups[k])
    better = farthest if view.tier(source, farthest[0]) > view.tier(source, worker) else None
    return Found(
        group, worker, float(gains[worker, k]), float(lifetimes[worker, k]), float(prices[worker, k]), better
    )  # fmt: skip


def _candidates(view: View) -> Ints:
    """Groups of the fullest workers, and those that wait longest for what they would not wait for elsewhere."""
    each = np.arange(view.seen.groups)
    mine = view.works[view.at, each]
    movable = view.movable & (mine > 0)
    bad = cost(view.loads, view.dispersion)
    bad[np.bincount(view.at[movable], minlength=len(bad)) == 0] = -np.inf
    full = np.argsort(-bad, kind="stable")[:FULLEST]
    lost = np.where(movable, mine - view.works[view.open].min(axis=0, initial=np.inf), 0.0)
    away = np.argsort(-lost, kind="stable")[:AWAY]
    wanted = np.isin(view.at, full) & movable
    wanted[away[lost[away] > 0]] = True
    return np.flatnonzero(wanted)


def drained(view: View, worker: int) -> Iterator[MoveGroup]:
    """The groups of a worker that is to be parked, each to where it is least in the way, as many as are allowed."""
    mine = np.flatnonzero((view.at == worker) & view.movable)
    for group in mine[np.argsort(-view.works[worker, mine], kind="stable")]:
        if view.left <= 0:
            return
        gains = view.gains(np.array([group]))[:, 0]
        if not np.isfinite(gains).any():
            return
        target = int(gains.argmax())
        near = [w for w in np.flatnonzero(np.isfinite(gains)) if gains[w] >= gains[target] - 0.01]
        target = min(map(int, near), key=lambda w: (view.tier(worker, w), -float(gains[w])))
        reason = reasons.drain(view, int(group), worker, target)
        view.move(int(group), target)
        yield MoveGroup(int(group), target, reason)
