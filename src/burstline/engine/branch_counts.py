"""How often each branch in the stages' code is taken: counted while they run interpreted, step by step."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from burstline.engine.interpreter import Interpreter
from burstline.pipeline.flow_graph import flow_graph
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.pipeline.profile import BranchCounts, code_key

PREFIX = dis.opmap["EXTENDED_ARG"]
SECONDS = 2.0  # of packets: some ten thousands


def count_branches(pipeline: Pipeline, path: str | Path) -> BranchCounts:
    """Run the stages over the first packets of a capture, for about two seconds. All state is as before a run after
    it."""
    codes = {f.__code__ for chain in pipeline.chains for stage in chain.stages for f in reachable(stage.function)}
    interpreter = Interpreter(pipeline, str(path))
    with counted(codes) as counts:
        interpreter.run_file(str(path), None, SECONDS, None)
    for state in pipeline.state:
        state.reset()
    return {code_key(code): taken for code, taken in counts.items() if taken}


@contextmanager
def counted(codes: set[CodeType]) -> Iterator[dict[CodeType, dict[tuple[int, int], int]]]:
    """While the block runs in this thread, how often control goes from one block of a function to another, by their
    numbers in its `FlowGraph`."""
    counts: dict[CodeType, dict[tuple[int, int], int]] = {code: {} for code in codes}
    entries = {code: _entries(code) for code in codes}

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code not in entries:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        starts, taken = entries[frame.f_code], counts[frame.f_code]
        here, before = 0, -1  # the block, and the offset by which it was entered; the first is begun by the call

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal here, before
            if event == "opcode" and (block := starts.get(frame.f_lasti, -1)) >= 0:
                at = frame.f_lasti
                if not (block == here and 0 <= before < at):  # not the prefix of the same instruction
                    taken[here, block] = taken.get((here, block), 0) + 1
                here, before = block, at
            elif event == "opcode":
                before = -1
            return step

        return step

    old = sys.gettrace()
    sys.settrace(enter)
    try:
        yield counts
    finally:
        sys.settrace(old)


def _entries(code: CodeType) -> dict[int, int]:
    """The offsets at which blocks begin: of their first instruction, or of the prefixes that it has."""
    found: dict[int, int] = {}
    for number, block in enumerate(flow_graph(code).blocks):
        first = block.instructions[0]
        found[first.offset] = number
        at = first.offset - 2
        while at >= 0 and code.co_code[at] == PREFIX:
            found[at] = number
            at -= 2
    return found
