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
from burstline.steering.control.flows import Flows, Rates, Traffic
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


def simulate(policy: Policy, trace: Traffic, machine: Machine | None = None, *, seed: int = 0) -> Outcome:
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
        """One epoch, in parts: before and after each time at which updates become effective."""
        machine, out, time = self.machine, self.outcome, epoch * self.step
        end, before = time + self.step, self.cores()
        self.port.take_effect(time)
        cores = self.cores()
        offered = np.asarray(rates(epoch, cores), float)
        by_core, served, cold = (np.zeros(machine.cores) for _ in range(3))
        seen = np.zeros(len(self.flows))
        while True:
            until = min(self.port.next_effect(), end)
            moved = (before != cores) & (offered > 0)
            came = np.bincount(cores, offered, minlength=machine.cores) * (until - time)
            work = np.bincount(cores[moved], minlength=machine.cores) * machine.cold * machine.capacity
            held = np.bincount(cores[moved], offered[moved], minlength=machine.cores) * machine.held
            done = self._queues(epoch, came, work, held, until - time)
            by_core, served, cold = by_core + came, served + done, cold + work
            seen += offered * (until - time) * np.where(came > 0, (done / np.maximum(came, 1e-12)).clip(0, 1), 0)[cores]
            out.held[epoch] += held.sum()
            out.moved[epoch] += moved.sum()
            if until >= end:
                break
            time, before = until, cores
            self.port.take_effect(time)
            cores = self.cores()
        plain = np.bincount(np.array(self.port.rss)[self.buckets], offered, minlength=machine.cores)
        out.offered[epoch] = by_core / self.step
        out.loads[epoch] = (by_core + cold) / machine.capacity / self.step
        out.plain[epoch] = plain / machine.capacity
        out.rules[epoch] = self.port.used
        out.steered[epoch] = bool(self.port.rules) or self.port.reta != list(self.port.rss)
        shown = self._snapshot(end, seen / self.step, by_core / self.step, served, cold, cores)
        self.memory, actions = self.policy.decide(self.memory, shown)
        out.log += [(end, action) for action in actions]
        self.port.take(actions, end, (flow.key for flow in shown.flows))
        out.updates = self.port.updates

    def _queues(self, epoch: int, came: Any, cold: Any, held: Any, lasts: float) -> Any:
        """Packets served in so many seconds. What was held comes at once, when the old queue has drained; the rest
        evenly."""
        machine, out = self.machine, self.outcome
        can = (machine.capacity * lasts - cold).clip(0)
        burst_lost = np.minimum((self.queues + held - machine.queue).clip(0), came)
        after = (self.queues + came - burst_lost - can).clip(0)
        lost = burst_lost + (after - machine.queue).clip(0)
        queues = after.clip(0, machine.queue)
        served = self.queues + came - lost - queues
        busy = np.minimum(came / (machine.capacity * lasts), 0.999) if lasts > 0 else np.zeros(machine.cores)
        waiting = (self.queues + queues) / 2 + busy / (2 * (1 - busy))  # the second part is that of M/D/1
        out.waits[epoch] += np.minimum(waiting, machine.queue) / machine.capacity * (lasts / self.step)
        out.dropped[epoch] += lost
        self.queues = queues
        return served

    def _snapshot(self, time: float, seen: Any, by_core: Any, served: Any, cold: Any, cores: Any) -> Snapshot:
        """Flows and buckets as `seen` by the cores, in packets/s; `by_core` came, `served` and `cold` are packets."""
        machine, flows = self.machine, self.flows
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
