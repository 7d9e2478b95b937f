"""Compiled: who polls a queue of the NIC in software plays it, one at a time.

A rte_rx_callback_fn (rte_ethdev.h): it is called behind the driver of a queue, whose packets stay as they are. What it
puts into queues comes with the next polls.
"""

from __future__ import annotations

from burstline.native.memory import compare_swap, store_release
from burstline.native.struct_type import reference
from burstline.steering.model.pump import Pump
from burstline.steering.model.pump_kernel import pump

U16 = 0xFFFF  # C leaves the rest of a register as it is
SLICE = 256  # packets at most, so that no worker is kept for long
PLAYING = Pump.layout.offset("playing")
pump_at = reference(Pump)


def play(port: int, queue: int, mbufs: int, received: int, most: int, argument: int) -> int:
    """`argument` is the address of the Pump; returns what came."""
    if compare_swap(argument + PLAYING, 0, 1) != 0:
        p = pump_at(argument)
        p.polls += 1
        pump(p, SLICE)
        store_release(argument + PLAYING, 0)
    return received & U16
