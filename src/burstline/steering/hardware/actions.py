"""What a steering rule does, as actions of rte_flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burstline.state.rule import BadField
from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.rule import SteeringRule
from burstline.steering.software import queues_of
from burstline.steering.target import Cores, Drop, Queue, Target


@dataclass(frozen=True)
class Action:
    """One action, named as rte_flow does: QUEUE and MARK have a `number`, RSS has `queues`."""

    kind: str
    number: int = 0
    queues: tuple[int, ...] = ()


def actions_of(
    rule: SteeringRule, driver: HardwareDriver, queues: int, core_queue: Callable[[int], int]
) -> tuple[Action, ...]:
    """MARK and COUNT before what decides where packets go; who drops marks nothing. `core_queue` says which queue the
    worker of a core polls (KeyError: none). Raises CannotSteer."""
    fate = _fate(rule.to, driver, queues, core_queue)
    if fate.kind not in driver.actions:
        hint = "let software do it" if isinstance(rule.to, Drop) else "steer to one queue or core, or by software"
        raise CannotSteer("to", f"{driver.driver} has no action {fate.kind}, which {rule.to} takes", hint)
    made = []
    if rule.mark is not None and not isinstance(rule.to, Drop):
        if "MARK" not in driver.beside:
            raise CannotSteer("mark", f"{driver.driver} marks no packets", "leave it out, or mark by software")
        if rule.mark > driver.most_mark:
            what = f"{driver.driver} marks with numbers up to {driver.most_mark:,}"
            raise CannotSteer("mark", what, f"write 0 to {driver.most_mark:,}")
        made.append(Action("MARK", rule.mark))
    if rule.count:
        if "COUNT" not in driver.beside:
            raise CannotSteer(
                "count", f"{driver.driver} counts no packets of a rule", "leave it out, or count by software"
            )
        made.append(Action("COUNT"))
    return (*made, fate)


def _fate(to: Target, driver: HardwareDriver, queues: int, core_queue: Callable[[int], int]) -> Action:
    if isinstance(to, Drop):
        return Action("DROP")
    if isinstance(to, Queue):
        if to.number >= queues:
            raise CannotSteer("to", f"there is no queue {to.number}", f"there are {queues}, from 0 on: one a worker")
        return Action("QUEUE", to.number)
    if isinstance(to, Cores):
        try:
            found = queues_of(to, core_queue)
        except BadField as error:
            raise CannotSteer(error.name, error.problem, error.hint) from None
        return Action("QUEUE", found[0]) if len(found) == 1 else _spread(found, driver)
    if not driver.passes_to_rss:
        what = f"{driver.driver} has no action that leaves packets to RSS"
        raise CannotSteer("to", what, "steer to a queue or core, or by software")
    return Action("PASSTHRU")


def _spread(queues: list[int], driver: HardwareDriver) -> Action:
    first, count = min(queues), len(queues)
    if driver.rss_queues == "region" and (sorted(queues) != list(range(first, first + count)) or count & count - 1):
        what = f"{driver.driver} spreads over neighbouring queues only, 2, 4, 8 ... of them, not over {queues}"
        raise CannotSteer("to", what, "name other cores, or steer by software")
    return Action("RSS", queues=tuple(sorted(queues)) if driver.rss_queues == "region" else tuple(queues))
