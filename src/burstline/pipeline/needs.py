"""What a pipeline needs of each packet, so that nothing else is worked out: which headers, keys, clocks."""

from __future__ import annotations

import dis
from dataclasses import dataclass
from types import CodeType

from burstline.packet.fields import HEADER
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable

_OF_IP = (set(HEADER) - {"eth"}) | {"payload", "proto", "is_fragment", "vlan_depth", "fix_checksums"}


_FIELDS = {field.name for header in HEADER.values() for field in header.fields}


@dataclass(frozen=True)
class Needs:
    full_parse: bool
    eth: bool
    keys: bool  # flow keys and their hashes
    time: bool
    port: bool
    captured: bool
    writes: bool  # stages change packets
    digests: bool  # stages hand records to Python, so that a ring may fill up
    shared: bool  # several workers share one source, and each packet has an owner


def needs_of(pipeline: Pipeline, workers: int = 1) -> Needs:
    """By the names in the stages' code: a name that is none of the packet's costs time, never correctness.

    Several workers over one file need keys to know whose packet it is.
    """
    names: set[str] = set()
    writes = False
    for chain in pipeline.chains:
        for stage in chain.stages:
            for function in reachable(stage.function):
                names.update(function.__code__.co_names)
                writes = writes or _writes(function.__code__)
    keys = workers > 1 or any(isinstance(s, FlowTable) for s in pipeline.state)
    return Needs(
        full_parse=bool(names & _OF_IP),
        eth="eth" in names,
        keys=keys,
        time="time" in names,
        port="port" in names,
        captured="captured" in names,
        writes=writes,
        digests=any(isinstance(s, Digest) for s in pipeline.state),
        shared=workers > 1,
    )


def _writes(code: CodeType) -> bool:
    """It assigns to something called like a header field, or fixes checksums."""
    stored = {str(i.argval) for i in dis.get_instructions(code) if i.opname == "STORE_ATTR"}
    return bool(stored & _FIELDS) or any(name.startswith("fix_checksum") for name in code.co_names)
