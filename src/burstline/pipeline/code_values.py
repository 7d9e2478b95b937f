"""What the values in a function's code are, followed through its variables and Python's stack, without running it.

Of what is not told apart nothing is known, `()`. A value that may be several things is all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from burstline.pipeline.flow_graph import Block, flow_graph
from burstline.pipeline.instructions import Frame, Machine
from burstline.pipeline.profile import BranchCounts, code_key
from burstline.pipeline.references import references
from burstline.pipeline.things import Call, Step, Values
from burstline.state.base import State


class Walk(NamedTuple):
    """What each block of a function does, in order, and the values that it returns where it ends the function."""

    blocks: tuple[Block, ...]
    steps: tuple[tuple[Step, ...], ...]
    returned: tuple[Values | None, ...]


def walk(
    call: Call, records: list[State], result: Callable[[Call], Values], branches: BranchCounts | None = None
) -> Walk:
    """Follow the values of a function that is called. An attribute of something that is not known counts as a field of
    all `records` that have one of that name; `result` tells what a call within it returns."""
    function: Any = call.function  # a type checker takes it for a method of the tuple
    taken = branches.get(code_key(function.__code__)) if branches else None
    blocks = flow_graph(function.__code__, taken).blocks
    names = dict(zip(function.__code__.co_varnames, call.arguments, strict=False))
    entered: list[Frame | None] = [Frame(names, [])] + [None] * (len(blocks) - 1)
    machine = Machine(dict(references(function)), records, result)
    steps: list[tuple[Step, ...]] = [()] * len(blocks)
    returned: list[Values | None] = [None] * len(blocks)
    for _ in range(8):  # loops: values only grow, by few things
        changed = False
        for k, block in enumerate(blocks):
            frame = entered[k]
            if frame is None:
                continue
            done, steps[k], returned[k] = machine.run(block, frame)
            for edge in block.edges:
                new = done.after(block.last, edge.jumps).joined(entered[edge.to])
                changed = changed or (edge.is_back and new != entered[edge.to])
                entered[edge.to] = new
        if not changed:
            break
    return Walk(blocks, tuple(steps), tuple(returned))
