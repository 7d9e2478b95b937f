"""Running the burst stages over a burst, sixteen packets at a time, ahead of the stages that take single packets."""

from __future__ import annotations

from collections.abc import Callable

from burstline.native.memory import external, load16
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.packet.group_fields import LANES
from burstline.simd import u8x16
from burstline.simd.memory import store_vector

run_group = external("burstline_group", 4)  # by compiler/burst_stages.py: (burst, first, own, active) -> those left


def burst_stage_runner(shared: bool) -> Callable[[BurstColumns, int, int], None]:
    """`(burst, count, own)` fills the columns `early` and `decided` of a burst's packets: what a burst stage said of
    them, and which one, counted from 1; 0 where all let them go on. `own` is the worker's list, where there is one."""

    def run_burst_stages(burst: BurstColumns, count: int, own: int) -> None:
        for first in range(0, count, LANES):
            if shared:
                for k in range(first, min(first + LANES, count)):
                    burst.decided[load16(own + 8 + 2 * k)] = 0
            else:
                store_vector(burst_address(burst.decided) + first, u8x16(0))
            run_group(burst_address(burst), first, own, (1 << min(LANES, count - first)) - 1)

    return run_burst_stages
