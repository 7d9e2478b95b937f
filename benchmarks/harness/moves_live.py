"""Live runs in which queues and buckets go from worker to worker while packets come as fast as workers take them."""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import burstline as bl
from benchmarks.harness.process import cores
from burstline.engine.config import Config, Engine, Port
from burstline.engine.live import LiveRun
from burstline.steering.edit import MoveBuckets

FLOWS, PACKETS, BUCKETS, BURST = 1024, 1 << 14, 128, 64
What = Literal["queue", "bucket"]


class Seen(bl.Record):
    packets: bl.u64
    next: bl.u32  # number that the flow's next packet should have
    astray: bl.u32  # packets that had another one: something was lost, doubled or overtaken


@dataclass(frozen=True)
class Found:
    """Of a run: milliseconds of each move, packets that were received, and what is wrong of them."""

    took: list[float]
    received: int
    seen: int
    astray: int
    records: int
    balanced: bool
    missed: int
    moved: dict[str, int]

    @property
    def lost(self) -> int:
        """Packets that came and were not handled once."""
        return abs(self.received - self.seen) + self.missed + (0 if self.balanced else 1)


def write_traffic(path: Path) -> None:
    """PACKETS of FLOWS in a random order, 64 bytes each; each has its number in its flow, and how many there are, so
    that the first comes again behind the last."""
    order = np.random.default_rng(1).permutation(np.arange(PACKETS) % FLOWS).tolist()
    sent = [0] * FLOWS
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for flow in order:
            out.write(struct.pack("<4I", 0, 0, 64, 64) + frame(flow, sent[flow], PACKETS // FLOWS))
            sent[flow] += 1


def frame(flow: int, number: int, count: int) -> bytes:
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 50, 0, 0, 64, 17, 0, 0x0A000001 + flow, 0x0A090001)
    udp = struct.pack("!4H", 1024 + flow, 5001, 30, 0)
    return (bytes(12) + b"\x08\0" + ip + udp + struct.pack("!II", number, count)).ljust(64, b"\0")


def app() -> tuple[bl.Pipeline, bl.FlowTable]:
    flows = bl.FlowTable(Seen, capacity=1 << 13)

    @bl.stage
    def check(pkt: Any) -> bl.Verdict:
        flow = flows[pkt]
        number = pkt.payload.be32(0)
        if number != flow.next:
            flow.astray += 1
        flow.next = (number + 1) % pkt.payload.be32(4)
        flow.packets += 1
        return bl.drop("seen")

    return bl.Pipeline(check), flows


def moved(capture: str, what: What, count: int, least: int) -> Found:
    """So many moves and packets, at least: of a whole queue's buckets to the other worker and back, or of one."""
    pipeline, flows = app()
    device = f"nic-model,driver=model,by=workers,times=1000000000,reta={BUCKETS},pcap={capture}"
    engine = Engine(workers=2, burst=BURST, duration=240, stats_interval=False, cores=tuple(cores()[:2]))
    config = Config(engine=engine, enable_flow_director=True, ports=(Port(device=f"dpdk:{device}", steer="rte_flow"),))
    run, over, took = LiveRun(pipeline, [device], None, config), threading.Event(), list[float]()

    def change() -> None:
        while not run.is_running and not over.wait(0.001):
            pass
        over.wait(0.2)
        while not over.is_set() and (len(took) < count or _received(run) < least):
            buckets = range(0, BUCKETS, 2) if what == "queue" else (2 * (len(took) // 2) % BUCKETS,)
            to = 1 - len(took) % 2
            began = time.perf_counter()
            done = run.steer([MoveBuckets(tuple((bucket, to) for bucket in buckets))])
            took.append(1e3 * (time.perf_counter() - began))
            if any(one.error for one in done):
                break
            over.wait(0.01)
        run.stop()

    other = threading.Thread(target=change, daemon=True)
    other.start()
    try:
        report = run.run()
    finally:
        over.set()
        other.join()
    rows = flows.to_numpy()
    return Found(
        took, report.received.packets, int(rows["packets"].sum()), int(rows["astray"].sum()), len(rows),
        report.balanced, report.ports[0]["missed"], report.steering["moved"],
    )  # fmt: skip


def _received(run: LiveRun) -> int:
    return sum(memory.get("packets_in") for memory in run.directing.moves._contexts) if run.directing.moves else 0
