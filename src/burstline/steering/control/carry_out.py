"""Carrying out what a policy says: actions become edits of a port's rules and RETA, and what is refused failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from burstline.steering.back_end import CannotSteer, TableFull
from burstline.steering.control.actions import Action, MoveBucket, Path, Place, Release, RollBack
from burstline.steering.control.in_force import Held, InForce, Wanted
from burstline.steering.control.snapshot import Failure, Target
from burstline.steering.edit import AddRules, Changer, Done, Edit, RemoveRules
from burstline.steering.edit import MoveBucket as MoveBucketEdit


@dataclass(frozen=True)
class Step:
    """A flow comes to be as wanted, or a bucket goes to a core."""

    target: Target
    wanted: Wanted | int


def steps_of(actions: Iterable[Action], there: InForce) -> list[Step]:
    """What changes, in the order of the actions; of a target that several speak of, what they say together."""
    flows: dict[bytes, Wanted] = {}
    buckets: dict[int, int] = {}
    order: dict[Target, None] = {}

    def want(key: bytes, wanted: Wanted) -> None:
        flows[key] = wanted
        order[key] = None

    for action in actions:
        if isinstance(action, Place):
            key, now = action.key, flows.get(action.key, there.wanted(action.key))
            want(key, replace(now, rule_key=action.rule_key or key, core=action.core, level=action.level))
        elif isinstance(action, Release):
            key, now = action.key, flows.get(action.key, there.wanted(action.key))
            want(key, Wanted(key, path=now.path))
        elif isinstance(action, Path):
            want(action.key, replace(flows.get(action.key, there.wanted(action.key)), path=action.path))
        elif isinstance(action, MoveBucket):
            buckets[action.bucket] = action.core
            order[action.bucket] = None
        elif isinstance(action, RollBack) and action.at_once:
            for key in [*there.held, *flows]:
                now = flows.get(key, there.wanted(key))
                if now.core is not None:
                    want(key, Wanted(key, path=now.path))
            for bucket, home in enumerate(there.rss):
                if buckets.get(bucket, there.reta[bucket]) != home:
                    buckets[bucket] = home
                    order[bucket] = None
    found = [Step(t, buckets[t] if isinstance(t, int) else flows[t]) for t in order]
    return [step for step in found if step.wanted != _now(step.target, there)]


def _now(target: Target, there: InForce) -> Wanted | int:
    return there.reta[target] if isinstance(target, int) else there.wanted(target)


class CarryOut:
    """Has a `changer` change what is in force. `both_ways`: each flow has a rule for each of its directions, and both
    are there or none is.

    A rule that takes another's place is made before that one goes, which decides until then; only where the device has
    no room for both does it go first.
    """

    def __init__(self, there: InForce, changer: Changer, *, both_ways: bool = False) -> None:
        self.there, self.both_ways = there, both_ways
        self.counts = True  # until the device says that it cannot
        self._changer = changer

    def __call__(self, actions: Iterable[Action]) -> list[Failure]:
        """Returns what was refused, when all else is in force."""
        steps = steps_of(actions, self.there)
        failures: list[Failure] = []
        superseded: list[tuple[Step, Held]] = []
        for step, done in zip(steps, self._changed(steps), strict=True):
            held = self.there.held.get(step.target) if isinstance(step.target, bytes) else None
            if done.error is not None and isinstance(done.error, TableFull) and held and not _is_removal(step):
                failures += self._in_place(step, held)
            elif done.error is not None:
                failures.append(failure(step, done))
            elif isinstance(step.target, int):
                assert isinstance(step.wanted, int)
                self.there.reta[step.target] = step.wanted
            elif _is_removal(step):
                del self.there.held[step.target]
            else:
                assert isinstance(step.wanted, Wanted)
                self.there.held[step.target] = Held(step.wanted, done.handles)
                superseded += [(step, held)] if held else []
        removed = self._change([RemoveRules(held.handles) for _, held in superseded])
        for (step, held), done in zip(superseded, removed, strict=True):
            if done.error is not None:  # it still decides; both go when the flow is released
                assert isinstance(step.target, bytes)
                now = self.there.held[step.target]
                self.there.held[step.target] = Held(now.wanted, now.handles + held.handles)
                failures.append(failure(step, done))
        return failures

    def _changed(self, steps: Sequence[Step]) -> list[Done]:
        """What becomes of steps; rules that count are made again without where the device does not count."""
        counted = self.counts
        found = self._change([self._edit(step) for step in steps])
        if not counted or not any(_counts_not(done) for done in found):
            return found
        self.counts = False
        again = [k for k, done in enumerate(found) if _counts_not(done)]
        for k, done in zip(again, self._change([self._edit(steps[k]) for k in again]), strict=True):
            found[k] = done
        return found

    def _in_place(self, step: Step, held: Held) -> list[Failure]:
        """There is no room beside the rule that is there."""
        assert isinstance(step.target, bytes) and isinstance(step.wanted, Wanted)
        gone, made = self._change([RemoveRules(held.handles), self._edit(step)])
        if gone.error is None:
            del self.there.held[step.target]
        if made.error is None:
            self.there.held[step.target] = Held(step.wanted, made.handles + (held.handles if gone.error else ()))
        return [failure(step, done) for done in (gone, made) if done.error is not None][:1]

    def _edit(self, step: Step) -> Edit:
        if isinstance(step.target, int):
            assert isinstance(step.wanted, int)
            return MoveBucketEdit(step.target, step.wanted)
        assert isinstance(step.wanted, Wanted)
        if step.wanted.is_plain:
            return RemoveRules(self.there.held[step.target].handles)
        return AddRules(step.wanted.rules(count=self.counts, both=self.both_ways))

    def _change(self, edits: Sequence[Edit]) -> list[Done]:
        return self._changer.change(edits) if edits else []


def _is_removal(step: Step) -> bool:
    return isinstance(step.wanted, Wanted) and step.wanted.is_plain


def _counts_not(done: Done) -> bool:
    return isinstance(done.error, CannotSteer) and done.error.field == "count"


def failure(step: Step, done: Done) -> Failure:
    assert done.error is not None
    level = step.wanted.level if isinstance(step.wanted, Wanted) else "reta"
    return Failure(step.target, level, done.error.message, isinstance(done.error, TableFull))
