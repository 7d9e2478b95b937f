"""The graph of stages as LLVM functions, written as IR text: one for each region.

A hop is the code around one stage: it calls the stage's body, which is inlined into it, and looks at the verdict. The
way on is a branch within a region, and between regions `musttail` under `preserve_nonecc`, a jump with the packet in
registers (LLVM Language Reference, "Calling Conventions"). *Called*, for comparison, it is a plain call in C's
convention, and a return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from burstline.compiler.regions import Node, Regions
from burstline.native.build import Compiled
from burstline.pipeline.verdict import CHAINED, CONSUMED, DROPPED, KIND_BITS, SENT

ENTER, ENTER_CHAIN = "burstline_enter", "burstline_enter_chain"
EDGES = "burstline_edges"  # a worker's counters of edges, where they are counted
BURST_CLASS = "burstline_burst_class"  # a worker's cell that says the class of its burst, where costs are counted
PORTS = 64  # ports that are told apart when edges are counted


@dataclass(frozen=True)
class Hop:
    """One stage at its place."""

    stage: str
    body: Compiled
    size: int  # LLVM instructions before they are optimised, with the functions that it calls
    drop: int  # number of the reason "dropped by this stage"
    error: int  # of the reason "this stage failed"
    chains: tuple[int, ...] = ()  # the chains that it can hand packets to


@dataclass
class EdgeCounters:
    """The ways out of each hop, as counters of 64 bits behind each other: (chain, place, kind, what it leads to). And
    what its stage costs, as cycles and packets "timed", by the class of the burst."""

    chains: int
    reasons: Sequence[str]
    ways: bool
    classes: int  # of bursts whose costs are told apart; 0: costs are not counted
    edges: list[tuple[int, int, str, str]] = field(default_factory=list)

    def add(self, node: Node) -> dict[str, int]:
        """Counters for all ways out of a hop: the number of the first one of each kind."""
        first = {}
        for kind in ("cycles", "timed") if self.classes else ():
            first[kind] = len(self.edges)
            self.edges += [(*node, kind, str(k)) for k in range(self.classes)]
        if not self.ways:
            return first
        ways = [("next", ""), ("error", ""), ("consume", "")]
        for kind, names in (
            ("chain", [str(k) for k in range(self.chains)]),
            ("drop", self.reasons),
            ("send", [str(k) for k in range(PORTS)]),
        ):
            first[kind] = len(self.edges) + len(ways)
            ways += [(kind, name) for name in names]
        first |= {kind: len(self.edges) + k for k, (kind, _) in enumerate(ways[:3])}
        self.edges += [(*node, kind, to) for kind, to in ways]
        return first


def hop_name(chain: int, place: int) -> str:
    return f"hop_{chain}_{place}"


def chain_ir(chains: Sequence[Sequence[Hop]], regions: Regions, counters: EdgeCounters | None = None) -> str:
    """All regions and the ways in; chain 0 is entered first. Bucketed, a packet for another chain comes back with it as
    its verdict, and `ENTER_CHAIN` takes it on."""
    parts = [
        f'declare i32 @"{symbol}"(ptr, ptr, i64, i64)' for symbol in sorted({h.body.symbol for c in chains for h in c})
    ]
    if counters:
        parts.append(f"@{EDGES} = external global i64")
        if counters.classes:
            parts.append(f"@{BURST_CLASS} = external global i64\ndeclare i64 @llvm.readcyclecounter()")
    made = _Graph(chains, regions, counters)
    parts += [made.region(group) for group in regions.groups]
    parts.append(
        f"""
define i64 @{ENTER}(i64 %burst, i64 %i) alwaysinline {{
  %verdict = call {made.convention} i64 @{hop_name(0, 0)}(i64 %burst, i64 %i)
  ret i64 %verdict
}}"""
    )
    if regions.dispatch == "bucketed":
        parts.append(_enter_chain(len(chains)))
    return "\n".join(parts)


def _enter_chain(count: int) -> str:
    cases = " ".join(f"i64 {k}, label %chain{k}" for k in range(1, count))
    blocks = "".join(
        f"""
chain{k}:
  %verdict{k} = call preserve_nonecc i64 @{hop_name(k, 0)}(i64 %burst, i64 %i)
  ret i64 %verdict{k}"""
        for k in range(1, count)
    )
    return f"""
define i64 @{ENTER_CHAIN}(i64 %burst, i64 %i, i64 %chain) alwaysinline {{
  switch i64 %chain, label %none [ {cases} ]{blocks}
none:
  unreachable
}}"""


class _Graph:
    def __init__(self, chains: Sequence[Sequence[Hop]], regions: Regions, counters: EdgeCounters | None) -> None:
        self.chains, self.regions, self.counters = chains, regions, counters
        called = regions.dispatch == "called"
        self.convention = "" if called else "preserve_nonecc"
        self.how = "notail" if called else "musttail"

    def region(self, nodes: Sequence[Node]) -> str:
        """A function that is entered at its first node."""
        inside = set(nodes)
        alone = len(self.regions.groups) == 1 or self.regions.dispatch == "bucketed"
        inline = "alwaysinline" if alone else "noinline"
        blocks = "\n".join(self._hop(node, inside) for node in nodes)
        return f"""
define internal {self.convention} i64 @{hop_name(*nodes[0])}(i64 %burst, i64 %i) {inline} {{
  %result = alloca i64
  %exception = alloca ptr
  br label %{hop_name(*nodes[0])}
{blocks}
}}"""

    def _hop(self, node: Node, inside: set[Node]) -> str:
        """A stage's blocks. Its name is before those of all values, since others are in the same function."""
        chain, place = node
        hop, n = self.chains[chain][place], hop_name(*node)
        first = self.counters.add(node) if self.counters else {}
        following = (chain, place + 1) if place + 1 < len(self.chains[chain]) else None
        onward = self._go(n, "next", following, inside, first.get("next")) if following else ""
        if not following:
            onward = f"\n{n}.next:{self._count(n, 'next', first.get('next'))}\n  ret i64 0"
        cases = "".join(f"\n    i64 {CHAINED | k << KIND_BITS}, label %{n}.chain{k}" for k in hop.chains)
        jumps = "".join(
            self._go(n, f"chain{k}", (k, 0), inside, first["chain"] + k if "chain" in first else None)
            for k in hop.chains
        )
        drop = first["drop"] + hop.drop if "drop" in first else None
        return f"""{n}:{self._look(n, "before", first)}
  %{n}.status = call i32 @"{hop.body.symbol}"(ptr %result, ptr %exception, i64 %burst, i64 %i){self._time(n, first)}
  %{n}.failed = icmp ne i32 %{n}.status, 0
  br i1 %{n}.failed, label %{n}.error, label %{n}.ended, !prof !{{!"branch_weights", i32 1, i32 1000}}
{n}.ended:
  %{n}.verdict = load i64, ptr %result
  switch i64 %{n}.verdict, label %{n}.decided [
    i64 0, label %{n}.next
    i64 {DROPPED}, label %{n}.dropped{cases}
  ]{onward}{jumps}
{n}.dropped:{self._count(n, "dropped", drop)}
  ret i64 {DROPPED | hop.drop << KIND_BITS}
{n}.error:{self._count(n, "error", first.get("error"))}
  ret i64 {DROPPED | hop.error << KIND_BITS}
{n}.decided:{self._count_verdict(n, first)}
  ret i64 %{n}.verdict"""

    def _go(self, n: str, way: str, target: Node, inside: set[Node], counter: int | None) -> str:
        start = f"\n{n}.{way}:{self._count(n, way, counter)}"
        if target[1] == 0 and self.regions.dispatch == "bucketed":
            return f"{start}\n  ret i64 {CHAINED | target[0] << KIND_BITS}"
        if target in inside:
            return f"{start}\n  br label %{hop_name(*target)}"
        return f"""{start}
  %{n}.{way}.verdict = {self.how} call {self.convention} i64 @{hop_name(*target)}(i64 %burst, i64 %i)
  ret i64 %{n}.{way}.verdict"""

    def _look(self, n: str, name: str, first: dict[str, int]) -> str:
        """A look at the clock, where costs are counted."""
        return f"\n  %{n}.{name} = call i64 @llvm.readcyclecounter()" if "cycles" in first else ""

    def _time(self, n: str, first: dict[str, int]) -> str:
        """A packet has taken the cycles since `before`, in a burst of the class that the loop says."""
        if "cycles" not in first:
            return ""
        parts = [self._look(n, "after", first)]
        parts.append(f"\n  %{n}.took = sub i64 %{n}.after, %{n}.before\n  %{n}.class = load i64, ptr @{BURST_CLASS}")
        for kind, more in (("cycles", f"%{n}.took"), ("timed", "1")):
            parts.append(f"\n  %{n}.{kind}.at = add i64 %{n}.class, {first[kind]}")
            parts.append(self._count(n, kind + ".sum", f"%{n}.{kind}.at", more))
        return "".join(parts)

    def _count(self, n: str, way: str, counter: int | str | None, more: str = "1") -> str:
        """One more packet took an edge, where that is counted."""
        if counter is None:
            return ""
        v = f"%{n}.{way}"
        return f"""
  {v}.at = getelementptr i64, ptr @{EDGES}, i64 {counter}
  {v}.old = load i64, ptr {v}.at
  {v}.new = add i64 {v}.old, {more}
  store i64 {v}.new, ptr {v}.at"""

    def _count_verdict(self, n: str, first: dict[str, int]) -> str:
        """A verdict that the packet brought: consumed, sent to a port, dropped for a reason."""
        if "send" not in first:
            return ""
        v = f"%{n}.decided"
        return f"""
  {v}.kind = and i64 %{n}.verdict, {(1 << KIND_BITS) - 1}
  {v}.to = lshr i64 %{n}.verdict, {KIND_BITS}
  {v}.port = call i64 @llvm.smin.i64(i64 {v}.to, i64 {PORTS - 1})
  {v}.is_send = icmp eq i64 {v}.kind, {SENT}
  {v}.is_end = icmp eq i64 {v}.kind, {CONSUMED}
  {v}.send = add i64 {v}.port, {first["send"]}
  {v}.drop = add i64 {v}.to, {first["drop"]}
  {v}.sent = select i1 {v}.is_send, i64 {v}.send, i64 {v}.drop
  {v}.edge = select i1 {v}.is_end, i64 {first["consume"]}, i64 {v}.sent{self._count(n, "decided", f"{v}.edge")}"""


def each_ir(name: str, parameters: int, callee: str, calls: Sequence[Sequence[str | int]]) -> str:
    """`i64 name(i64...)` that calls `callee` once per entry of `calls` and returns the least result.

    An argument is the symbol of a state object, a number, or `%a0` for a parameter.
    """
    given = ", ".join(f"i64 %a{k}" for k in range(parameters))
    lines, least = [], str(1 << 62)
    for k, arguments in enumerate(calls):
        passed = ", ".join(
            f"i64 {a}" if isinstance(a, int) or a.startswith("%") else f"i64 ptrtoint (ptr @{a} to i64)"
            for a in arguments
        )
        lines.append(f"  %r{k} = call i64 @{callee}({passed})")
        lines.append(f"  %m{k} = call i64 @llvm.smin.i64(i64 {least}, i64 %r{k})")
        least = f"%m{k}"
    body = "\n".join(lines)
    return f"""
define i64 @{name}({given}) alwaysinline {{
{body}
  ret i64 {least}
}}"""
