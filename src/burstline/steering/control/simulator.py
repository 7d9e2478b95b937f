"""Runs a policy over flows: hashes to buckets, buckets and rules to cores, queues that fill and drop, and what moves
cost.

Rates are constant within an epoch, and queues are fluid: a core does `capacity` packets a second, its queue holds
`queue` packets, and what comes beyond is dropped. A flow that moves has its packets held until its old queue has
drained, and finds cold caches at its new core, which are work for that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from burstline.steering.control.actions import Action
from burstline.steering.control.flows import Flows, Rates, Trace
from burstline.steering.control.outcome import Outcome
from burstline.steering.control.simulated_port import PortLimits, SimulatedPort
from burstline.steering.control.snapshot import Coarse, Core, HeavyFlow, Snapshot


class Policy(Protocol):
    """Pure: what it remembers and a snapshot to what it remembers and actions."""

    @property
    def name(self) -> str: ...

    def start(self) -> Any: ...

    def decide(self, memory: Any, seen: Snapshot) -> tuple[Any, Sequence[Action]]: ...


@dataclass(frozen=True)
class Machine:
    """Cores and what they do; times in seconds."""

    cores: int = 8
    capacity: float = 1e6  # packets/s of a core
    queue: int = 1024  # packets
    held: float = 0.0002
    cold: float = 0.000002  # of a core, for a flow that has moved
    reported: int = 64  # flows that the sketch reports, at most,
    floor: float = 0.0005  # of all packets, at least
    port: PortLimits = field(default_factory=PortLimits)


def simulate(policy: Policy, trace: Trace, machine: Machine | None = None, *, seed: int = 0) -> Outcome:
    """The policy over a trace, from plain RSS on. Raises ImpossibleAction."""
    return play(policy, trace.flows, trace.at, trace.epochs, trace.step, machine, seed=seed)


def play(
    policy: Policy,
    flows: Flows,
    rates: Rates,
    epochs: int,
    step: float,
    machine: Machine | None = None,
    *,
    seed: int = 0,
) -> Outcome:
    """The same for flows whose rates may depend on where they go. Raises ImpossibleAction."""
    run = _Run(policy, flows, machine or Machine(), step, epochs, seed)
    for epoch in range(epochs):
        run.epoch(epoch, rates)
    return run.outcome


class _Run:
    def __init__(self, policy: Policy, flows: Flows, machine: Machine, step: float, epochs: int, seed: int) -> None:
        self.policy, self.flows, self.machine, self.step = policy, flows, machine, step
        self.port = SimulatedPort(machine.port, range(machine.cores), seed)
        self.memory = policy.start()
        self.buckets = flows.buckets(machine.port.reta)
        self.number = {key: k for k, key in enumerate(flows.keys)}
        self.queues = np.zeros(machine.cores)
        self.since = np.full(len(flows), np.nan)  # when the sketch began to report each flow
        self.outcome = Outcome(policy.name, epochs, machine.cores, step)

    def cores(self) -> Any:
        """The core of each flow."""
        found = np.array(self.port.reta)[self.buckets]
        for key, (core, _) in self.port.rules.items():
            found[self.number[key]] = core
        return found

    def epoch(self, epoch: int, rates: Rates) -> None:
        machine, out, time = self.machine, self.outcome, epoch * self.step
        before = self.cores()
        self.port.take_effect(time + 1e-9)
        cores = self.cores()
        offered = np.asarray(rates(epoch, cores), float)
        moved = (before != cores) & (offered > 0)
        by_core = np.bincount(cores, offered, minlength=machine.cores)
        cold = np.bincount(cores[moved], minlength=machine.cores) * machine.cold * machine.capacity
        held = np.bincount(cores[moved], offered[moved], minlength=machine.cores) * machine.held
        served, waiting, lost = self._queues(by_core, cold, held)
        plain = np.bincount(np.array(self.port.rss)[self.buckets], offered, minlength=machine.cores)
        out.offered[epoch] = by_core
        out.loads[epoch] = by_core / machine.capacity + cold / machine.capacity / self.step
        out.plain[epoch] = plain / machine.capacity
        out.dropped[epoch] = lost
        out.waits[epoch] = waiting / machine.capacity
        out.held[epoch] = held.sum()
        out.moved[epoch] = moved.sum()
        out.rules[epoch] = self.port.used
        out.steered[epoch] = bool(self.port.rules) or self.port.reta != list(self.port.rss)
        seen = self._snapshot(time + self.step, offered, by_core, served, cold, cores)
        self.memory, actions = self.policy.decide(self.memory, seen)
        out.log += [(seen.time, action) for action in actions]
        self.port.take(actions, seen.time, (flow.key for flow in seen.flows))
        out.updates = self.port.updates

    def _queues(self, by_core: Any, cold: Any, held: Any) -> tuple[Any, Any, Any]:
        """Packets served, packets waiting on average, and packets lost. What was held comes at once, when the old queue
        has drained; the rest of the epoch's packets evenly."""
        machine, came = self.machine, by_core * self.step
        can = (machine.capacity * self.step - cold).clip(0)
        burst_lost = (self.queues + held - machine.queue).clip(0)
        total = self.queues + came - burst_lost
        after = (total - can).clip(0)
        lost = burst_lost + (after - machine.queue).clip(0)
        queues = after.clip(0, machine.queue)
        served = self.queues + came - lost - queues
        busy = np.minimum(by_core / machine.capacity, 0.999)
        waiting = (self.queues + queues) / 2 + np.minimum(busy / (2 * (1 - busy)), machine.queue)  # M/D/1
        self.queues = queues
        return served, np.minimum(waiting, machine.queue), lost

    def _snapshot(self, time: float, offered: Any, by_core: Any, served: Any, cold: Any, cores: Any) -> Snapshot:
        machine, flows = self.machine, self.flows
        share = np.where(by_core > 0, np.minimum(1, served / np.maximum(by_core * self.step, 1e-12)), 0.0)
        seen = offered * share[cores]
        heavy = self._reported(time, seen)
        grouped: dict[int, float] = {}
        if flows.groups is not None:
            totals = np.bincount(flows.groups.clip(0), np.where(flows.groups >= 0, seen, 0))
            grouped = dict(enumerate(totals.tolist()))
        listed = []
        for k in heavy:
            key, packets = flows.keys[k], float(seen[k])
            rule = self.port.rules.get(key)
            coarse = None
            if flows.groups is not None and flows.groups[k] >= 0:
                coarse = Coarse(b"group %d" % flows.groups[k], grouped[int(flows.groups[k])])
            age = 0.0 if np.isnan(self.since[k]) else time - float(self.since[k])
            hits = int(packets * self.step + 0.5) if rule else 0
            listed.append(
                HeavyFlow(
                    key, int(self.buckets[k]), packets, packets * float(flows.sizes[k]), int(cores[k]), age,
                    rule[1] if rule else None, hits, coarse,
                )
            )  # fmt: skip
        busy = np.minimum(1, (served + cold) / (machine.capacity * self.step))
        missed = (by_core - served / self.step).clip(0)
        at = [
            Core(k, float(busy[k]), float(min(by_core[k], served[k] / self.step)), float(missed[k]))
            for k in range(machine.cores)
        ]
        return Snapshot(
            time, tuple(at), tuple(self.port.reta), self.port.rss,
            tuple(np.bincount(self.buckets, seen, minlength=machine.port.reta).tolist()), tuple(listed),
            self.port.device(),
            self.port.pending({key: int(self.buckets[k]) for key, k in self.number.items()}) if self.port.busy else (),
            tuple(self.port.failures),
        )  # fmt: skip

    def _reported(self, time: float, seen: Any) -> list[int]:
        """The fastest flows, and those that rules hold."""
        most = min(self.machine.reported, len(seen))
        top = np.argpartition(-seen, most - 1)[:most] if most else np.zeros(0, int)
        found = set(top[seen[top] > self.machine.floor * seen.sum()].tolist())
        since = np.full(len(seen), np.nan)
        for k in found:
            since[k] = time - self.step if np.isnan(self.since[k]) else self.since[k]
        found |= {self.number[key] for key in self.port.held}
        self.since = since
        return sorted(found)
