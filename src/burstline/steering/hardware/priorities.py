"""Levels of priority: few in hardware, and of two rules of one level nobody knows which decides (rte_flow's guide,
"Attribute: Priority"). So any two that a packet may match get different ones; all others may share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.overlap import overlap
from burstline.steering.rule import SteeringRule

Match = tuple[object, ...]


def match_of(rule: SteeringRule) -> Match:
    """All that says which packets it matches."""
    return tuple(rule.matched().items())


class Order:
    """Rules in the order in which they decide, with those that each overlaps. Exact rules are many: one is compared
    with the others alone, and with those of its own flow."""

    def __init__(self) -> None:
        self.rules: dict[int, SteeringRule] = {}
        self._ranks: dict[int, int] = {}
        self._wild: dict[int, SteeringRule] = {}
        self._flows: dict[Match, set[int]] = {}

    def add(self, handle: int, rule: SteeringRule, rank: int) -> None:
        """Of rules of the same priority, the one with the lowest `rank` decides."""
        self.rules[handle] = rule
        self._ranks[handle] = rank
        if rule.is_exact:
            self._flows.setdefault(match_of(rule), set()).add(handle)
        else:
            self._wild[handle] = rule

    def remove(self, handle: int) -> None:
        rule = self.rules.pop(handle)
        del self._ranks[handle]
        if not rule.is_exact:
            del self._wild[handle]
            return
        same = self._flows[match_of(rule)]
        same.discard(handle)
        if not same:
            del self._flows[match_of(rule)]

    def sorted(self) -> list[int]:
        """From the one that decides before all others on."""
        return sorted(self.rules, key=self._key)

    def decides(self, one: int, other: int) -> bool:
        """Whether `one` decides over packets that both match."""
        return self._key(one) < self._key(other)

    def _key(self, handle: int) -> tuple[int, int]:
        return self.rules[handle].priority, self._ranks[handle]

    def overlapping(self, handle: int) -> list[int]:
        """The rules that may match packets of this one."""
        rule = self.rules[handle]
        others: Iterable[int] = self.rules
        if rule.is_exact:
            others = [*self._wild, *self._flows[match_of(rule)]]
        return [other for other in others if other != handle and overlap(rule, self.rules[other])]


def levels_of(driver: HardwareDriver) -> int:
    """How many there are for rules: two kinds may have to share them."""
    return max(driver.levels // 2, 1) if driver.vlan_levels else driver.levels


def priority(driver: HardwareDriver, level: int, has_vlan: bool) -> int:
    """A level, 0 the first, as the driver's number."""
    number = 2 * level + has_vlan if driver.vlan_levels else level
    return driver.highest + number if driver.rising else driver.highest - number


def place(driver: HardwareDriver, order: Order, handle: int, held: Mapping[int, int]) -> int | None:
    """A level for a rule between those that others have (`held`), halfway; None where there is no room."""
    low, high = -1, levels_of(driver)
    for other in order.overlapping(handle):
        if other not in held:
            continue
        if order.decides(other, handle):
            low = max(low, held[other])
        else:
            high = min(high, held[other])
    return (low + high) // 2 if high - low > 1 else None


def arrange(driver: HardwareDriver, order: Order, where: Callable[[int], str]) -> dict[int, int]:
    """Levels for all rules, spread over those that there are. Raises CannotSteer where they do not suffice, which calls
    the rules as `where` does."""
    levels, depth = levels_of(driver), dict[int, int]()
    for handle in order.sorted():
        above = [other for other in order.overlapping(handle) if other in depth]
        depth[handle] = 1 + max((depth[other] for other in above), default=-1)
        if depth[handle] >= levels:
            other = max(above, key=lambda h: depth[h])
            what = f"{where(handle)} overlaps {where(other)}, and {driver.driver} cannot tell which comes first"
            if levels > 1:
                what = f"{where(handle)} is the last of {levels + 1} rules that overlap each other, and {driver.driver}"
                what += f" has {levels} levels"
            raise CannotSteer("priority", what, "let their matches exclude each other, or steer by software")
    used = max(depth.values(), default=0) + 1
    return {handle: (2 * level + 1) * levels // (2 * used) for handle, level in depth.items()}


def _fits(order: Order, handle: int, levels: Mapping[int, int]) -> bool:
    """A rule's level is right among those of the rules that it overlaps."""
    others = [other for other in order.overlapping(handle) if other in levels]
    return all(
        levels[other] != levels[handle] and order.decides(other, handle) == (levels[other] < levels[handle])
        for other in others
    )


def rearranged(
    driver: HardwareDriver, order: Order, held: Mapping[int, int], where: Callable[[int], str]
) -> dict[int, int]:
    """Levels for all rules, of which those in `held` keep theirs where that can be."""
    levels = dict(held)
    for handle in order.sorted():
        level = held[handle] if handle in held and _fits(order, handle, levels) else None
        if handle not in held:
            level = place(driver, order, handle, levels)
        if level is None:
            return arrange(driver, order, where)
        levels[handle] = level
    return levels
