"""Which fields of packets, headers and records a pipeline touches: stage by stage, and along its paths.

From the byte code, since layouts must be known before the key of the compiled object is. How often is guessed (see
`flow_graph`), or known from a profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from burstline.pipeline.branch import Branch
from burstline.pipeline.chain import Chain
from burstline.pipeline.code_values import walk
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.pipeline.profile import BranchCounts, Profile
from burstline.pipeline.references import references
from burstline.pipeline.stage import Stage
from burstline.pipeline.things import PACKET, UNKNOWN, Call, Ref, Step, Thing, Touch, Values, both
from burstline.pipeline.verdict import CONSUMED, DROPPED, NEXT, SENT, Verdict
from burstline.state.arrangement import Use
from burstline.state.base import State

MOST_PATHS = 128  # that are told apart; those of the fewest packets are taken together
MOST_ENDS = 16  # of these, that leave a stage in one way


class Access(NamedTuple):
    """A field, or, without a name, a header's presence or a lookup. `owner` is "pkt", a header, or a state object by
    its number in `Pipeline.state`."""

    owner: str | int
    field: str


@dataclass
class Count:
    """How often, for each packet that comes to the stage."""

    reads: float = 0.0
    writes: float = 0.0

    def add(self, reads: float, writes: float) -> None:
        self.reads += reads
        self.writes += writes


@dataclass(frozen=True)
class StageAccesses:
    """Of a stage where it stands. `share` of the packets that enter the pipeline come to it."""

    chain: str
    stage: str
    share: float
    counts: dict[Access, Count]


@dataclass(frozen=True)
class Path:
    """A way of packets: the stages, what becomes of them, and all that such a packet touches."""

    stages: tuple[str, ...]
    end: str
    touched: frozenset[Access]
    weight: float


@dataclass(frozen=True)
class Accesses:
    stages: tuple[StageAccesses, ...]
    paths: tuple[Path, ...]
    state: tuple[State, ...]
    names: tuple[str, ...] = field(compare=False)  # what stages call each state object

    def uses_of(self, number: int) -> list[Use]:
        """Fields of a state object's record that packets touch together; of the packets that come to it at all."""
        return [
            Use(frozenset(name for owner, name in path.touched if owner == number and name), path.weight)
            for path in self.paths
            if any(owner == number for owner, _ in path.touched)
        ]

    def users_of(self, access: Access) -> list[tuple[str, float, float]]:
        """Stages that touch a field, with its reads and writes by each packet of the pipeline."""
        return [
            (s.stage, s.share * s.counts[access].reads, s.share * s.counts[access].writes)
            for s in self.stages
            if access in s.counts
        ]


def accesses_of(pipeline: Pipeline, profile: Profile | None = None) -> Accesses:
    """Read the code of all stages. With a profile, the pipeline's own unless another is given, each stage counts as
    often as it says, and each branch of code that it knows."""
    profile = profile or pipeline.profile
    state = pipeline.state
    names = dict.fromkeys(range(len(state)), "")
    numbers = {Ref(s): k for k, s in enumerate(state)}
    for chain in pipeline.chains:
        for stage in chain.stages:
            for function in reachable(stage.function):
                for name, value in references(function):
                    if Ref(value) in numbers:
                        names[numbers[Ref(value)]] = names[numbers[Ref(value)]] or name.rpartition(".")[2]
    walker = _Walker(pipeline, numbers, profile)
    walker.go()
    paths = tuple(
        Path(walker.stages_of(trail), end, touched, weight)
        for (touched, (trail, end)), weight in walker.ended.items()
        if weight
    )
    return Accesses(tuple(walker.stages), paths, state, tuple(names.values()))


# ---- one function ----

_Touched = frozenset[Access]
_Ways = dict[tuple[_Touched, Any], float]  # what is touched, and something that tells ways apart: how many of one go it


def _add(ways: _Ways, touched: _Touched, tag: Any, weight: float) -> None:
    ways[touched, tag] = ways.get((touched, tag), 0.0) + weight


def _fewer(ways: _Ways, most: int = MOST_PATHS) -> _Ways:
    """No more than are told apart: the rest as if each touched all that any of the same tag does."""
    if len(ways) <= most:
        return ways
    heaviest = sorted(ways, key=lambda way: -ways[way])
    kept = {way: ways[way] for way in heaviest[: most // 2]}
    rest: dict[Any, tuple[_Touched, float]] = {}
    for touched, tag in heaviest[most // 2 :]:
        tag = tag if len(rest) < most // 2 or tag in rest else next(iter(rest))
        before, weight = rest.get(tag, (frozenset(), 0.0))
        rest[tag] = before | touched, weight + ways[touched, tag]
    for tag, (touched, weight) in rest.items():
        _add(kept, touched, tag, weight)
    return kept


@dataclass
class _Function:
    """A call of a function: its ways, told apart by what they return; and how often it touches what."""

    ways: _Ways = field(default_factory=dict)
    counts: dict[Access, Count] = field(default_factory=dict)
    returned: Values = UNKNOWN


class _Reader:
    """Reads functions, each once for each kind of arguments."""

    def __init__(self, numbers: Mapping[Ref, int], records: list[State], branches: BranchCounts) -> None:
        self.numbers, self.records, self.branches = numbers, records, branches
        self.known: dict[Call, _Function] = {}

    def of(self, call: Call) -> _Function:
        """What a call does."""
        if call not in self.known:
            self.known[call] = _Function()  # what a function that calls itself is taken for
            self.known[call] = self.read(call)
        return self.known[call]

    def read(self, call: Call) -> _Function:
        walked = walk(call, self.records, lambda inner: self.of(inner).returned, self.branches)
        made = _Function()
        at: list[_Ways] = [{(frozenset(), None): 1.0}, *({} for _ in walked.blocks[1:])]
        for k, (block, steps, returned) in enumerate(zip(walked.blocks, walked.steps, walked.returned, strict=True)):
            ways = at[k]
            for step in steps:
                self.count(made, step, block.runs)
                ways = self.stepped(ways, step)
            if returned is not None:
                made.returned = both(made.returned, returned)
                for (touched, _), weight in ways.items():
                    for thing in returned or (None,):
                        _add(made.ways, touched, thing, weight / max(len(returned), 1))
            for to, rate in block.onward:
                for (touched, _), weight in ways.items():
                    _add(at[to], touched, None, weight * rate)
        made.ways = _fewer(made.ways)
        return made

    def count(self, made: _Function, step: Step, runs: float) -> None:
        if isinstance(step, Call):
            for each, count in self.of(step).counts.items():
                made.counts.setdefault(each, Count()).add(count.reads * runs, count.writes * runs)
        elif (access := self.access(step)) is not None:
            reads, writes = (0.0, runs) if step.is_write else (runs, 0.0)
            made.counts.setdefault(access, Count()).add(reads, writes)

    def stepped(self, ways: _Ways, step: Step) -> _Ways:
        """The ways, gone on by one step."""
        found: _Ways = {}
        if isinstance(step, Call):
            within = self.of(step).ways or {(frozenset(), None): 1.0}
            for (touched, _), weight in ways.items():
                for (more, _), share in within.items():
                    _add(found, touched | more, None, weight * share)
        elif (access := self.access(step)) is not None:
            for (touched, _), weight in ways.items():
                _add(found, touched | {access}, None, weight)
        return _fewer(found) if found else ways

    def access(self, touch: Touch) -> Access | None:
        owner = touch.owner if isinstance(touch.owner, str) else self.numbers.get(touch.owner)
        return None if owner is None or owner == "" else Access(owner, touch.field)


# ---- the pipeline ----


class _Walker:
    """Takes packets through the stages, chain by chain: each chain comes after all that lead to it."""

    def __init__(self, pipeline: Pipeline, numbers: Mapping[Ref, int], profile: Profile | None) -> None:
        self.pipeline, self.numbers = pipeline, numbers
        self.edges = profile.edges if profile else {}
        self.branches = profile.branches if profile else {}
        self.stages: list[StageAccesses] = []
        self.entering: list[_Ways] = [{} for _ in pipeline.chains]
        self.entering[0][frozenset(), 0] = 1.0
        self.ended: _Ways = {}
        self.trails: list[tuple[int, str]] = [(0, "")]  # by number: the trail before, and the stage
        self.numbered: dict[tuple[int, str], int] = {}

    def go(self) -> None:
        for number, chain in enumerate(self.pipeline.chains):
            ways = self.entering[number]
            for place, stage in enumerate(chain.stages):
                ways = self.through((number, place), chain, stage, _fewer(ways))
            for (touched, trail), weight in ways.items():
                _add(self.ended, touched, (trail, "through"), weight)

    def through(self, at: tuple[int, int], chain: Chain, stage: Stage, ways: _Ways) -> _Ways:
        """Through one stage; returns those that go on to the next."""
        read = self.read(stage)
        share = sum(ways.values())
        self.stages.append(StageAccesses(chain.name, stage.name, share, read.counts))
        left: dict[tuple[str, str], _Ways] = {}
        for (within, thing), part in read.ways.items():
            for kind, to, of_kind in self.outcomes(thing, stage):
                for (touched, trail), weight in ways.items():
                    group = left.setdefault((kind, to), {})
                    _add(group, touched | within, self.trail(trail, stage), weight * part * of_kind)
        counted = {edge[2:]: packets for edge, packets in self.edges.items() if edge[:2] == at}
        if any(counted.values()):  # else the profile is of a time without this stage
            left = _measured(left, counted, share)
        going: _Ways = {}
        for (kind, to), group in left.items():
            if kind not in ("next", "chain"):
                group = _fewer(group, MOST_ENDS)
            for (touched, trail), weight in group.items():
                if kind == "next":
                    _add(going, touched, trail, weight)
                elif kind == "chain":
                    _add(self.entering[int(to)], touched, trail, weight)
                else:
                    _add(self.ended, touched, (trail, _end(kind, to, stage)), weight)
        return going

    def trail(self, before: int, stage: Stage) -> int:
        """The number of a trail that goes on to a stage."""
        step = before, stage.name
        if step not in self.numbered:
            self.numbered[step] = len(self.trails)
            self.trails.append(step)
        return self.numbered[step]

    def stages_of(self, trail: int) -> tuple[str, ...]:
        """The stages of a trail."""
        found: list[str] = []
        while trail:
            trail, name = self.trails[trail]
            found.append(name)
        return tuple(reversed(found))

    def read(self, stage: Stage) -> _Function:
        records = [value for f in reachable(stage.function) for _, value in references(f) if Ref(value) in self.numbers]
        unique = list({id(s): s for s in records}.values())
        return _Reader(self.numbers, unique, self.branches).of(Call(stage.function, (PACKET,)))

    def outcomes(self, thing: Thing | None, stage: Stage) -> Iterator[tuple[str, str, float]]:
        """Where what a stage returns leads to, as edges of the report name it, and how often."""
        if thing is not None and thing.kind == "ways":
            branch: Branch = thing.of.value
            ways = (*branch.ways.values(), branch.default)
            for way in ways:
                yield (*self.outcome(way, stage), 1 / len(ways))
        elif thing is not None and thing.kind == "verdict":
            yield "drop" if thing.of == DROPPED else "send", "", 1.0
        else:
            yield (*self.outcome(thing.of.value if thing is not None and thing.kind == "known" else None, stage), 1.0)

    def outcome(self, value: Any, stage: Stage) -> tuple[str, str]:
        if isinstance(value, Chain):
            return "chain", str(self.pipeline.chains.index(value))
        if not isinstance(value, Verdict) or value.kind == NEXT:
            return "next", ""
        if value.kind == CONSUMED:
            return "consume", ""
        return ("send" if value.kind == SENT else "drop"), str(value.argument or stage.name)


def _measured(left: dict[tuple[str, str], _Ways], counted: dict[tuple[str, str], int], share: float) -> Any:
    """The ways out of a stage, weighed by the packets that took each: a way that the code does not show is taken for
    any of its kind, or of all."""
    total = sum(counted.values())
    found: dict[tuple[str, str], _Ways] = {}
    for way, packets in counted.items():
        groups = [left[way]] if way in left else [group for (kind, _), group in left.items() if kind == way[0]]
        groups = groups or list(left.values())
        weight = sum(sum(group.values()) for group in groups)
        for group in groups:
            for (touched, trail), part in group.items():
                if packets and weight:
                    _add(found.setdefault(way, {}), touched, trail, share * packets / total * part / weight)
    return found


def _end(kind: str, to: str, stage: Stage) -> str:
    ends = {"consume": "consumed", "send": f"port {to}" if to else "sent", "error": f"dropped: {stage.name}: error"}
    return ends.get(kind, f"dropped: {to}")
