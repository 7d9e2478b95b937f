"""What is simulated: workers on a machine, traffic for them, and the policies that are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from burstline.errors import UsageError
from burstline.numa.balance.balancer import Balancer
from burstline.numa.balance.settings import BalanceSettings
from burstline.numa.simulate.machine import SimulatedMachine, Work
from burstline.numa.simulate.outcome import Outcome
from burstline.numa.simulate.placed import placed, ports_of
from burstline.numa.simulate.policies import Greedy, Policy, StaticRss
from burstline.numa.simulate.simulation import Simulation, Timing
from burstline.numa.simulate.traffic import FAMILIES, FLOWS, Traffic, Wanted
from burstline.numa.topology import Topology

PAPER = 0.1  # seconds between two looks of RSS++, as the paper has it


@dataclass(frozen=True)
class Scenario:
    """`load` is the share of what all workers could do if each had what is best for it; `ports` network devices are
    used, and get equal shares of the traffic."""

    topology: Topology
    workers: int = 8
    placement: str = "spread"
    ports: int = 2
    load: float = 0.8
    seconds: float = 2.0
    flows: int = FLOWS
    buckets: int = 128
    depth: int = 1024
    seed: int = 0
    work: Work = field(default_factory=Work)
    timing: Timing = field(default_factory=Timing)

    def machine(self) -> SimulatedMachine:
        """Raises UsageError."""
        ports = ports_of(self.topology, self.ports)
        return SimulatedMachine(
            self.topology, placed(self.topology, self.workers, ports, self.placement), ports, self.work
        )

    def traffic(self, name: str) -> Traffic:
        """Of a family. Raises UsageError."""
        if name not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise UsageError(
                f"there is no traffic {name!r}, and no such capture", f"write one of {known}, or a capture"
            )
        machine = self.machine()
        rate = self.load * self.workers * 1e9 / machine.alone()
        return FAMILIES[name](Wanted(rate, [1.0] * len(machine.ports), self.seconds, self.flows, self.seed))

    def policy(self, name: str, settings: BalanceSettings | None = None) -> Policy:
        """Raises UsageError."""
        if name not in POLICIES:
            raise UsageError(f"there is no policy {name!r}", f"write one of {', '.join(POLICIES)}, or all")
        return POLICIES[name](self, settings or BalanceSettings())

    def run(self, traffic: Traffic, policy: Policy, seconds: float | None = None) -> Outcome:
        """The policy over traffic, from RSS as drivers set it up."""
        made = Simulation(
            self.machine(), traffic, policy, buckets=self.buckets, depth=self.depth, timing=self.timing, seed=self.seed
        )
        return made.run(seconds)

    def compare(self, traffic: Traffic, names: Sequence[str], settings: BalanceSettings | None = None) -> list[Outcome]:
        """Each over the same traffic."""
        return [self.run(traffic, self.policy(name, settings)) for name in names]

    def _balancer(self, settings: BalanceSettings) -> Balancer:
        machine = self.machine()
        homes = np.repeat(np.arange(len(machine.ports)), self.buckets)
        timing = replace(settings, look=self.timing.look, held=self.timing.held)
        return Balancer(machine.places(homes.tolist()), timing)


POLICIES: Mapping[str, Callable[[Scenario, BalanceSettings], Policy]] = {
    "static": lambda scenario, settings: StaticRss(),
    "greedy": lambda scenario, settings: Greedy(),
    "greedy-100ms": lambda scenario, settings: Greedy(PAPER, name="RSS++, each 100 ms"),
    "balancer": lambda scenario, settings: scenario._balancer(settings),
}
