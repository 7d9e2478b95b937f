"""`RteFlow`: steering rules carried out by a NIC through rte_flow, and its RETA."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from burstline.dpdk.flow_refused import FlowRefused
from burstline.packet.machine import USUAL_PORTS, TunnelPorts
from burstline.steering.back_end import CannotSteer, DeviceFault, Limits
from burstline.steering.hardware.actions import Action, actions_of
from burstline.steering.hardware.driver import HardwareDriver, find
from burstline.steering.hardware.flow_device import FlowDevice, FlowRule
from burstline.steering.hardware.masks import Masks
from burstline.steering.hardware.pattern import BUDGET, Pattern, patterns_of
from burstline.steering.hardware.priorities import Order, place, priority, rearranged
from burstline.steering.hardware.refusals import because, fault
from burstline.steering.hardware.transaction import Slot, Transaction
from burstline.steering.reta import differences
from burstline.steering.rule import SteeringRule


@dataclass(frozen=True)
class Plan:
    """What a rule takes, wherever it stands among others."""

    rule: SteeringRule
    patterns: tuple[Pattern, ...]
    actions: tuple[Action, ...]

    def slots(self, driver: HardwareDriver, level: int) -> list[Slot]:
        return [Slot(FlowRule(p.items, self.actions, priority(driver, level, p.has_vlan))) for p in self.patterns]


@dataclass
class Held:
    """A rule that is in force: its level, and the device's rules for it."""

    plan: Plan
    rank: int
    level: int
    slots: list[Slot]


class RteFlow:
    """The back end of a device with rte_flow rules. All that a rule takes is made or none of it, and what `apply` is
    given; new rules are there before old ones go, where the device has the room. That a device can do a rule is known
    when it has created it: it is never asked to validate one.

    A device that refuses to take back what was done is at fault, which DeviceFault says; what should be otherwise is
    tried again with the next call.
    """

    name = "rte_flow"

    def __init__(
        self,
        device: FlowDevice,
        core_queue: Callable[[int], int] = lambda core: core,
        *,
        driver: HardwareDriver | None = None,
        budget: int = BUDGET,
        ports: TunnelPorts = USUAL_PORTS,
    ) -> None:
        """`core_queue` says which queue the worker of a core polls (KeyError: none); one rule may take `budget` of the
        device's; `ports` are those that burstline finds tunnels at."""
        self.device, self.driver = device, driver or find(device.driver)
        self._core_queue, self._budget, self._ports = core_queue, budget, ports
        self._held: dict[int, Held] = {}
        self._order, self._masks = Order(), Masks(self.driver)
        self._handles, self._ranks = itertools.count(1), itertools.count()
        self._amiss: list[Slot] = []  # of no rule any more, but still in force
        self._missing = False  # whether a rule may lack some of what it takes

    # ---- the interface of a back end ----

    def apply(self, rules: Iterable[SteeringRule]) -> list[int]:
        """These rules in place of all others; those that stay keep their handles and counts."""
        self._clear()
        plans = [self._plan(rule) for rule in rules]
        spare: dict[SteeringRule, list[int]] = {}
        for handle, held in self._held.items():
            spare.setdefault(held.plan.rule, []).append(handle)
        handles = [spare[p.rule].pop(0) if spare.get(p.rule) else next(self._handles) for p in plans]
        self._change({h: (plan, next(self._ranks)) for h, plan in zip(handles, plans, strict=True)})
        return handles

    def add(self, rule: SteeringRule) -> int:
        self._clear()
        self._restore()
        plan, handle, rank = self._plan(rule), next(self._handles), next(self._ranks)
        self._masks.check(plan.patterns)
        self._order.add(handle, rule, rank)
        try:
            levels = {h: self._held[h].level for h in self._order.overlapping(handle)}
            level = place(self.driver, self._order, handle, levels)
            if level is None:
                self._change({**{h: (held.plan, held.rank) for h, held in self._held.items()}, handle: (plan, rank)})
                return handle
            slots = plan.slots(self.driver, level)
            self._carry_out([], slots, {slot: rule for slot in slots})
        except Exception:
            self._order.remove(handle)
            raise
        self._masks.add(plan.patterns)
        self._held[handle] = Held(plan, rank, level, slots)
        return handle

    def remove(self, handle: int) -> None:
        held = self._held[handle]
        self._carry_out(held.slots, [], dict.fromkeys(held.slots, held.plan.rule))
        del self._held[handle]
        self._order.remove(handle)
        self._masks.remove(held.plan.patterns)

    def counts(self) -> dict[int, tuple[int, int]]:
        """Packets and bytes of rules with `count`, summed over what each takes; bytes are 0 where the device counts
        none. Raises DeviceFault."""
        return {handle: self._counted(held) for handle, held in self._held.items() if held.plan.rule.count}

    def rules(self) -> dict[int, SteeringRule]:
        """All that are in force, by handle."""
        return {handle: held.plan.rule for handle, held in self._held.items()}

    def set_reta(self, queues: list[int]) -> None:
        """The queue of each bucket; only those that differ are written."""
        self._move(dict(differences(self._reta(), queues)))

    def move_bucket(self, bucket: int, queue: int) -> None:
        self._move({bucket: queue})

    def move_buckets(self, queues: Mapping[int, int]) -> None:
        self._move(queues)

    @property
    def limits(self) -> Limits:
        driver = self.driver
        left = max(driver.capacity - self.used, 0) if driver.capacity else (None if driver.rules else 0)
        each = 1 if driver.tagged_too else driver.tags + 1  # of a rule that names a flow
        return Limits(None if left is None else left // each, left, driver.updates, self.device.reta_size)

    @property
    def used(self) -> int:
        """Rules of the device that are taken."""
        return sum(len(held.slots) for held in self._held.values()) + len(self._amiss)

    def close(self) -> None:
        self.apply([])

    # ---- rules ----

    def _plan(self, rule: SteeringRule) -> Plan:
        actions = actions_of(rule, self.driver, self.device.queues, self._core_queue) if self.driver.rules else ()
        patterns = patterns_of(rule, self.driver, budget=self._budget, ports=self._ports)
        return Plan(rule, tuple(patterns), actions)

    def _change(self, wanted: Mapping[int, tuple[Plan, int]]) -> None:
        """From the rules that are held to these, by handle, with their ranks."""
        order, masks = Order(), Masks(self.driver)
        for handle, (plan, rank) in wanted.items():
            masks.check(plan.patterns)
            masks.add(plan.patterns)
            order.add(handle, plan.rule, rank)
        staying = {h: self._held[h].level for h in wanted if h in self._held}
        levels = rearranged(self.driver, order, staying, lambda h: f"{str(wanted[h][0].rule)!r}")
        after = {h: Held(plan, rank, levels[h], self._slots(h, plan, levels[h])) for h, (plan, rank) in wanted.items()}
        whose = {slot: held.plan.rule for each in (after, self._held) for held in each.values() for slot in held.slots}
        kept = dict.fromkeys(slot for held in after.values() for slot in held.slots)
        gone = [slot for held in self._held.values() for slot in held.slots if slot not in kept]
        self._carry_out(gone, [slot for slot in kept if slot.handle is None], whose)
        for handle in after.keys() & self._held.keys():
            if after[handle].slots is not self._held[handle].slots:
                for slot, before in zip(after[handle].slots, self._held[handle].slots, strict=True):
                    slot.packets, slot.bytes = before.packets, before.bytes
        self._held, self._order, self._masks = after, order, masks

    def _slots(self, handle: int, plan: Plan, level: int) -> list[Slot]:
        held = self._held.get(handle)
        return held.slots if held and held.level == level else plan.slots(self.driver, level)

    def _carry_out(self, gone: Sequence[Slot], new: Sequence[Slot], whose: Mapping[Slot, SteeringRule]) -> None:
        """First with both there at once; where that is refused, with the old ones gone first."""
        gone = [slot for slot in gone if slot.handle is not None]
        ways = [_new_first(gone, new), [*((False, s) for s in gone), *((True, s) for s in new)]]
        for steps in ways if gone and new else ways[1:]:
            transaction, slot = Transaction(self.device), None
            try:
                for create, slot in steps:
                    (transaction.create if create else transaction.destroy)(slot)
                return
            except FlowRefused as error:
                refusal, failed = error, slot
            if wrong := transaction.undo():
                self._amiss += [slot for slot in wrong if slot in new]
                self._missing = True
                raise fault(refusal, wrong, whose) from None
        assert failed is not None
        raise because(refusal, failed, whose[failed], self.driver) from None

    def _clear(self) -> None:
        """Destroy what could not be destroyed before."""
        for slot in list(self._amiss):
            try:
                Transaction(self.device).destroy(slot)
            except FlowRefused as error:
                what = f"a rule that was taken back is still in force: {error.message}"
                raise DeviceFault(what, "restart the port, which flushes its rules") from None
            self._amiss.remove(slot)

    def _restore(self) -> None:
        """Create again what was destroyed, and could not be created again then."""
        for held in self._held.values() if self._missing else ():
            for slot in held.slots:
                if slot.handle is None:
                    try:
                        Transaction(self.device).create(slot)
                    except FlowRefused as error:
                        raise fault(error, [slot], {slot: held.plan.rule}) from None
        self._missing = False

    def _counted(self, held: Held) -> tuple[int, int]:
        try:
            found = [slot.counted(self.device) for slot in held.slots]
        except FlowRefused as error:
            raise DeviceFault(f"the counts of '{held.plan.rule}' cannot be read: {error.message}", error.hint) from None
        return sum(packets for packets, _ in found), sum(octets for _, octets in found)

    # ---- RETA ----

    def _reta(self) -> list[int]:
        if not self.device.reta_size:
            raise CannotSteer("reta", f"{self.driver.driver} has none", "steer by rules, or by software")
        try:
            return self.device.reta()
        except FlowRefused as error:
            raise DeviceFault(f"the RETA cannot be read: {error.message}", error.hint) from None

    def _move(self, entries: Mapping[int, int]) -> None:
        before = self._reta()
        for bucket, queue in entries.items():
            if not 0 <= bucket < len(before) or not 0 <= queue < self.device.queues:
                hint = f"there are buckets 0 to {len(before) - 1}, and queues 0 to {self.device.queues - 1}"
                raise CannotSteer("reta", f"bucket {bucket} cannot go to queue {queue}", hint)
        if not entries:
            return
        try:
            self.device.update_reta(entries)
        except FlowRefused as error:
            refusal = error
        else:
            return
        try:
            self.device.update_reta({bucket: before[bucket] for bucket in entries})
            now = "the RETA is as it was"
        except FlowRefused:
            now = f"the RETA may have some of {len(entries)} new entries"
        raise DeviceFault(f"{refusal.message}; {now}", refusal.hint)


def _new_first(gone: Sequence[Slot], new: Sequence[Slot]) -> list[tuple[bool, Slot]]:
    """What is created and destroyed: a rule whose place is to be taken goes just before, all others at the end."""
    taken = {slot.place: slot for slot in gone}
    steps: list[tuple[bool, Slot]] = []
    for slot in new:
        if (before := taken.pop(slot.place, None)) is not None:
            steps.append((False, before))
        steps.append((True, slot))
    return steps + [(False, slot) for slot in taken.values()]
