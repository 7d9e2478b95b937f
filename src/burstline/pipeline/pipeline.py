"""Pipelines and chains: pure data, a graph of stages that any engine can bind to cores, ports and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from burstline.errors import UsageError, application_failed
from burstline.packet.machine import MOST_PROTOCOLS
from burstline.packet.protocol import Protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.burst_stage import BurstStage, refuse_misplaced
from burstline.pipeline.chain import Chain as Chain
from burstline.pipeline.offloads import Offloads
from burstline.pipeline.predicate import Predicate, grouped_first
from burstline.pipeline.profile import Profile
from burstline.pipeline.references import references
from burstline.pipeline.stage import Stage
from burstline.pipeline.stage import stage as as_stage
from burstline.state.base import State

if TYPE_CHECKING:
    from burstline.steering.rule import SteeringRule


class Pipeline(Chain):
    """The chain that packets enter. `Pipeline(first, second, ...)`; all state and chains are found in the stages.
    `offloads`: what it wants of the ports; `steering`: which worker is to have which packets."""

    def __init__(
        self,
        *stages: Stage,
        name: str | None = None,
        offloads: Offloads | None = None,
        steering: Sequence[SteeringRule] = (),
    ) -> None:
        super().__init__(*grouped_first(stages), name=name or "main")
        self.offloads = offloads or Offloads()
        self.steering = tuple(steering)
        self._at_end: list[Callable[[Any], None]] = []
        self.profile: Profile | None = None  # of earlier runs
        self.chains = self._find_chains()
        refuse_misplaced(self.chains)

    def _find_chains(self) -> tuple[Chain, ...]:
        """This chain and all that its stages can hand packets to, each after all that lead to it, and else in the order
        in which the stages name them; a way back is refused."""
        found: list[Chain] = []  # from the last one to the first

        def visit(chain: Chain, path: tuple[Chain, ...]) -> None:
            if chain in path:
                way = " -> ".join(c.name for c in (*path[path.index(chain) :], chain))
                raise UsageError(f"chains lead in a circle: {way}", "a packet must come to an end; break the circle")
            if chain in found:
                return
            for stage in reversed(chain.stages):
                for target in reversed(targets(stage)):
                    visit(target, (*path, chain))
            found.append(chain)

        visit(self, ())
        return tuple(reversed(found))

    def named(self) -> Iterator[Any]:
        """Everything that the stages name, in the order of the chains; what several name, as often."""
        for chain in self.chains:
            for stage in chain.stages:
                for function in reachable(stage.function):
                    for _, value in references(function):
                        yield value

    @property
    def burst_stages(self) -> tuple[BurstStage, ...]:
        """The stages that take groups of packets: they come first."""
        return tuple(stage for stage in self.stages if isinstance(stage, BurstStage))

    @property
    def state(self) -> tuple[State, ...]:
        """Every state object that the stages name, in order of first appearance, with what it has of its own."""
        named = [value for value in self.named() if isinstance(value, State)]
        return tuple({id(each): each for value in named for each in (*value.parts(), value)}.values())

    def replace(self, old: Stage | str, new: Stage | Callable[[Any], Any]) -> Pipeline:
        """A pipeline with `new` in the place of the stage `old`, or of that name; all else is shared with this one.

        Raises UsageError for a stage that this chain does not have. Stages of other chains cannot be replaced by
        themselves, since it is the code of stages that names those chains.
        """
        meant = (old, old.group) if isinstance(old, Predicate) else (old,)
        known = [s for s in self.stages if s in meant or s.name == old]
        if not known:
            name = old if isinstance(old, str) else old.name
            raise UsageError(
                f"pipeline {self.name} has no stage {name!r} to replace",
                f"its own stages are {', '.join(s.name for s in self.stages)}; to change another chain, swap all",
            )
        made = new if isinstance(new, Stage) else as_stage(new)
        stages = (made if s in known else s for s in self.stages)
        pipeline = Pipeline(*stages, name=self.name, offloads=self.offloads, steering=self.steering)
        pipeline._at_end = list(self._at_end)
        return pipeline

    @property
    def branches(self) -> tuple[Branch, ...]:
        """Every branch that the stages name."""
        return tuple(dict.fromkeys(value for value in self.named() if isinstance(value, Branch)))

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """Every protocol of the user's own that the stages name, and those that it comes after."""
        found: list[Protocol] = []

        def add(protocol: Protocol) -> None:
            if isinstance(protocol.after, Protocol):
                add(protocol.after)
            if protocol not in found:
                found.append(protocol)

        for value in self.named():
            if isinstance(value, Protocol):
                add(value)
        _refuse_clashes(found)
        return tuple(found)

    def at_end(self, function: Callable[[Any], None]) -> Callable[[Any], None]:
        """Decorator: call `function(report)` when a run is over, with all state merged and readable."""
        self._at_end.append(function)
        return function

    def finish(self, report: Any) -> None:
        """Call everything that `at_end` registered. The engine does."""
        for function in self._at_end:
            try:
                function(report)
            except Exception as error:
                raise application_failed(f"`{function.__name__}`, called at the end,", function, error) from error


def _refuse_clashes(protocols: list[Protocol]) -> None:
    if len(protocols) > MOST_PROTOCOLS:
        raise UsageError(f"{len(protocols)} protocols are more than {MOST_PROTOCOLS}", "use fewer in one pipeline")
    for k, one in enumerate(protocols):
        for other in protocols[:k]:
            if one.name == other.name:
                raise UsageError(f"two protocols are called {one.name!r}", "give each function a name of its own")
            if one.table == other.table and one.key == other.key:
                raise UsageError(
                    f"{other.name} and {one.name} both come after {_name(one.after)} by {one.key}",
                    "make one of the two",
                )


def _name(after: str | Protocol) -> str:
    return after if isinstance(after, str) else after.name


def reachable(function: FunctionType) -> list[FunctionType]:
    """The function and every plain Python function that it calls by name, burstline's own excepted."""
    found: list[FunctionType] = []
    waiting = [function]
    while waiting:
        current = waiting.pop(0)
        if current in found:
            continue
        found.append(current)
        for _, value in references(current):
            if isinstance(value, FunctionType) and not (value.__module__ or "").startswith("burstline."):
                waiting.append(value)
    return found


def targets(stage: Stage) -> list[Chain]:
    """The chains that a stage names, and those that its branches lead to."""
    found: list[Chain] = []
    for function in reachable(stage.function):
        for _, value in references(function):
            chains = [value] if isinstance(value, Chain) else value.chains if isinstance(value, Branch) else []
            found += [chain for chain in chains if chain not in found]
    return found
