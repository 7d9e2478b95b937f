"""Whether stages write to packets: then a capture is not mapped, and what a port found of checksums does not last."""

from __future__ import annotations

import dis
from types import CodeType, FunctionType

from burstline.packet.fields import HEADER
from burstline.pipeline.code_values import walk
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.pipeline.things import PACKET, UNKNOWN, Call, Touch, Values, both

_FIELDS = {field.name for header in HEADER.values() for field in header.fields}


def writes_packets(pipeline: Pipeline) -> bool:
    """A stage fixes checksums, stores vectors, or assigns to a field of a header, or to what is called like one and may
    be one. A record's `flags` are none."""
    names = _FIELDS | {field.name for protocol in pipeline.protocols for field in protocol.fields.fields}
    return any(_writes(stage.function, names) for chain in pipeline.chains for stage in chain.stages)


def stored(code: CodeType) -> set[str]:
    """Names of the attributes that are assigned to."""
    return {str(i.argval) for i in dis.get_instructions(code) if i.opname == "STORE_ATTR"}


def _writes(function: FunctionType, names: set[str]) -> bool:
    codes = [each.__code__ for each in reachable(function)]
    if any(name == "store" or name.startswith("fix_checksum") for code in codes for name in code.co_names):
        return True
    return any(stored(code) & names for code in codes) and _assigns(function, names)


def _assigns(function: FunctionType, names: set[str]) -> bool:
    """Assigns to a header, or to something of which nothing is known. (Variables of compiled code have one type: what
    is a record on one way through a function is no header on another.)"""
    returned: dict[Call, Values] = {}
    found = False

    def result(call: Call) -> Values:
        nonlocal found
        if call not in returned:
            returned[call] = UNKNOWN  # what a function that calls itself is taken for
            walked = walk(call, [], result)
            touches = [step for steps in walked.steps for step in steps if isinstance(step, Touch)]
            found = found or any(t.is_write and isinstance(t.owner, str) and t.field in names for t in touches)
            for values in walked.returned:
                returned[call] = both(returned[call], values or UNKNOWN)
        return returned[call]

    result(Call(function, (PACKET,)))
    return found
