"""How much memory in huge pages this process could have right now."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
MAP_HUGETLB = 0x40000  # not among mmap's constants before Python 3.13
MAP_HUGE_SHIFT = 26


@dataclass(frozen=True)
class HugePages:
    """The pool of one page size: `free` are neither in use nor promised to a mapping."""

    size: int
    total: int
    free: int


def pools(root: Path = Path("/sys/kernel/mm/hugepages")) -> list[HugePages]:
    """The kernel's pools, smallest page first; none where the kernel has no huge pages."""
    found = []
    for directory in root.glob("hugepages-*kB"):
        try:
            total, free, reserved = (
                int((directory / f"{name}_hugepages").read_text()) for name in ("nr", "free", "resv")
            )
        except (OSError, ValueError):
            continue
        size = int(directory.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        found.append(HugePages(size, total, max(0, free - reserved)))
    return sorted(found, key=lambda pool: pool.size)


def usable(mib: int) -> bool:
    """Whether `mib` MiB of them can be mapped: tried, since limits and permissions count too."""
    missing = mib * MIB
    for pool in pools():
        pages = min(pool.free, -(-missing // pool.size))
        if pages and _maps(pages * pool.size, pool.size):
            missing -= pages * pool.size
    return missing <= 0


def _maps(length: int, page: int) -> bool:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB | (page.bit_length() - 1) << MAP_HUGE_SHIFT
    try:
        mmap.mmap(-1, length, flags=flags).close()
    except OSError:
        return False
    return True
