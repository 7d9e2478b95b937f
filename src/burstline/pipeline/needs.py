"""What a pipeline needs of each packet, so that nothing else is worked out: which headers, keys, clocks."""

from __future__ import annotations

from dataclasses import dataclass

from burstline.packet.fields import HEADER
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.state.flow_table import FlowTable

_OF_IP = (set(HEADER) - {"eth"}) | {"payload", "proto", "is_fragment", "vlan_depth", "fix_checksums"}


@dataclass(frozen=True)
class Needs:
    full_parse: bool
    eth: bool
    keys: bool  # flow keys and their hashes
    time: bool


def needs_of(pipeline: Pipeline, workers: int = 1) -> Needs:
    """By the names in the stages' code: a name that is none of the packet's costs time, never correctness.

    Several workers over one file need keys to know whose packet it is.
    """
    names: set[str] = set()
    for chain in pipeline.chains:
        for stage in chain.stages:
            for function in reachable(stage.function):
                names.update(function.__code__.co_names)
    keys = workers > 1 or any(isinstance(s, FlowTable) for s in pipeline.state)
    return Needs(bool(names & _OF_IP), "eth" in names, keys, "time" in names)
