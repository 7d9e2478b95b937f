"""How a back end carries out a list of rules: each as it is, or else by what means the same.

The order is that of control/degradation.py: exact rule, wildcard, RETA, software. An exact rule for which the device
has no room is covered by a coarser one, with others that have packets go to the same place; and a rule of all packets
that only spreads them is the RETA's. Whoever asks steers by software what raises here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from burstline.steering.back_end import BackEnd, CannotSteer, TableFull
from burstline.steering.control.snapshot import Level
from burstline.steering.overlap import overlap
from burstline.steering.rule import LOWEST_PRIORITY, SteeringRule
from burstline.steering.software import queues_of
from burstline.steering.target import RSS, Cores, Drop, Queue, Target

COARSER = (
    ("src", "dst", "proto", "dport"), ("src", "dst", "proto", "sport"), ("src", "dst", "proto"),
    ("dst", "proto", "dport"), ("src", "proto", "sport"), ("dst", "proto"), ("src", "proto"),
)  # fmt: skip
HIDDEN = "a rule before it matches all packets"


@dataclass(frozen=True)
class Placed:
    """At which level a rule is carried out, and why not at one before where it might have been; `handle` is that of its
    rule at the back end, which is `instead` where that is coarser. A rule that never decides has no level."""

    rule: SteeringRule
    level: Level | None
    why: str
    handle: int | None = None
    instead: SteeringRule | None = None


def place_rules(
    back_end: BackEnd,
    rules: Sequence[SteeringRule],
    core_queue: Callable[[int], int],
    *,
    reta: Sequence[int] = (),
    covers: bool = True,
) -> list[Placed]:
    """These rules in place of all others, at the first levels that the back end can. `reta` is the queue of each
    bucket without rules, empty where there are no buckets to move; with `covers` packets that no rule names may go
    elsewhere than by their hash. Raises what `apply` raises for the rules as they are."""
    try:
        return _applied(back_end, rules, covers)
    except CannotSteer:
        before, spread, hidden = split(rules)
        if spread is None or not reta:
            raise
        made = _applied(back_end, before, covers)
        back_end.set_reta(spread_over(spread.to, reta, core_queue))
    by_reta = Placed(spread, "reta", "the device has no rule for all packets")
    never = [Placed(rule, None, HIDDEN) for rule in hidden]
    order = {id(rule): k for k, rule in enumerate(rules)}
    return sorted([*made, by_reta, *never], key=lambda placed: order[id(placed.rule)])


def split(rules: Sequence[SteeringRule]) -> tuple[list[SteeringRule], SteeringRule | None, list[SteeringRule]]:
    """The rules that decide before the first that matches all packets, that one if all it does is to spread them, and
    those behind it, which never decide."""
    ranked = sorted(rules, key=lambda rule: rule.priority)
    at = next((k for k, rule in enumerate(ranked) if not rule.matched()), None)
    if at is None or not _only_places(ranked[at]):
        return list(rules), None, []
    first = {id(rule) for rule in ranked[:at]}
    return [rule for rule in rules if id(rule) in first], ranked[at], ranked[at + 1 :]


def spread_over(to: Target, reta: Sequence[int], core_queue: Callable[[int], int]) -> list[int]:
    """The RETA of a rule for all packets; `reta` is the one without rules."""
    queues = [to.number] if isinstance(to, Queue) else queues_of(to, core_queue) if isinstance(to, Cores) else []
    return [queues[bucket % len(queues)] for bucket in range(len(reta))] if queues else list(reta)


def cover(rules: Sequence[SteeringRule], room: int) -> dict[SteeringRule, list[SteeringRule]] | None:
    """Coarser rules, each with those that it stands for, so that no more than `room` are left; None where no such mean
    the same.

    They do if each packet that a rule names is decided over as before. What no rule names may come to another worker,
    and so nothing that drops, marks or counts is covered. A coarser rule decides last: none that it overlaps may have
    decided behind one that it stands for, unless it says the same.
    """
    alone = Counter(_key(rule) for rule in rules if rule.is_exact)
    left = {_key(r): r for r in rules if r.is_exact and alone[_key(r)] == 1 and _only_places(r) and r.to != RSS}
    others = [rule for rule in rules if not rule.is_exact]
    free = {key: rule for key, rule in left.items() if not _is_overruled(rule, others)}
    made: dict[SteeringRule, list[SteeringRule]] = {}
    count = len(rules)
    for names in COARSER:
        groups: dict[SteeringRule, list[SteeringRule]] = {}
        for rule in free.values():
            groups.setdefault(_coarser(rule, names), []).append(rule)
        for wide, group in sorted(groups.items(), key=lambda pair: -len(pair[1])):
            if count <= room:
                return made
            if len(group) < 2 or not _keep_apart(wide, group, made):
                continue
            made[wide] = group
            count -= len(group) - 1
            for rule in group:
                del free[_key(rule)]
    return made if count <= room else None


def _applied(back_end: BackEnd, rules: Sequence[SteeringRule], covers: bool) -> list[Placed]:
    try:
        return [_as_it_is(back_end, rule, handle) for rule, handle in zip(rules, back_end.apply(rules), strict=True)]
    except TableFull as full:
        exact = back_end.limits.exact
        room, refusal = len(rules) - 1, full
        if exact is not None:  # what is in force now goes with `apply`
            room = min(room, max(exact + len(back_end.rules()), 1))
    while covers and (coarse := cover(rules, room)) is not None:
        covered = {id(rule): wide for wide, group in coarse.items() for rule in group}
        kept = [rule for rule in rules if id(rule) not in covered]
        try:
            handles = back_end.apply([*kept, *coarse])
        except TableFull:
            room = min(room - 1, room - (len(rules) - room))
            if room < 1:
                break
            continue
        by_rule = dict(zip(map(id, kept), handles, strict=False))
        by_wide = dict(zip(coarse, handles[len(kept) :], strict=True))
        why = "no room for an exact rule"
        return [
            Placed(rule, "wildcard", why, by_wide[covered[id(rule)]], covered[id(rule)]) if id(rule) in covered
            else _as_it_is(back_end, rule, by_rule[id(rule)])
            for rule in rules
        ]  # fmt: skip
    raise refusal


def _as_it_is(back_end: BackEnd, rule: SteeringRule, handle: int) -> Placed:
    if back_end.name == "software":
        return Placed(rule, "software", "", handle)
    return Placed(rule, "exact" if rule.is_exact else "wildcard", "", handle)


def _only_places(rule: SteeringRule) -> bool:
    return not isinstance(rule.to, Drop) and rule.mark is None and not rule.count


def _key(rule: SteeringRule) -> tuple[object, ...]:
    return rule.src, rule.dst, rule.proto, rule.sport, rule.dport


def _coarser(rule: SteeringRule, names: Iterable[str]) -> SteeringRule:
    given = {name: getattr(rule, name) for name in names}
    return SteeringRule(**given, to=rule.to, priority=LOWEST_PRIORITY)


def _is_overruled(rule: SteeringRule, others: Sequence[SteeringRule]) -> bool:
    """Whether another would decide otherwise over its packets if it came last."""
    behind = (other for other in others if rule.priority <= other.priority and overlap(rule, other))
    return any(other.to != rule.to or not _only_places(other) for other in behind)


def _keep_apart(
    wide: SteeringRule, group: Sequence[SteeringRule], made: dict[SteeringRule, list[SteeringRule]]
) -> bool:
    """Whether coarser rules leave each other's packets alone."""
    beside = ((other, theirs) for other, theirs in made.items() if other.to != wide.to and overlap(wide, other))
    return not any(
        any(overlap(rule, other) for rule in group) or any(overlap(rule, wide) for rule in theirs)
        for other, theirs in beside
    )
