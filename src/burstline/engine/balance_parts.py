"""The balancer of a live run, with what it knows of the machine and of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burstline.engine.config import Config
from burstline.engine.live_balance import LiveBalance
from burstline.engine.live_learning import LiveLearning
from burstline.engine.moves.flow_moves import FlowMoves, PortsWithMoves
from burstline.errors import UsageError
from burstline.numa.balance.places import Places
from burstline.numa.interconnect import LATENCY, Interconnect
from burstline.numa.learned.advice import Tuning
from burstline.numa.learned.features import Prior
from burstline.numa.learned.store import load, path_of
from burstline.numa.sysfs import read_sysfs
from burstline.numa.topology import Topology
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_table import FlowTable


def balance(
    config: Config,
    pipeline: Pipeline,
    moves: FlowMoves,
    cores: Sequence[int],
    nodes: Sequence[int],
    *,
    missed: Callable[[], int],
    say: Callable[[str], None] | None,
    source: str,
) -> LiveBalance:
    """For ports on these nodes, less than 0 where nobody tells. Raises UsageError."""
    ports, settings = PortsWithMoves(moves), config.numa_balance
    if not ports.limits.reta_size:
        raise UsageError(
            "the balancer moves buckets, and the ports have none that move",
            'write steer = "software" for them in [[ports]], or act = "off" below [numa_balance]',
        )
    try:
        machine: Topology | None = read_sysfs()
    except (UsageError, OSError):  # a container without /sys
        machine = None
    home = _home(machine, cores, nodes)
    places = Places.alike(len(cores), len(ports.reta))
    hops, prior = [0.0] * len(cores), Prior()
    if machine is not None and all(core in machine.core_of for core in cores):
        places = Places.of(machine, cores, [home] * len(ports.reta))
        graph = Interconnect.of(machine)
        at = machine.index[home]
        hops = [float(graph.hops[machine.index[machine.core_of[core].node], at]) for core in cores]
        l3 = max((cache.size for cache in machine.caches), default=0)
        prior = Prior(latency=float(graph.latencies[at, at]) or LATENCY, l3=l3 or Prior().l3)
    stages = [stage.name for chain in pipeline.chains for stage in chain.stages]
    file = path_of(stages)
    tables = sum(state.capacity for state in pipeline.state if isinstance(state, FlowTable))
    learning = LiveLearning(
        load(file, prior), hops, 64.0 * tables, file,
        Tuning(burst=config.engine.most_burst, idle="poll" if config.engine.idle == "poll" else "adaptive"),
        acts=settings.tune and settings.act == "on",
    )  # fmt: skip
    return LiveBalance(
        settings, places, learning, ports, cores, missed=missed, records=lambda: moves.records, say=say, source=source
    )


def _home(machine: Topology | None, cores: Sequence[int], nodes: Sequence[int]) -> int:
    """The node of the first port that tells it, else of the first worker."""
    told = [node for node in nodes if node >= 0 and machine is not None and node in machine.index]
    if told:
        return told[0]
    return machine.core_of[cores[0]].node if machine is not None and cores[0] in machine.core_of else 0
