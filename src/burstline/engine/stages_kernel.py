"""Parsing a burst and running the stages over it: what every source has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.engine.account_kernel import count_verdict
from burstline.compiler.burst_type import burst_address
from burstline.native.memory import external
from burstline.packet.flow_key_kernel import owner_of, set_flow_key
from burstline.packet.parser import ETH, LINK_ETHERNET, parse
from burstline.pipeline.needs import Needs

enter = external("burstline_enter", 2)  # the first stage, made by compiler/chain.py: (burst, packet) -> verdict
prefetch_slots = external("burstline_prefetch_slots", 1)
prefetch_entries = external("burstline_prefetch_entries", 1)

FAR, NEAR = 16, 8  # packets ahead: the index of a flow table first, then the entry that it names


def burst_parser(needs: Needs) -> Callable[[Any, int, int], None]:
    """The parser of a burst, cut down to what the stages read."""
    full, eth, keys = needs.full_parse or needs.keys, needs.eth, needs.keys

    def parse_burst(burst: Any, n: int, workers: int) -> None:
        for i in range(n):
            if full:
                present, depth, l3, l4, payload, end, proto = parse(burst.data[i], burst.captured[i], burst.link[i])
                burst.present[i] = present
                burst.vlan_depth[i] = depth
                burst.l3[i] = l3
                burst.l4[i] = l4
                burst.payload[i] = payload
                burst.end[i] = end
                burst.proto[i] = proto
                if keys:
                    set_flow_key(burst, i)
                if keys and workers > 1:
                    burst.owner[i] = owner_of(burst, i, workers)
            elif eth:
                burst.present[i] = ETH if burst.link[i] == LINK_ETHERNET and burst.captured[i] >= 14 else 0

    return parse_burst


def stage_runner(needs: Needs) -> Callable[[Any, Any, int], None]:
    """Runs the stages over this worker's packets of a burst and counts what they say."""
    keys = needs.keys

    def run_stages(worker: Any, burst: Any, n: int) -> None:
        mine, alone = worker.index, worker.workers == 1
        if keys:
            for i in range(min(n, FAR)):
                prefetch_slots(burst.hash[i])
            for i in range(min(n, NEAR)):
                prefetch_entries(burst.hash[i])
        for i in range(n):
            if keys:
                prefetch_slots(burst.hash[i + FAR])
                prefetch_entries(burst.hash[i + NEAR])
            if alone or burst.owner[i] == mine:
                verdict = enter(burst_address(burst), i)
                burst.verdict[i] = verdict
                length = burst.length[i]
                worker.packets_in += 1
                worker.bytes_in += length
                count_verdict(worker, verdict, length)

    return run_stages
