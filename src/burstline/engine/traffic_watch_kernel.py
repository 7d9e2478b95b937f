"""Noting what a burst's packets say to the steering controller, in compiled code.

Buckets are counted by packets that are drawn: of each group of so many in a row one, at random, which counts as all of
them. Each packet's chance is the same, whatever the order, so counts are right on average (a stratified sample: W. G.
Cochran, "Sampling Techniques", 1977, chapter 5); and together they are no more than a group off.
"""

from __future__ import annotations

from burstline.engine.traffic_watch import TrafficWatch
from burstline.native.build import apart
from burstline.native.memory import (
    cycles,
    load16,
    load32,
    load64,
    mix,
    shift_right,
    store16,
    store64,
    wrapping_add,
)
from burstline.native.struct_type import reference
from burstline.offload.mbuf import HASH, OL_FLAGS, RX_RSS_HASH
from burstline.packet.burst import BurstColumns
from burstline.packet.flow_key import SECRET_1, SECRET_2
from burstline.state.heavy_hitters_kernel import add_burst
from burstline.state.toeplitz_kernel import hash_packets

watch_at = reference(TrafficWatch)


def draw(watch: TrafficWatch, n: int) -> int:
    """List the packets of a burst that are drawn; returns how many. The first stands for the group that it was drawn
    of before, the others for `every` packets."""
    at, rest, every, chance, count = watch.next, watch.rest, watch.every, watch.chance, 0
    while at < n:
        store16(watch.drawn + 8 + 2 * count, at)
        count += 1
        chance = wrapping_add(chance, SECRET_1)
        place = shift_right(mix(chance, chance ^ SECRET_2), 32) * every >> 32
        at += rest + place
        rest = every - place
    watch.next, watch.rest, watch.chance = at - n, rest, chance
    return count


def add_packets(watch: TrafficWatch, hash: int, packets: int) -> None:
    place = watch.buckets + 8 * (hash & watch.mask)
    store64(place, load64(place) + packets)


def count_buckets(watch: TrafficWatch, burst: BurstColumns, n: int) -> None:
    every = watch.every  # another thread may change it
    count, first = draw(watch, n), watch.stands
    if count == 0:
        return
    left = 0
    for k in range(count):
        i = load16(watch.drawn + 8 + 2 * k)
        packets = first if k == 0 else every
        if watch.trusted and load64(burst.mbuf[i] + OL_FLAGS) & RX_RSS_HASH != 0:
            add_packets(watch, load32(burst.mbuf[i] + HASH), packets)
        else:
            if k > 0 and left == 0:
                first = every
            store16(watch.drawn + 8 + 2 * left, i)
            left += 1
    watch.stands = every
    if left > 0:
        hash_packets(watch.toeplitz, burst, left, watch.drawn)
        for k in range(left):
            i = load16(watch.drawn + 8 + 2 * k)
            add_packets(watch, load32(watch.hashes + 4 * i), first if k == 0 else every)


@apart
def watch_burst(at: int, burst: BurstColumns, n: int, time: int) -> None:
    """Packets of a parsed burst, before stages change them; `time` in ns."""
    watch = watch_at(at)
    add_burst(watch.sketch, burst, n, time)
    count_buckets(watch, burst, n)


def add_busy(at: int, since: int) -> None:
    """The worker was busy from the cycle `since` on."""
    watch = watch_at(at)
    watch.busy += cycles() - since
