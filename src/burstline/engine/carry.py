"""What a swap does, and which state of the old pipeline the new one goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burstline.errors import UsageError
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.pipeline.references import references
from burstline.state.base import State
from burstline.state.pattern_set import PatternSet
from burstline.state.prefix_map import PrefixMap
from burstline.state.rule_set import RuleSet
from burstline.state.steering_table import SteeringTable
from burstline.state.template import Template
from burstline.state.toeplitz import Toeplitz

Name = tuple[str, str]  # of a module, and in it
GIVEN = (PatternSet, PrefixMap, RuleSet, SteeringTable, Template, Toeplitz)  # what the application says is in them


@dataclass(frozen=True)
class Carried:
    """Names of state objects: those that go on with all they have, and those that are empty though there was one of
    that name, because it was laid out differently. What the application gave, prefixes and rules, is in neither."""

    kept: tuple[str, ...]
    begun_anew: tuple[str, ...]


class NotRunning(UsageError):
    """There is nothing to swap, yet or any more."""

    def __init__(self) -> None:
        super().__init__("the pipeline is not running", "swap it between the start and the end of its run")


@dataclass(frozen=True)
class Swap:
    """What a swap did."""

    carried: Carried
    compile_seconds: float  # 0 when interpreted
    switch_seconds: float  # from when the new code was there until all workers ran it


def carry_over(old: Pipeline, new: Pipeline) -> Carried:
    """Let the state of `new` take over that of `old`: an object that is in both stays, and one that has the name of
    another in its module takes its place, when it is of the same kind, record and capacity. Others are emptied."""
    before = dict(_named(old))
    kept, anew, taken = list[str](), list[str](), list[State]()
    for names, state in _by_object(new):
        shown = names[0][1]
        if any(state is s for s in before.values()):
            kept.append(shown)
            continue
        state.reset()
        same = next((before[name] for name in names if name in before and before[name] not in taken), None)
        if isinstance(state, GIVEN):
            continue
        if same is not None and type(same) is type(state) and state.adopt(same):
            kept.append(shown)
            taken.append(same)
        elif same is not None:
            anew.append(shown)
    return Carried(tuple(kept), tuple(anew))


def named_state(pipeline: Pipeline) -> dict[str, State]:
    """Every state object by its first name, `module:name`; what is a part of another is left out."""
    return {":".join(names[0]): state for names, state in _by_object(pipeline)}


def _by_object(pipeline: Pipeline) -> Iterator[tuple[list[Name], State]]:
    """Every state object with all its names."""
    for state in pipeline.state:
        names = [name for name, value in _named(pipeline) if value is state]
        if names:  # what is a part of other state goes with it
            yield names, state


def _named(pipeline: Pipeline) -> Iterator[tuple[Name, Any]]:
    """Others of a name, as each stage that one function makes has its own, are numbered in their order."""
    known: dict[Name, list[State]] = {}
    for chain in pipeline.chains:
        for stage in chain.stages:
            for function in reachable(stage.function):
                for name, value in references(function):
                    if not isinstance(value, State):
                        continue
                    same = known.setdefault((function.__module__ or "", name), [])
                    if not any(value is each for each in same):
                        same.append(value)
                    number = next(k for k, each in enumerate(same, 1) if each is value)
                    yield (function.__module__ or "", name if number == 1 else f"{name}-{number}"), value
