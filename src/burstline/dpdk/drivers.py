"""The network drivers that the installed DPDK has, with their arguments and the PCI devices that they know.

Each driver's shared object carries this as `PMD_INFO_STRING= {json}`, which is what dpdk-pmdinfo.py reads
(https://doc.dpdk.org/guides/tools/pmdinfo.html).
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from burstline.dpdk.binding import native
from burstline.dpdk.device import Device

INFO = re.compile(rb"PMD_INFO_STRING= (\{[^\0]*\})\0")


@dataclass(frozen=True)
class Driver:
    """One driver; `pci` holds (vendor, device) ids, with 0xffff for any."""

    name: str
    arguments: str
    pci: frozenset[tuple[int, int]]

    @property
    def virtual(self) -> bool:
        """Whether it is picked by name; what takes no arguments is a driver for some other bus."""
        return not self.pci and bool(self.arguments) and self.name.startswith("net_")


@functools.cache
def drivers(directory: str = native.PMD_PATH) -> tuple[Driver, ...]:
    """Sorted by name; none when DPDK's drivers are linked in statically and so lie in no directory."""
    found: dict[str, Driver] = {}
    for path in sorted(Path(directory).glob("librte_net_*.so*")) if directory else ():
        if path.is_symlink():
            continue
        for raw in INFO.findall(path.read_bytes()):
            try:
                info = json.loads(raw)
            except ValueError:
                continue
            ids = frozenset((entry[0], entry[1]) for entry in info.get("pci_ids", ()))
            found[info["name"]] = Driver(info["name"], info.get("params", "").strip(), ids)
    return tuple(found[name] for name in sorted(found))


def virtual_drivers() -> list[str]:
    """The names that a `dpdk:net_...` device may begin with."""
    return [driver.name for driver in drivers() if driver.virtual]


def driver_for(device: Device, root: Path = Path("/sys/bus/pci/devices")) -> str:
    """The driver that DPDK will take for a device that it does not know yet; nothing where that cannot be told."""
    if device.bus == "vdev":
        return device.driver
    try:
        ids = [int((root / device.name / kind).read_text(), 16) for kind in ("vendor", "device")]
    except (OSError, ValueError):
        return ""
    known = (driver.name for driver in drivers() if {(ids[0], ids[1]), (ids[0], 0xFFFF)} & driver.pci)
    return next(known, "")


def driver_of(name: str) -> Driver | None:
    """The driver that a virtual device's name picks."""
    return next((driver for driver in drivers() if driver.name == name), None)
