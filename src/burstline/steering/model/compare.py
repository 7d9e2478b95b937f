"""Whether the items of a rule match the headers of a packet."""

from __future__ import annotations

from collections.abc import Sequence

from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.items import LAYOUTS, MORE, Item, parts_of
from burstline.steering.model.headers import Header

TRANSPORTS = ("TCP", "UDP", "SCTP")


def matched(items: Sequence[Item], found: Sequence[Header], driver: HardwareDriver) -> bool:
    """Items and headers go side by side from the outermost on; what the driver's data says of tags and protocols
    counts."""
    at, skips = 0, driver.tagged_too
    for number, item in enumerate(items):
        if item.kind in ("IPV4", "IPV6") and skips:
            while at < len(found) and found[at].kind == "VLAN":
                at += 1
        if at >= len(found) or not _is(item, found[at], driver):
            return False
        if not _bytes(item, found[at].data):
            return False
        more = parts_of(item).get(MORE)
        if more and more.mask:
            if more.value != (at + 1 < len(found) and found[at + 1].kind == "VLAN"):
                return False
            skips = skips or bool(more.value)
        if driver.names_proto and item.kind in TRANSPORTS and not _told_by_ip(items, found, driver):
            return False
        alone = number + 1 == len(items)
        if driver.other_protocols and alone and item.kind in ("IPV4", "IPV6"):
            return not any(header.kind in TRANSPORTS for header in found)
        at += 1
    return True


def _is(item: Item, header: Header, driver: HardwareDriver) -> bool:
    if item.kind == header.kind:
        return True
    if driver.ip_alike and {item.kind, header.kind} <= {"IPV4", "IPV6"}:
        return True
    return driver.names_proto and {item.kind, header.kind} <= {*TRANSPORTS}


def _told_by_ip(items: Sequence[Item], found: Sequence[Header], driver: HardwareDriver) -> bool:
    """Who says nothing of the protocol with a transport's item compares it by the IP item's, if that names one."""
    ip = next(item for item in items if item.kind in ("IPV4", "IPV6"))
    header = next(header for header in found if header.kind in ("IPV4", "IPV6"))
    wanted = parts_of(ip).get("proto")
    compares = wanted is not None and (wanted.mask or driver.items[ip.kind].get("proto") == "spec")
    return not compares or (wanted is not None and wanted.value == header.proto)


def _bytes(item: Item, header: bytes) -> bool:
    """The wire's part of spec and mask, byte by byte; with `last`, field by field."""
    if not item.spec:
        return True
    wire = LAYOUTS[item.kind].wire
    if not item.last:
        return all((a ^ b) & m == 0 for a, b, m in zip(header[:wire], item.spec, item.mask, strict=False))
    for place in LAYOUTS[item.kind].fields.values():
        if place.offset >= wire:
            continue
        at = slice(place.offset, place.offset + place.width)
        value, least, most, mask = (int.from_bytes(d[at], "big") for d in (header, item.spec, item.last, item.mask))
        if not least & mask <= value & mask <= most & mask:
            return False
    return True
