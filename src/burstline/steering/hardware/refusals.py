"""What a device's refusal means for the rule that it refused."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from burstline.dpdk.flow_refused import FULL, FlowRefused
from burstline.errors import BurstlineError
from burstline.steering.back_end import CannotSteer, DeviceFault, TableFull
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.items import parts_of, rule_field
from burstline.steering.hardware.transaction import Slot
from burstline.steering.rule import SteeringRule

UNABLE = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP})


def because(refusal: FlowRefused, slot: Slot, rule: SteeringRule, driver: HardwareDriver) -> BurstlineError:
    """Of a refusal after which all is as it was."""
    creating = refusal.call.endswith("create")
    if creating and refusal.errno in FULL:
        hint = "remove rules, or leave the rest to the software director"
        return TableFull(f"{driver.driver} has no room for '{rule}': {refusal.said or refusal.message}", hint)
    if creating and refusal.errno in UNABLE:
        return CannotSteer(_blamed(refusal, slot, rule), f"{driver.driver} refused the rule: {refusal.message}",
                           "steer by software, which takes every rule")  # fmt: skip
    return DeviceFault(f"'{rule}': {refusal.message}; the rules are as they were", refusal.hint)


def fault(refusal: FlowRefused, wrong: Sequence[Slot], whose: Mapping[Slot, SteeringRule]) -> DeviceFault:
    """Of a refusal after which not all could be undone."""
    stay = [f"'{whose[slot]}' is still in force" for slot in wrong if slot.handle is not None]
    gone = [f"'{whose[slot]}' is not in force" for slot in wrong if slot.handle is None]
    now = "; ".join(dict.fromkeys(stay + gone))
    return DeviceFault(
        f"{refusal.message}; it could not be undone: {now}", "the next change tries again to set it right"
    )


def _blamed(refusal: FlowRefused, slot: Slot, rule: SteeringRule) -> str:
    """The field of the rule that a device disliked, as far as it told."""
    if refusal.kind.startswith("action"):
        return "to"
    if refusal.kind == "attr priority":
        return "priority"
    asked = rule.matched()
    if refusal.item is not None and refusal.item < len(slot.rule.items):
        one = slot.rule.items[refusal.item]
        names = [rule_field(one.kind, name) for name in parts_of(one)] + [rule_field(one.kind)]
        found = next((name for name in names if name in asked), None)
        if found:
            return found
    return next(iter(asked), "to")
