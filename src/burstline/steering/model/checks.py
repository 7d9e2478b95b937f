"""What a driver refuses when a rule is created: by the data of `hardware/drivers`, read from the bytes of its items."""

from __future__ import annotations

import errno

from burstline.dpdk.flow_refused import FlowRefused
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.flow_device import FlowRule
from burstline.steering.hardware.items import LAYOUTS, Item

ORDER = ("ETH", "VLAN", "IPV4", "IPV6", "TCP", "UDP", "SCTP", "GRE", "GRE_KEY", "VXLAN", "GENEVE", "GTPU")
FATES = ("QUEUE", "RSS", "DROP", "PASSTHRU")


def check(rule: FlowRule, driver: HardwareDriver, queues: int, call: str) -> None:
    """Raises FlowRefused."""
    if not driver.rules:
        raise FlowRefused(call, errno.ENOSYS)
    _check_actions(rule, driver, queues, call)
    numbers = [driver.highest + (level if driver.rising else -level) for level in range(driver.levels)]
    if rule.priority not in numbers:
        raise FlowRefused(call, errno.EINVAL, "attr priority", "priority is not supported")
    tags = 0
    for number, item in enumerate(rule.items):
        if item.kind not in driver.items:
            raise FlowRefused(call, errno.ENOTSUP, "item", "item is not supported", number)
        tags += item.kind == "VLAN"
        if tags > driver.tags:
            raise FlowRefused(call, errno.ENOTSUP, "item", "too many tags", number)
        _check_masks(item, number, driver, call)
    kinds = [item.kind for item in rule.items]
    if kinds != sorted(kinds, key=ORDER.index) or kinds[:1] != ["ETH"]:
        raise FlowRefused(call, errno.EINVAL, "item", "wrong order of items", 0)
    if driver.ends is not None and kinds[-1] not in driver.ends:
        raise FlowRefused(call, errno.EINVAL, "item", "incomplete pattern", len(kinds) - 1)
    if driver.needs_field and not any(any(item.spec) or any(item.mask) for item in rule.items[1:]):
        raise FlowRefused(call, errno.EINVAL, "item spec", "Invalid input set", 0)


def _check_masks(item: Item, number: int, driver: HardwareDriver, call: str) -> None:
    """Each byte of a mask must be of a field that the driver compares, as it compares it."""
    left = bytearray(item.mask)
    for name, how in driver.items[item.kind].items():
        place = LAYOUTS[item.kind].fields[name]
        at = slice(place.offset, place.offset + place.width)
        full = place.mask.to_bytes(place.width, "big")
        here = bytes(a & b for a, b in zip(item.mask[at], full, strict=False))
        if how == "full" and any(here) and here != full:
            raise FlowRefused(call, errno.ENOTSUP, "item mask", f"partial mask of {name}", number)
        if item.last and how != "range" and item.last[at] != item.spec[at]:
            raise FlowRefused(call, errno.ENOTSUP, "item last", f"no range of {name}", number)
        left[at] = bytes(a & ~b & 0xFF for a, b in zip(left[at], full, strict=False))
    if any(left):
        raise FlowRefused(call, errno.ENOTSUP, "item mask", "mask enables non supported bits", number)


def _check_actions(rule: FlowRule, driver: HardwareDriver, queues: int, call: str) -> None:
    fates = [action for action in rule.actions if action.kind in FATES]
    others = [action.kind for action in rule.actions if action.kind not in FATES]
    if len(fates) != 1 or fates[0].kind not in driver.actions:
        raise FlowRefused(call, errno.ENOTSUP, "action", "action not supported")
    if not {*others} <= driver.beside or len({*others}) != len(others):
        raise FlowRefused(call, errno.ENOTSUP, "action", "unsupported combination of actions")
    wanted = fates[0].queues if fates[0].kind == "RSS" else [fates[0].number] if fates[0].kind == "QUEUE" else []
    if any(queue >= queues for queue in wanted) or (fates[0].kind == "RSS" and not wanted):
        raise FlowRefused(call, errno.ERANGE, "action conf", "queue index out of range")
    if any(action.kind == "MARK" and action.number > driver.most_mark for action in rule.actions):
        raise FlowRefused(call, errno.ERANGE, "action conf", "mark id exceeds the limit")
