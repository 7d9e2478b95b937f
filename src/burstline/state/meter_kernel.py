"""The compiled `Meter`."""

from __future__ import annotations

from burstline.native.memory import select, wrapping_subtract
from burstline.state.meter import MeterBlock


def allow(meter: MeterBlock, time: int, length: int) -> int:
    """Fill the bucket, and take a packet's tokens if there are enough: 1, else 0."""
    full, level = meter.burst * meter.parts, meter.level
    passed = wrapping_subtract(time, meter.last)  # negative, too, where it is more than 63 bits
    later = time > meter.last
    long = (passed < 0) | (passed >= meter.fill_time)
    brought = select(long, 0, passed) * meter.rate
    filled = select(long | (brought > full - level), full, level + brought)
    level = select(later, filled, level)
    meter.last = select(later, time, meter.last)
    tokens = select(meter.of_bytes != 0, length, 1)
    cost = select(tokens > meter.burst, meter.burst + 1, tokens) * meter.parts
    fits = cost <= level
    meter.level = level - select(fits, cost, 0)
    meter.allowed += select(fits, 1, 0)
    meter.exceeded += select(fits, 0, 1)
    return select(fits, 1, 0)
