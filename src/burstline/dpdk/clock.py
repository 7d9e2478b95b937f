"""The time-stamp counter beside the system's clock, by which all workers of a run tell the time."""

from __future__ import annotations

import time
from typing import NamedTuple

from burstline.dpdk.binding import native

TRIES = 5  # to read both close to each other


class Clock(NamedTuple):
    """At `counter` it was `ns` since the epoch; `scale` is nanoseconds in 2**32 counts."""

    counter: int
    ns: int
    scale: int

    @classmethod
    def read(cls) -> Clock:
        """EAL must run: it knows the counter's rate."""
        best, width = (0, 0), 1 << 62
        for _ in range(TRIES):
            before, counter, after = time.time_ns(), native.tsc(), time.time_ns()
            if after - before < width:
                best, width = (counter, (before + after) // 2), after - before
        return cls(*best, (10**9 << 32) // native.tsc_hz())
