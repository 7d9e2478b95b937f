"""Machines and demands for the planner, made from a number; the machines that ship, under traffic that is skewed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from burstline.numa.demand import Demand, PacketCost, PortLoad, TableNeed, demand_of, scaled, zipf
from burstline.numa.find import find_topology
from burstline.numa.interconnect import assumed_links
from burstline.numa.pins import Pins
from burstline.numa.problem import Problem
from burstline.numa.synthetic import read_synthetic
from burstline.numa.topology import Topology

NO_PINS = Pins({}, {}, {})
WIDTHS = (6.4, 12.8, 16.0, 20.8, 41.6, 64.0)  # GB/s each way: 8 and 16 bits of HT3, QPI, UPI, several of it, X bus
SHAPES = (
    "pack:1 numa:1(memory=64GB) l3:1(size=16MB) core:8 pu:2", "pack:1 numa:1(memory=64GB) l3:2(size=16MB) core:4 pu:2",
    "pack:2 numa:1(memory=64GB) l3:1(size=20MB) core:4 pu:2", "pack:2 numa:1(memory=64GB) l3:2(size=8MB) core:4 pu:1",
    "pack:3 numa:1(memory=64GB) l3:1(size=20MB) core:4 pu:2", "pack:1 numa:4(memory=32GB) l3:1(size=16MB) core:4 pu:2",
    "pack:2 numa:2(memory=32GB) l3:1(size=8MB) core:4 pu:2", "pack:4 numa:1(memory=64GB) l3:1(size=20MB) core:3 pu:2",
    "pack:5 numa:1(memory=32GB) l3:1(size=16MB) core:2 pu:2", "pack:3 numa:2(memory=32GB) l3:1(size=8MB) core:2 pu:2",
    "pack:7 numa:1(memory=32GB) l3:1(size=16MB) core:2 pu:1", "pack:4 numa:2(memory=16GB) l3:1(size=6MB) core:4 pu:1",
    "pack:8 numa:1(memory=64GB) l3:1(size=20MB) core:2 pu:2",
)  # fmt: skip
MOST_FLOWS = 2_500  # of an exact solution: larger instances take it minutes


@dataclass(frozen=True)
class Instance:
    """One problem for the planner, by its number."""

    name: str
    machine: Topology
    demand: Demand


def random_instance(seed: int) -> Instance:
    """1 to 8 nodes, 1 to 4 ports, 2 to 12 workers; links, controllers and skew differ."""
    chance = random.Random(seed)
    machine = read_synthetic(SHAPES[seed % len(SHAPES)], "last")
    links = tuple(replace(link, bandwidth=chance.choice(WIDTHS), assumed=False) for link in assumed_links(machine))
    speed = chance.choice((25.6, 51.2, 76.8))
    nodes = tuple(replace(n, bandwidth=speed, latency=chance.choice((75.0, 90.0, 105.0))) for n in machine.nodes)
    machine = replace(machine, name=f"random {seed}", nodes=nodes, links=links)
    ports = chance.randint(1, min(4, len(nodes)))
    room = min(12, machine.threads - 1, max(2, MOST_FLOWS // len(nodes) ** 2 // (ports + 1)))
    workers = chance.randint(2, room)
    loads = [
        PortLoad(
            f"port {k}", chance.choice(nodes).number, 1e6 * workers / ports, chance.choice((64, 256, 512, 1500)),
            _shuffled(zipf(workers, chance.uniform(0, 1.2)), chance),
        )
        for k in range(ports)
    ]  # fmt: skip
    tables = [TableNeed("flows", chance.choice((1 << 20, 1 << 26, 1 << 30)), chance.choice((1.0, 2.0, 4.0)))]
    if chance.random() < 0.3:
        tables.append(TableNeed("routes", 1 << 28, 1.0, own=False, writes=False))
    demand = demand_of(loads, workers, tables, PacketCost(chance.choice((30.0, 60.0, 120.0))))
    return Instance(f"random {seed}", machine, loaded(machine, demand, chance.uniform(0.2, 0.8)))


def skewed_instance(machine: str, seed: int) -> Instance:
    """A machine of the corpus under two ports of which one gets most, and queues of which a few get most: workers keep
    0.6 of a core busy on average."""
    chance = random.Random(f"{machine} {seed}")
    found = find_topology(machine)
    per = max(4, min(32, int(len(found.cores) * chance.uniform(0.2, 0.45))))
    homes = [device.node for device in found.devices if device.node is not None]
    size, lines, skew = chance.choice((256, 512, 1024, 1500)), chance.choice((2.0, 4.0, 8.0)), chance.uniform(0.3, 1.0)
    loads = [
        PortLoad(f"port {k}", chance.choice(homes), share * per * 2e6, size, (*k * per * (0.0,), *zipf(per, skew)))
        for k, share in enumerate((0.65, 0.35))
    ]
    demand = demand_of(loads, 2 * per, [TableNeed("flows", 1 << 28, lines)])
    return Instance(f"{machine} {seed}", found, loaded(found, demand, 0.6))


def large_instance(nodes: int = 16, cores: int = 512, queues: int = 256) -> Instance:
    """A machine of so many nodes with links of two widths, half of them with a port."""
    machine = read_synthetic(f"pack:{nodes} numa:1(memory=256GB) l3:4(size=32MB) core:{cores // nodes // 4} pu:1")
    links = assumed_links(machine)
    machine = replace(
        machine, name=f"{nodes} nodes, {cores} cores",
        links=tuple(replace(link, bandwidth=20.8 if k % 3 else 41.6) for k, link in enumerate(links)),
    )  # fmt: skip
    ports = max(1, nodes // 2)
    per = queues // ports
    loads = [
        PortLoad(f"port {k}", 2 * k % nodes, per * 1e6, 512, (*k * per * (0.0,), *zipf(per, 0.8))) for k in range(ports)
    ]
    demand = demand_of(loads, queues, [TableNeed("flows", 1 << 28, 2.0)])
    return Instance(machine.name, machine, loaded(machine, demand, 0.5))


def loaded(machine: Topology, demand: Demand, busy: float) -> Demand:
    """The demand scaled so that its workers, all beside their memory, are busy for such a share of their time."""
    problem = Problem(machine, demand, NO_PINS)
    workers = sum(thread.kind == "worker" for thread in demand.threads)
    return scaled(demand, busy * workers / float(problem.busy.sum() + problem.least_stalls.sum()))


def _shuffled(shares: tuple[float, ...], chance: random.Random) -> tuple[float, ...]:
    made = [*shares]
    chance.shuffle(made)
    return tuple(made)
