"""Running the stages over a burst chain by chain, with the packets that are handed to each chain in a bucket."""

from __future__ import annotations

from collections.abc import Callable

from burstline.engine.flow_prefetch import NEAR, flow_looks
from burstline.native.memory import external, load16, load64, store16, store64
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.pipeline.verdict import CHAINED, KIND_BITS, KIND_MASK
from burstline.simd.memory import scratch

enter = external("burstline_enter", 2)  # the first stage, made by compiler/chain.py: (burst, packet) -> verdict
enter_chain = external("burstline_enter_chain", 3)  # (burst, packet, chain) -> verdict


def bucket_runner(chains: int, capacity: int, flows: bool) -> Callable[[BurstColumns, int], None]:
    """`(burst, count)` fills the `verdict` column of a burst's packets. They come to chain 0; none of the `chains`
    leads to one before it."""

    look_first, look = flow_looks(shared=False)

    def put(burst: BurstColumns, counts: int, i: int, verdict: int) -> None:
        burst.verdict[i] = verdict
        if verdict & KIND_MASK == CHAINED:
            chain = verdict >> KIND_BITS
            waiting = load64(counts + 8 * chain)
            store16(burst_address(burst.buckets) + 2 * (chain * capacity + waiting), i)
            store64(counts + 8 * chain, waiting + 1)

    def run_buckets(burst: BurstColumns, count: int) -> None:
        counts = scratch()
        for chain in range(1, chains):
            store64(counts + 8 * chain, 0)
        if flows:
            look_first(burst, 0, count, 0, NEAR)
        for i in range(count):
            if flows:
                look(burst, i, count, 0, NEAR)
            put(burst, counts, i, enter(burst_address(burst), i))
        for chain in range(1, chains):
            bucket = burst_address(burst.buckets) + 2 * chain * capacity
            for k in range(load64(counts + 8 * chain)):
                i = load16(bucket + 2 * k)
                put(burst, counts, i, enter_chain(burst_address(burst), i, chain))

    return run_buckets
