"""Whether a burst is bucketed by next chain: all its packets go through one chain before any goes through the next.

A jump to one of several chains that no predictor can tell costs a misprediction for most packets; a bucket costs a
store and a load, also where the jump would have been predicted (measured: docs/dispatch.md). Vector packet processing
does it at every node; we do where a stage leads to so many chains that guessing rarely helps.
"""

from __future__ import annotations

from burstline.pipeline.needs import makes_packets
from burstline.pipeline.pipeline import Pipeline, reachable, targets
from burstline.pipeline.references import references
from burstline.state.base import State
from burstline.state.count_min import CountMin
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable
from burstline.state.hash_table import HashTable
from burstline.state.heavy_hitters import HeavyHitters
from burstline.state.meter import Meter

WAYS = 4  # chains that a stage leads to: measured, fewer lose more on predictable traffic than they gain on the other
ORDERED = (FlowTable, HashTable, Meter, CountMin, HeavyHitters)  # state whose answers depend on which packet came first
MOST_CHAINS = 16  # room in the burst's `buckets` column


def worth_bucketing(pipeline: Pipeline) -> bool:
    """A stage leads to so many chains that buckets are taken unless told otherwise."""
    return any(len(set(map(id, targets(stage)))) >= WAYS for chain in pipeline.chains for stage in chain.stages)


def against_bucketing(pipeline: Pipeline, workers: int) -> str | None:
    """Why a burst cannot be bucketed without changing what its stages see, or None.

    The order of packets is kept within a chain, not between chains: so no two of them may share what depends on it.
    """
    if len(pipeline.chains) < 2:
        return "there is one chain only"
    if len(pipeline.chains) > MOST_CHAINS:
        return f"there are more than {MOST_CHAINS} chains"
    if workers > 1:
        return "several workers share the packets of a chunk"
    if makes_packets(pipeline):
        return "packets that stages make leave in the order of those that they are made of"
    users: dict[int, tuple[State, set[int]]] = {}  # by number: several chains may have one name
    callers: dict[int, set[int]] = {}
    for number, chain in enumerate(pipeline.chains):
        for stage in chain.stages:
            for target in targets(stage):
                callers.setdefault(id(target), set()).add(number)
            for function in reachable(stage.function):
                for _, value in references(function):
                    if isinstance(value, FlowTable) and value.times:
                        return "timeouts go by the order of packets"
                    if isinstance(value, ORDERED):
                        users.setdefault(id(value), (value, set()))[1].add(number)
                    elif isinstance(value, Digest):
                        return "digests are in the order of packets"
    for state, numbers in users.values():
        if len(numbers) > 1:
            names = sorted(pipeline.chains[number].name for number in numbers)
            return f"chains {' and '.join(names)} share a {type(state).__name__}, which goes by the order of packets"
    for chain in pipeline.chains[1:]:
        if len(callers[id(chain)]) > 1:
            return f"packets come to chain {chain.name} from several chains"
    return None
