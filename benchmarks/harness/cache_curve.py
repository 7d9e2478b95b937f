"""Measures what a read of a random cache line costs over the memory that is walked through, on this machine.

`python -m benchmarks.harness.cache_curve` prints the table that the simulator takes (numa/simulate/curves): sizes as
shares of L3, and the share of reads that L3 does not have. The fastest of several walks counts, as others use the L3 of
a shared machine, too.
"""

from __future__ import annotations

import time
from pathlib import Path

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block, Region

LINE, STEPS, RUNS = 64, 1 << 14, 200
SHARES = (0.03125, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0)


class Walk(Struct):
    start: i64
    steps: i64


_walk = Kernel("benchmarks.harness.cache_curve_kernel:walk", Walk)


def nanoseconds(size: int) -> float:
    """Of a read, in so many bytes of huge pages, where there are any."""
    import numpy as np

    lines = max(2, size // LINE)
    region = Region(max(lines * LINE, 4 << 20))
    order = np.random.default_rng(1).permutation(lines)
    memory = region.numpy("i8", lines * LINE // 8).reshape(lines, LINE // 8)
    memory[order, 0] = region.address + np.roll(order, -1) * LINE
    walk = Block(Walk.layout)
    walk.set(start=region.address, steps=max(STEPS, lines))
    _walk.load()(walk.address)
    found = []
    for _ in range(RUNS):
        walk.set(steps=STEPS)
        began = time.perf_counter_ns()
        walk.set(start=_walk(walk.address))
        found.append((time.perf_counter_ns() - began) / STEPS)
    return min(found)


def l3_size() -> int:
    text = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip()
    return int(text[:-1]) << {"K": 10, "M": 20}[text[-1]]


def main() -> None:
    l3 = l3_size()
    found = [nanoseconds(round(share * l3)) for share in SHARES]
    low, high = found[1], found[-1]
    missed = [min(1.0, max(0.0, (ns - low) / (high - low))) for ns in found]
    print(f"l3 = {l3}")
    print(f"shares = {list(SHARES)}")
    print(f"ns = {[round(ns, 1) for ns in found]}")
    print(f"missed = {[round(share, 3) for share in missed]}")


if __name__ == "__main__":
    main()
