"""Memory on a NUMA node, chosen before its pages are populated (mbind(2))."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

from burstline.state.region import Region

MPOL_PREFERRED = 1
_NUMBERS = {"x86_64": 237, "aarch64": 235}  # of the system call: libc has no function for it


def prefer(region: Region, node: int) -> bool:
    """Have a region's pages come from `node` as long as that one has some; whether the system takes the wish. With one
    node there is nothing to wish for."""
    number = _NUMBERS.get(platform.machine()) if sys.platform == "linux" else None
    if number is None or len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) < 2:
        return False
    page = 4096
    start = region.address & -page
    mask = ctypes.c_ulong(1 << node)
    libc = ctypes.CDLL(None, use_errno=True)
    length = region.address + region.size - start
    done = libc.syscall(
        ctypes.c_long(number), ctypes.c_void_p(start), ctypes.c_ulong(length), ctypes.c_int(MPOL_PREFERRED),
        ctypes.byref(mask), ctypes.c_ulong(8 * ctypes.sizeof(mask)), ctypes.c_uint(0),
    )  # fmt: skip
    return int(done) == 0
