"""Policies to compare the balancer with: RSS as drivers set it up, and the greedy one of RSS++."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from burstline.numa.balance.actions import Action, MoveGroup
from burstline.numa.balance.seen import Seen


class Policy(Protocol):
    """Pure: what it remembers and a snapshot to what it remembers and actions."""

    @property
    def name(self) -> str: ...

    def start(self) -> Any: ...

    def decide(self, memory: Any, seen: Seen) -> tuple[Any, Sequence[Action]]: ...


@dataclass(frozen=True)
class StaticRss:
    """Buckets stay where they are."""

    name: str = "static RSS"

    def start(self) -> None:
        return None

    def decide(self, memory: None, seen: Seen) -> tuple[None, Sequence[Action]]:
        return None, []


@dataclass(frozen=True)
class Greedy:
    """Buckets go from workers that are busier than the mean to those that are less busy, the largest that fit first,
    until none is off by more than `threshold` of the mean: the way of T. Barbette, G. P. Katsikas, G. Q. Maguire Jr.
    and D. Kostić, "RSS++: load and state-aware receive side scaling", CoNEXT 2019, section 4. A bucket's load is its
    share of its worker's packets, times how busy that is. It looks `every` so many seconds. The program that came with
    the paper has a threshold of 2 %, and looks every 10 ms at most."""

    every: float = 0.0
    threshold: float = 0.02
    name: str = "RSS++, greedy"

    def start(self) -> float:
        return float("-inf")

    def decide(self, memory: float, seen: Seen) -> tuple[float, Sequence[Action]]:
        if seen.time - memory < self.every - 1e-9:
            return memory, []
        busy = np.array([worker.busy for worker in seen.workers])
        # What found no room is load, too: a full worker is busier than busy.
        busy *= [1 + worker.dropped / worker.packets if worker.packets > 0 else 1.0 for worker in seen.workers]
        mean = float(busy.mean())
        if mean <= 0:
            return seen.time, []
        packets = np.bincount(seen.at, seen.packets, minlength=len(busy))
        share = np.where(packets[seen.at] > 0, seen.packets / np.maximum(packets[seen.at], 1e-9), 0.0)
        loads, left = share * busy[seen.at], int(seen.updates)
        slack = self.threshold * mean
        actions: list[Action] = []
        for top in np.argsort(-busy, kind="stable"):
            mine = np.flatnonzero((seen.at == top) & ~seen.moving & (loads > 0))
            for group in mine[np.argsort(-loads[mine], kind="stable")]:
                if busy[top] <= mean + slack or not left:
                    break
                low, load = int(busy.argmin()), float(loads[group])
                if load > min(busy[top] - mean, mean - busy[low]) + slack:
                    continue
                why = f"worker {top} is {busy[top]:.3f} busy, worker {low} {busy[low]:.3f}, the group {load:.4f}"
                actions.append(MoveGroup(int(group), low, why))
                busy[[top, low]] += (-load, load)
                left -= 1
        return seen.time, actions
