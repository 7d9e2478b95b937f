"""A port for the simulator: a RETA and a rule table with room, a rate and a latency; updates can fail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from burstline.errors import BurstlineError
from burstline.steering.control.actions import Action, MoveBucket, Path, Place, Release, RollBack
from burstline.steering.control.snapshot import Device, Failure, Level, Pending


class ImpossibleAction(BurstlineError):
    """A policy asked for what its snapshot says cannot be."""


@dataclass(frozen=True)
class PortLimits:
    """What a simulated port can do. `exact` and `wildcard` are the rules that it says it has room for, `real` the exact
    ones that it takes; each update fails with probability `fails`."""

    exact: int = 4096
    wildcard: int = 0
    reta: int = 128  # entries; they cannot move without `moves_buckets`
    moves_buckets: bool = True
    software: bool = False
    updates: float = 10_000.0
    latency: float = 0.001
    rules_a_flow: int = 1
    real: int | None = None
    fails: float = 0.0


class SimulatedPort:
    """Takes actions, and has them in force after its latency."""

    def __init__(self, limits: PortLimits, cores: Iterable[int], seed: int = 0) -> None:
        self.limits, self.cores = limits, tuple(cores)
        self.rss = tuple(self.cores[k % len(self.cores)] for k in range(limits.reta))
        self.reta = list(self.rss)
        self.rules: dict[bytes, tuple[int, Level]] = {}
        self.room = {"exact": limits.exact, "wildcard": limits.wildcard}
        self.failures: list[Failure] = []
        self.updates: list[tuple[float, int]] = []  # when, and how many
        self._coming: list[tuple[float, Place | Release | MoveBucket]] = []
        self._levels: dict[bytes, Level] = {}  # of rules that take room, in force or not
        self._chance = np.random.default_rng(seed)

    @property
    def used(self) -> int:
        """Rules that take room."""
        return sum(self.limits.rules_a_flow for level in self._levels.values() if level in self.room)

    @property
    def held(self) -> set[bytes]:
        """Flows with a rule, in force or accepted."""
        return {*self._levels, *self.rules}

    @property
    def busy(self) -> bool:
        """Whether something is accepted and not in force."""
        return bool(self._coming)

    def device(self) -> Device:
        limits = self.limits
        return Device(
            self.room["exact"], self.room["wildcard"], limits.moves_buckets, limits.software, limits.updates,
            limits.latency, limits.rules_a_flow,
        )  # fmt: skip

    def pending(self, home: dict[bytes, int]) -> tuple[Pending, ...]:
        """What is accepted and not in force; `home` is the bucket of each flow, where a released one goes."""
        found = []
        for _, action in self._coming:
            if isinstance(action, MoveBucket):
                found.append(Pending(action.bucket, action.core))
            else:
                core = action.core if isinstance(action, Place) else self.reta[home[action.key]]
                found.append(Pending(action.key, core))
        return tuple(found)

    def next_effect(self) -> float:
        """When something becomes effective next; infinity, when nothing is on its way."""
        return min((when for when, _ in self._coming), default=float("inf"))

    def take_effect(self, time: float) -> None:
        """Put in force what is due."""
        due = [action for when, action in self._coming if when <= time]
        self._coming = [(when, action) for when, action in self._coming if when > time]
        for action in due:
            if isinstance(action, MoveBucket):
                self.reta[action.bucket] = action.core
            elif isinstance(action, Place):
                self.rules[action.key] = (action.core, action.level)
            else:
                self.rules.pop(action.key, None)

    def take(self, actions: Iterable[Action], time: float, known: Iterable[bytes]) -> None:
        """Accept what a policy says at `time`. Raises ImpossibleAction for a core, bucket, flow or level that is not
        there."""
        self.failures = []
        flows = set(known)
        for action in actions:
            if isinstance(action, RollBack):
                if action.at_once:
                    back: list[Action] = [Release(key, action.reason) for key in self._levels]
                    for bucket, (core, home) in enumerate(zip(self.reta, self.rss, strict=True)):
                        back += [MoveBucket(bucket, home, action.reason)] if core != home else []
                    self.take(back, time, flows | set(self._levels))
            elif isinstance(action, Place | Release | MoveBucket):
                self._check(action, flows)
                self._take(action, time)
            elif isinstance(action, Path):
                self._check_flow(action.key, flows)
                self.updates.append((time, self.limits.rules_a_flow))
            elif action.core not in self.cores:
                raise ImpossibleAction(f"there is no core {action.core}")

    def _check(self, action: Place | Release | MoveBucket, flows: set[bytes]) -> None:
        if isinstance(action, MoveBucket):
            if not self.limits.moves_buckets or not 0 <= action.bucket < len(self.reta):
                raise ImpossibleAction(f"bucket {action.bucket} cannot move")
        else:
            self._check_flow(action.key, flows)
        if not isinstance(action, Release) and action.core not in self.cores:
            raise ImpossibleAction(f"there is no core {action.core}")
        if isinstance(action, Release) and action.key not in self._levels:
            raise ImpossibleAction(f"no rule holds the flow {action.key.hex()}")
        if isinstance(action, Place) and action.key not in self._levels:
            lacks = self.room.get(action.level, self.limits.rules_a_flow) < self.limits.rules_a_flow
            if lacks or action.level == "reta" or (action.level == "software" and not self.limits.software):
                raise ImpossibleAction(f"there is no room at the level {action.level}")

    @staticmethod
    def _check_flow(key: bytes, flows: set[bytes]) -> None:
        if key not in flows:
            raise ImpossibleAction(f"there is no flow {key.hex()}")

    def _take(self, action: Place | Release | MoveBucket, time: float) -> None:
        limits, level = self.limits, action.level if isinstance(action, Place) else "reta"
        changes = isinstance(action, Place) and action.key in self._levels
        rules = 1 if isinstance(action, MoveBucket) else limits.rules_a_flow * (2 if changes else 1)
        self.updates.append((time, rules))
        target = action.bucket if isinstance(action, MoveBucket) else action.key
        if self._chance.random() < limits.fails:
            self.failures.append(Failure(target, level, "the device said no"))
            return
        if isinstance(action, Place) and not changes:
            if level == "exact" and limits.real is not None and self.used + limits.rules_a_flow > limits.real:
                self.failures.append(Failure(target, level, "no space left on device", full=True))
                return
            self._levels[action.key] = level
            if level in self.room:
                self.room[level] -= limits.rules_a_flow
        elif isinstance(action, Release):
            had = self._levels.pop(action.key)
            if had in self.room:
                self.room[had] += limits.rules_a_flow
        self._coming.append((time + limits.latency, action))
