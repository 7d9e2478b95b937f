"""Bursts given by their addresses, added to a sketch; to be compiled."""

from __future__ import annotations

from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_reference
from burstline.state.heavy_hitters_kernel import add_burst, add_burst_lengths

PACKETS = 256
burst_at = burst_reference(Burst(PACKETS))


def add_packets_of(sketch: int, burst: int, count: int, time: int) -> int:
    return add_burst(sketch, burst_at(burst), count, time)


def add_lengths_of(sketch: int, burst: int, count: int, time: int) -> int:
    return add_burst_lengths(sketch, burst_at(burst), count, time)
