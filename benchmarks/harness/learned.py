"""Workers of a simulation as the learned cost model sees them, while load, skew and flows change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from burstline.numa.find import find_topology
from burstline.numa.interconnect import Interconnect
from burstline.numa.learned.features import RECORD, Features, Prior
from burstline.numa.learned.model import CostOfPackets
from burstline.numa.simulate.events import BURST
from burstline.numa.simulate.machine import SimulatedMachine, Work
from burstline.numa.simulate.placed import placed, ports_of
from burstline.numa.simulate.scenario import Scenario
from burstline.numa.simulate.simulation import Simulation, Timing
from burstline.numa.simulate.traffic import FLOWS, Traffic, zipf

WORKERS, SECONDS, LOOK, WORK = 4, 70.0, 0.1, Work(ns=1500.0)
LEARNED = 60.0  # seconds; errors are those of the time after
EACH = 400.0  # flows that stand behind one of the simulation


@dataclass(frozen=True)
class Measured:
    """Mean absolute errors, as shares, of the last seconds: of the prior, and of the model in use."""

    prior: float
    ours: float
    is_on: bool
    switched: int


def changing(ports: int, rate: float, seconds: float, seed: int) -> Traffic:
    """Another load, from a fifth to all of `rate`, and other heavy flows each second."""
    chance = np.random.default_rng(seed)
    flows = FLOWS // 2
    hashes, by_port = chance.integers(0, 1 << 32, flows), chance.integers(0, ports, flows)
    parts = tuple(
        (float(start), zipf(chance, flows, float(chance.uniform(0.2, 0.9))) * rate * float(chance.uniform(0.2, 1.0)))
        for start in range(int(seconds))
    )
    return Traffic("changing", hashes, by_port, seconds, parts, each=EACH)


def samples(machine: str, seed: int, seconds: float = SECONDS) -> Iterator[tuple[float, Features, float]]:
    """When, what a worker was seen to do, and what its packets cost, ns; of each worker at each look."""
    topology = find_topology(machine)
    ports = ports_of(topology, 2)
    made = SimulatedMachine(topology, placed(topology, WORKERS, ports), ports, WORK)
    hops = Interconnect.of(topology).hops
    scenario = Scenario(topology, WORKERS, work=WORK, timing=Timing(look=LOOK))
    traffic = changing(len(ports), 0.9 * WORKERS * 1e9 / made.alone(), seconds, seed)
    run = Simulation(made, traffic, scenario.policy("balancer"), timing=scenario.timing, seed=seed)
    nodes = np.array([topology.index[topology.core_of[cpu].node] for cpu in made.cpus])
    homes = np.array([topology.index[node] for node in ports])
    for number in range(round(seconds / LOOK)):
        counts = run._counts.copy()
        where = run.where.copy()
        run.look(number)
        of_flow = run._counts - counts
        packets = np.bincount(where, of_flow, minlength=WORKERS)
        far = np.bincount(where, of_flow * hops[nodes[where], homes[run._homes]], minlength=WORKERS)
        flows = np.bincount(where, of_flow > 0, minlength=WORKERS) * EACH
        for w, worker in enumerate(run.seen.workers):
            if worker.packets > 100 and packets[w]:
                seen = Features(
                    worker.packets,
                    float(flows[w]),
                    float(far[w] / packets[w]),
                    worker.fill,
                    float(flows[w] * RECORD),
                    BURST,
                )
                yield (number + 1) * LOOK, seen, worker.ns


def measured(machine: str, seed: int, prior: Prior, seconds: float = SECONDS, learned: float = LEARNED) -> Measured:
    """Each sample is predicted before it is learned from."""
    model, off = CostOfPackets(prior), []
    for time, seen, ns in samples(machine, seed, seconds):
        if time > learned:
            off.append((abs(prior.predict(seen) - ns) / ns, abs(model.predict(seen) - ns) / ns))
        model = model.learn(seen, ns)
    by_prior, ours = np.mean(off, axis=0).tolist()
    return Measured(by_prior, ours, model.is_on, len(model.log))


def prior_of(machine: str, *, knows_work: bool) -> Prior:
    """The analytic model, with what computing costs, or with what the planner takes it to be."""
    topology = find_topology(machine)
    graph = Interconnect.of(topology)
    l3 = max((cache.size for cache in topology.caches), default=0) or 32 << 20
    ns = WORK.ns if knows_work else Prior().ns
    return Prior(ns, WORK.poll_ns, WORK.lines, float(graph.latencies[0, 0]), l3)
