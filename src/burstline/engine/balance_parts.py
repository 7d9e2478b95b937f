"""The balancer of a live run, with what it knows of the machine and of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burstline.engine.config import Config
from burstline.engine.learned_costs import file_of, learned_costs
from burstline.engine.live_balance import LiveBalance
from burstline.engine.live_learning import LiveLearning
from burstline.engine.moves.flow_moves import FlowMoves, PortsWithMoves
from burstline.errors import UsageError
from burstline.numa.balance.places import Places
from burstline.numa.cost_model import CostModel
from burstline.numa.interconnect import LATENCY, Interconnect
from burstline.numa.learned.advice import Tuning
from burstline.numa.learned.features import Prior
from burstline.numa.learned.store import load
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
    hops, prior = [0.0] * len(cores), Prior()
    known = machine if machine is not None and all(core in machine.core_of for core in cores) else None
    if known is not None:
        graph = Interconnect.of(known)
        at = known.index[home]
        hops = [float(graph.hops[known.index[known.core_of[core].node], at]) for core in cores]
        l3 = max((cache.size for cache in known.caches), default=0)
        prior = Prior(latency=float(graph.latencies[at, at]) or LATENCY, l3=l3 or Prior().l3)

    def learning(pipeline: Pipeline) -> LiveLearning:
        file = file_of(pipeline)
        tables = sum(state.capacity for state in pipeline.state if isinstance(state, FlowTable))
        return LiveLearning(
            load(file, prior), hops, 64.0 * tables, file,
            Tuning(
                burst=config.engine.most_burst, idle="poll" if config.engine.idle == "poll" else "adaptive",
                hop_weight=learned_costs(config, pipeline).hop_weight,
            ),
            acts=settings.tune and settings.act == "on",
        )  # fmt: skip

    def places(weight: float) -> Places:
        if known is None:
            return Places.alike(len(cores), len(ports.reta))
        return Places.of(known, cores, [home] * len(ports.reta), model=CostModel(hop_weight=weight))

    return LiveBalance(
        settings, places, learning, pipeline, ports, cores,
        missed=missed, records=lambda: moves.records, say=say, source=source,
    )  # fmt: skip


def _home(machine: Topology | None, cores: Sequence[int], nodes: Sequence[int]) -> int:
    """The node of the first port that tells it, else of the first worker."""
    told = [node for node in nodes if node >= 0 and machine is not None and node in machine.index]
    if told:
        return told[0]
    return machine.core_of[cores[0]].node if machine is not None and cores[0] in machine.core_of else 0
