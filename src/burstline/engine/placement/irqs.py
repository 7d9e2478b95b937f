"""Interrupts of network cards: which there are, and keeping them off the cores of workers while a run goes on.

Documentation/core-api/irq/irq-affinity.rst.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from burstline.numa.draw_text import ranges
from burstline.numa.placement_check import IrqAt
from burstline.numa.sysfs import NETWORK, cpu_list


@dataclass(frozen=True)
class Kept:
    """What became of the interrupts: numbers of those that were ever moved, and of those that the kernel would not
    move now."""

    moved: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()


def network_irqs(root: Path = Path("/")) -> list[IrqAt]:
    """Those that somebody handles, with the CPUs that they come to."""
    found = []
    for number in sorted(_numbers(root)):
        here = root / f"proc/irq/{number}"
        names = sorted(path.name for path in here.iterdir() if path.is_dir()) if here.is_dir() else []
        if names and (cpus := _cpus(here)):
            found.append(IrqAt(number, ", ".join(names), cpus))
    return found


def _numbers(root: Path) -> set[int]:
    """Of PCI functions of the class, of what is behind interfaces, and of virtio devices, by name."""
    devices = []
    for path in (root / "sys/bus/pci/devices").glob("*:*:*.*"):
        with suppress(OSError, ValueError):
            if int((path / "class").read_text(), 16) >> 16 == NETWORK:
                devices.append(path)
    virtio = []
    for path in (root / "sys/class/net").glob("*/device"):
        real = path.resolve()
        devices += [real, real.parent]
        virtio.append(real.name)
    found = {int(each.name) for device in devices for each in (device / "msi_irqs").glob("[0-9]*")}
    for device in devices:
        with suppress(OSError, ValueError):  # without MSI: the line, which others may be on, too
            if not (device / "msi_irqs").is_dir() and (line := int((device / "irq").read_text())) > 0:
                found.add(line)
    for path in (root / "proc/irq").glob("[0-9]*/*"):
        if path.name.partition("-")[0] in virtio and path.is_dir():
            found.add(int(path.parent.name))
    return found


def _cpus(irq: Path) -> tuple[int, ...]:
    """The CPUs that it comes to. What was just written is in effect from the next interrupt on."""
    told: list[list[int]] = []
    for name in ("smp_affinity_list", "effective_affinity_list"):
        with suppress(OSError):
            told.append(cpu_list((irq / name).read_text().strip()))
    both = [cpu for cpu in told[0] if cpu in told[-1]] if told else []
    return tuple(both or (told[0] if told else ()))


class IrqKeeper:
    """Keeps interrupts of network cards off some CPUs, and gives them back at the end."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._before: dict[int, str] = {}

    def keep_off(self, cpus: Collection[int], all_cpus: Collection[int]) -> Kept:
        """From now on, off these CPUs alone. Where an interrupt comes to no other, it goes to all that are left."""
        taken, refused = {*cpus}, list[int]()
        for irq in network_irqs(self._root):
            file = self._root / f"proc/irq/{irq.number}/smp_affinity_list"
            try:
                now = file.read_text().strip()
                before = cpu_list(self._before.get(irq.number, now))
                wanted = ({*before} - taken) or ({*all_cpus} - taken)
                if not wanted or wanted == {*cpu_list(now)}:
                    continue
                file.write_text(ranges(sorted(wanted)))
            except OSError:  # not root; or EIO: the driver keeps its affinity to itself
                refused.append(irq.number)
            else:
                self._before.setdefault(irq.number, now)
        return Kept(tuple(sorted(self._before)), tuple(refused))

    def restore(self) -> None:
        """As they were before the first `keep_off`; one that is gone by now is let go."""
        for number, text in self._before.items():
            if re.fullmatch(r"[\d,-]+", text):
                with suppress(OSError):
                    (self._root / f"proc/irq/{number}/smp_affinity_list").write_text(text)
        self._before.clear()
