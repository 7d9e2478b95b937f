"""24 million flows through tables that are sized for 10 million: every packet is accounted for. `make large` runs it;
it takes 2 GB of memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import burstline as bl
from burstline.engine.offline import FileRun

FLOWS, CAPACITY = 24_000_000, 10_000_000


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64


@contextmanager
def two_captures() -> Iterator[str]:
    """A pipe with half of the flows over IPv4, then half over IPv6, a packet each: no generator tells so many apart."""
    words = f"{sys.executable} -m burstline gen - --packets {FLOWS // 2} --flows {FLOWS // 2} --vlan 0 --ipv6"
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/flows.pcapng"
        os.mkfifo(path)
        writer = subprocess.Popen(["sh", "-c", f"({words} 0 && {words} 1) > {path}"])
        try:
            yield path
        finally:
            assert writer.wait() == 0


def through(full: Literal["refuse", "evict"], idle: float | None) -> None:
    """Every flow has one packet: a refused packet is a refused flow."""
    flows = bl.FlowTable(Flow, capacity=CAPACITY, full=full, idle=idle)
    gone = 0
    if idle is not None:

        @flows.expired
        def count(rows: Any) -> None:
            nonlocal gone
            gone += int(rows["packets"].sum())

    @bl.stage
    def count_packets(pkt: Any) -> None:
        flow = flows[pkt]
        flow.packets += 1
        flow.bytes += pkt.length

    started = time.perf_counter()
    with two_captures() as path:
        report = FileRun(bl.Pipeline(count_packets), path, None).run()
    left = flows.left
    held = int(flows.to_numpy()["packets"].sum())
    print(f"full={full}, idle={idle}: {report.received.packets:,} packets in {time.perf_counter() - started:.1f} s, "
          f"{len(flows):,} flows in the table, {flows.refused:,} packets refused, left: {left}")  # fmt: skip
    assert report.received.packets == FLOWS
    assert held == len(flows) <= CAPACITY
    assert len(flows) + flows.refused + sum(left.values()) == FLOWS
    if idle is not None:
        assert gone == sum(left.values()) + len(flows), "those that were there at the end included"
    elif full == "refuse":
        assert (len(flows), flows.refused) == (CAPACITY, FLOWS - CAPACITY)
    else:
        assert (len(flows), left["evicted"]) == (CAPACITY, FLOWS - CAPACITY)
    assert flows.warnings() or idle is not None


if __name__ == "__main__":
    through("refuse", None)
    through("evict", None)
    through("refuse", 2.0)
    through("evict", 60.0)
