"""The control-flow graph of a function's code, and how often each block runs, guessed without running it.

Branches are guessed by heuristics of T. Ball and J. R. Larus, "Branch prediction for free", PLDI 1993. Their evidence
is combined, and carried through loops, as by Y. Wu and J. R. Larus, "Static branch frequency and program profile
analysis", MICRO 1994; the rates are those that they measured.
"""

from __future__ import annotations

import dis
import functools
from dataclasses import dataclass
from types import CodeType

from burstline.pipeline.profile import Taken

LOOPS = 0.88  # a loop goes round again
STAYS = 0.80  # a branch does not leave the loop
GOES_ON = 0.72  # a branch does not lead to a return
DIFFERS = 0.84  # two things that are compared are not equal
MOST = 1 / (1 - LOOPS) ** 3  # runs of a block: of loops in loops, three count

_ALWAYS = ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_NO_INTERRUPT")
_RETURNS = ("RETURN_VALUE", "RETURN_CONST")
_ENDS = (*_RETURNS, "RAISE_VARARGS", "RERAISE")
_JUMPS = frozenset((*dis.hasjrel, *dis.hasjabs))


@dataclass(frozen=True)
class Edge:
    """To another block, by a jump or by going on, `rate` of the times that the block runs."""

    to: int
    jumps: bool
    rate: float
    is_back: bool


@dataclass(frozen=True)
class Block:
    instructions: tuple[dis.Instruction, ...]
    edges: tuple[Edge, ...]
    onward: tuple[tuple[int, float], ...]  # the same for paths that go round each loop once
    runs: float  # for one call

    @property
    def last(self) -> dis.Instruction:
        return self.instructions[-1]

    @property
    def returns(self) -> bool:
        return self.last.opname in _RETURNS


@dataclass(frozen=True)
class FlowGraph:
    """Blocks that can be reached, the first one first, each after those that lead to it, but for edges back."""

    blocks: tuple[Block, ...]


def flow_graph(code: CodeType, taken: Taken | None = None) -> FlowGraph:
    """Handlers of exceptions are left out: they are not where packets go. `taken` is how often control went from one
    block to another; blocks that it has nothing of are guessed."""
    return _graph(code, None if taken is None else tuple(sorted(taken.items())))


@functools.lru_cache(maxsize=1024)
def _graph(code: CodeType, taken: tuple[tuple[tuple[int, int], int], ...] | None) -> FlowGraph:
    pieces, ways = _pieces(code)
    order = _order([[to for to, _ in each] for each in ways])
    rank = {block: place for place, block in enumerate(order)}
    back = {(u, v) for u in order for v, _ in ways[u] if rank[v] <= rank[u]}
    loops = {head: _loop(head, back, ways) for _, head in sorted(back)}
    rates = [_rates(u, pieces, ways, back, loops) for u in range(len(pieces))]
    onward = [_onward(u, ways, rates, back, loops) for u in range(len(pieces))]
    # What comes behind a loop comes behind its last block too.
    order = _order([[v for v, _ in (*ways[u], *onward[u]) if (u, v) not in back] for u in range(len(pieces))])
    number = {old: new for new, old in enumerate(order)}
    if taken is not None:
        counts = dict(taken)
        for u in order:
            rates[u] = _measured([counts.get((number[u], number[v]), 0) for v, _ in ways[u]], rates[u])
        onward = [_onward(u, ways, rates, back, loops) for u in range(len(pieces))]
    runs = _runs(order, ways, rates, back)
    return FlowGraph(
        tuple(
            Block(
                tuple(pieces[u]),
                tuple(Edge(number[v], j, r, (u, v) in back) for (v, j), r in zip(ways[u], rates[u], strict=True)),
                tuple((number[v], rate) for v, rate in onward[u]),
                runs[u],
            )
            for u in order
        )
    )


def _measured(counts: list[int], guessed: list[float]) -> list[float]:
    """Rates from counts, of which each has half a one more: what did not happen yet still may."""
    total = sum(counts)
    if not total:
        return guessed
    return [(n + 0.5) / (total + 0.5 * len(counts)) if len(counts) > 1 else 1.0 for n in counts]


def _pieces(code: CodeType) -> tuple[list[list[dis.Instruction]], list[list[tuple[int, bool]]]]:
    """Runs of instructions between jumps and their targets, and where each leads: to which, and whether by a jump."""
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    starts = {instructions[0].offset}
    for i, following in zip(instructions, [*instructions[1:], None], strict=True):
        if i.opcode in _JUMPS:
            starts.add(i.argval)
        if following and (i.opcode in _JUMPS or i.opname in _ENDS):
            starts.add(following.offset)
    pieces: list[list[dis.Instruction]] = []
    at: dict[int, int] = {}
    pending: list[int] = []  # targets that only left-out instructions stood for
    for i in instructions:
        pending += [start for start in sorted(starts) if start <= i.offset and start not in at]
        if pending:
            at |= dict.fromkeys(pending, len(pieces))
            pending = []
            pieces.append([])
        pieces[-1].append(i)
    ways: list[list[tuple[int, bool]]] = []
    for k, piece in enumerate(pieces):
        last, found = piece[-1], []
        if last.opname not in (*_ENDS, *_ALWAYS) and k + 1 < len(pieces):
            found.append((k + 1, False))
        if last.opcode in _JUMPS:
            found.append((at[last.argval], True))
        ways.append(found)
    return pieces, ways


def _order(ways: list[list[int]]) -> list[int]:
    """Reverse postorder of what can be reached from the first block."""
    seen, order = {0}, []
    stack = [(0, iter(ways[0]))]
    while stack:
        block, left = stack[-1]
        for to in left:
            if to not in seen:
                seen.add(to)
                stack.append((to, iter(ways[to])))
                break
        else:
            order.append(block)
            stack.pop()
    return order[::-1]


def _loop(head: int, back: set[tuple[int, int]], ways: list[list[tuple[int, bool]]]) -> set[int]:
    """The blocks of the natural loop of a head."""
    before: dict[int, list[int]] = {}
    for u, each in enumerate(ways):
        for v, _ in each:
            before.setdefault(v, []).append(u)
    found, waiting = {head}, [u for u, v in back if v == head]
    while waiting:
        block = waiting.pop()
        if block not in found:
            found.add(block)
            waiting += before.get(block, [])
    return found


def _rates(
    block: int,
    pieces: list[list[dis.Instruction]],
    ways: list[list[tuple[int, bool]]],
    back: set[tuple[int, int]],
    loops: dict[int, set[int]],
) -> list[float]:
    """How often each way out of a block is taken."""
    if len(ways[block]) < 2:
        return [1.0] * len(ways[block])
    (onward, _), (jump, _) = ways[block]
    taken = 0.5
    for rate in _evidence(block, onward, jump, pieces, back, loops):
        taken = taken * rate / (taken * rate + (1 - taken) * (1 - rate))  # Dempster and Shafer's rule
    return [1 - taken, taken]


def _evidence(
    block: int,
    onward: int,
    jump: int,
    pieces: list[list[dis.Instruction]],
    back: set[tuple[int, int]],
    loops: dict[int, set[int]],
) -> list[float]:
    """What each heuristic that has a say gives for the jump."""
    found = []
    leaves = [any(block in body and to not in body for body in loops.values()) for to in (onward, jump)]
    if ((block, jump) in back) != ((block, onward) in back):
        found.append(LOOPS if (block, jump) in back else 1 - LOOPS)
    elif leaves[0] != leaves[1]:
        is_head = block in loops and pieces[block][-1].opname == "FOR_ITER"
        stays = LOOPS if is_head else STAYS
        found.append(1 - stays if leaves[1] else stays)
    else:
        ends = [pieces[to][-1].opname in _RETURNS for to in (onward, jump)]
        if ends[0] != ends[1]:
            found.append(1 - GOES_ON if ends[1] else GOES_ON)
    equal = _jumps_if_equal(pieces[block])
    if equal is not None:
        found.append(1 - DIFFERS if equal else DIFFERS)
    return found


def _jumps_if_equal(piece: list[dis.Instruction]) -> bool | None:
    """Whether the jump that ends a block is taken when two things are equal; None when that is not the question."""
    last, *before = [i for i in piece[::-1] if i.opname != "TO_BOOL"]
    if not before or before[0].opname != "COMPARE_OP" or before[0].argval not in ("==", "!="):
        return None
    if "IF_TRUE" not in last.opname and "IF_FALSE" not in last.opname:
        return None
    is_equal: bool = before[0].argval == "=="
    return ("IF_TRUE" in last.opname) == is_equal


def _runs(
    order: list[int], ways: list[list[tuple[int, bool]]], rates: list[list[float]], back: set[tuple[int, int]]
) -> list[float]:
    """How often each block runs for one call: what comes in is handed on until nothing changes."""
    runs = [0.0] * len(ways)
    for _ in range(1000):
        found = [0.0] * len(ways)
        found[0] = 1.0
        for u, v in sorted(back):
            found[v] += sum(runs[u] * rate for (to, _), rate in zip(ways[u], rates[u], strict=True) if to == v)
        for u in order:
            found[u] = min(found[u], MOST)
            for (v, _), rate in zip(ways[u], rates[u], strict=True):
                if (u, v) not in back:
                    found[v] += found[u] * rate
        if all(abs(a - b) < 1e-6 for a, b in zip(runs, found, strict=True)):
            break
        runs = found
    return runs


def _onward(
    block: int,
    ways: list[list[tuple[int, bool]]],
    rates: list[list[float]],
    back: set[tuple[int, int]],
    loops: dict[int, set[int]],
) -> tuple[tuple[int, float], ...]:
    """The ways out with edges back replaced by what leaves the loop, so that each path comes to an end."""
    kept = [(v, rate) for (v, _), rate in zip(ways[block], rates[block], strict=True) if (block, v) not in back]
    if not kept and ways[block]:
        body = loops[ways[block][0][0]]
        inside = [ways[block][0][0], *sorted(body)]  # the head's own way out, before breaks
        for u in inside:
            kept = [(v, r) for (v, _), r in zip(ways[u], rates[u], strict=True) if v not in body]
            if kept:
                break
    total = sum(rate for _, rate in kept)
    return tuple((v, rate / total) for v, rate in kept)
