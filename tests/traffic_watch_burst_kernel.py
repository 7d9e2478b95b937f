"""A burst given by its address, watched; to be compiled."""

from __future__ import annotations

from burstline.engine.traffic_watch_kernel import watch_burst
from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_reference

PACKETS = 256
burst_at = burst_reference(Burst(PACKETS))


def watch_packets(watch: int, burst: int, count: int, time: int) -> int:
    watch_burst(watch, burst_at(burst), count, time)
    return 0
