"""What mends a machine for live ports: hugepages, where they are mounted, vfio-pci, and ports that are bound to it.

Each step is the command that a person would type, with what takes it back. Nothing here is done by being asked for it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from burstline.engine.probes import memory
from burstline.engine.probes.finding import Outcome, read, size
from burstline.errors import BurstlineError, UsageError

PCI = "sys/bus/pci"
OWN_LINK = ("fe8", "ff")  # fe80::/10 as the kernel uses it, ff00::/8


@dataclass(frozen=True)
class Write:
    """`echo TEXT > FILE`."""

    file: str  # without the slash at its beginning
    text: str

    def __str__(self) -> str:
        return f"echo {self.text or chr(39) * 2} > /{self.file}"

    def carry_out(self, root: Path) -> None:
        (root / self.file).write_text(f"{self.text}\n")


@dataclass(frozen=True)
class Run:
    """A program."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)

    def carry_out(self, root: Path) -> None:
        done = subprocess.run(self.words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.returncode, (done.stderr or done.stdout).strip() or f"exit code {done.returncode}")


Step = Write | Run


@dataclass(frozen=True)
class Repair:
    """Why, what is done, and what takes that back, in its order. `check`: a file that must hold this number then."""

    reason: str
    steps: tuple[Step, ...]
    undo: tuple[Step, ...]
    check: tuple[str, int] | None = None

    def carry_out(self, root: Path) -> None:
        """Raises BurstlineError, with what was not possible."""
        for step in self.steps:
            try:
                step.carry_out(root)
            except OSError as error:
                raise BurstlineError(
                    f"{step}: {error.strerror or error}", "it takes root, outside of a container"
                ) from None
        if self.check:
            file, wanted = self.check
            if (found := int(read(root / file))) < wanted:
                raise BurstlineError(
                    f"the kernel gave {found} of {wanted} pages: memory is in use, or in pieces",
                    "do it soon after the machine has started, or by the kernel's hugepages=",
                )


def repairs(root: Path, devices: Sequence[str] = (), pages: int | None = None) -> Iterator[Repair]:
    """What is missing, in the order in which it is mended; `pages` hugepages in all, or 1 GiB of them where none is
    free; `devices` are PCI addresses to be bound to vfio-pci. Raises UsageError for a device that cannot be."""
    yield from _hugepages(root, pages)
    if memory.pools_in(root / "sys/kernel/mm/hugepages") and memory.hugetlbfs(root).outcome is Outcome.NO:
        yield Repair(
            "hugepages are mounted nowhere: other programs that use DPDK look for them there",
            (Run(("mkdir", "-p", "/dev/hugepages")), Run(("mount", "-t", "hugetlbfs", "nodev", "/dev/hugepages"))),
            (Run(("umount", "/dev/hugepages")),),
        )
    if devices and not (root / PCI / "drivers/vfio-pci").is_dir():
        load = Run(("modprobe", "vfio-pci"))
        yield Repair(
            "vfio-pci is not loaded, by which DPDK reaches devices", (load,), (Run(("modprobe", "-r", "vfio-pci")),)
        )
    for device in devices:
        yield from _bound(root, device)


def _hugepages(root: Path, pages: int | None) -> Iterator[Repair]:
    pools = memory.pools_in(root / "sys/kernel/mm/hugepages")
    if not pools or (pages is None and any(free for _, free in pools.values())):
        return
    kib = 2048 if 2048 in pools else min(pools)
    total, free = pools[kib]
    wanted = pages if pages is not None else total - free + max(1, memory.WANTED_KIB // kib)
    if wanted <= total:
        return
    file = f"sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages"
    what = f"{free} of {total} hugepages of {size(kib)} are free, and {wanted} are wanted in all"
    yield Repair(what, (Write(file, str(wanted)),), (Write(file, str(total)),), (file, wanted))


def _bound(root: Path, device: str) -> Iterator[Repair]:
    """As dpdk-devbind.py does it: a driver that is told for this device alone, then the kernel asks again."""
    place = root / PCI / "devices" / device
    if not place.is_dir():
        raise UsageError(f"there is no PCI device {device}", "lspci -D shows them: 0000:3b:00.0")
    driver = (place / "driver").resolve().name if (place / "driver").exists() else ""
    if driver == "vfio-pci":
        return
    if used := [each.name for each in sorted(place.glob("net/*")) if _is_used(root, each.name)]:
        raise UsageError(
            f"{device} is {', '.join(used)}, which has routes: who binds it may lose the way to this machine",
            f"take it down first: ip link set {used[0]} down",
        )
    if not list(place.glob("iommu_group")):
        raise UsageError(
            f"{device} is in no IOMMU group: VFIO cannot protect memory from it",
            "switch the IOMMU on (burstline doctor says how), or decide on VFIO's unsafe mode yourself",
        )
    base = f"{PCI}/devices/{device}"
    unbind = (Write(f"{base}/driver/unbind", device),)
    again = Write(f"{PCI}/drivers_probe", device)
    yield Repair(
        f"{device} is {f'driven by {driver}' if driver else 'driven by nothing'}, not by vfio-pci",
        (Write(f"{base}/driver_override", "vfio-pci"), *(unbind if driver else ()), again),
        (Write(f"{base}/driver_override", ""), *unbind, again),
    )


def _is_used(root: Path, interface: str) -> bool:
    """Has routes: of IPv4, or of IPv6 to more than its own link, which each interface has."""
    usual, other = root / "proc/net/route", root / "proc/net/ipv6_route"
    if usual.is_file() and any(line.split()[:1] == [interface] for line in read(usual).splitlines()[1:]):
        return True
    lines = [line.split() for line in read(other).splitlines()] if other.is_file() else []
    return any(line[-1:] == [interface] and not line[0].startswith(OWN_LINK) for line in lines)
