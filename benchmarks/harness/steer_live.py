"""Live runs with an elephant among mice, on two cores: how long mice wait until a worker takes them."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import burstline as bl
from benchmarks.harness.process import cores
from benchmarks.harness.steer_traffic import COUNT, ELEPHANT_PORT, MICE, STAMP
from burstline.engine.config import Config, Engine, Port
from burstline.engine.live import LiveRun
from burstline.steering.control.settings import Settings

LOAD = 1.36  # of a core: 0.82 are the elephant's, and 1.09 are at its core as long as half of the mice are there
BURST, LOOK = 32, 0.05
CALIBRATED = (20, 60)  # rounds of work
TAIL = 0.3  # seconds for what waits at the end
RUNS = 3  # of which the fastest says what a core can do
Act = Literal["off", "on"]  # a dry run would not do for plain RSS: it decides the same at each look
Counts = dict[int, int]


class Seen(bl.Record):
    packets: bl.u32
    disordered: bl.u32  # packets that were due before the one before
    last: bl.u64


@dataclass(frozen=True)
class Plan:
    """What a run is given. `rate` in packets/s; of 0 the wire is as fast as the one worker that there is then. Seconds
    from `warm` on are counted, so many as `counted` says."""

    capture: str
    rounds: int
    rate: float = 0.0
    act: Act = "off"
    warm: float = 0.1
    counted: float = 0.3

    @property
    def times(self) -> int:
        return math.ceil(self.rate * (self.warm + self.counted) / COUNT) if self.rate else 1_000_000

    @property
    def seconds(self) -> float:
        """Until all packets of the wire came."""
        return self.times * COUNT / self.rate + TAIL if self.rate else self.warm + self.counted


@dataclass(frozen=True)
class Waited:
    """Microseconds from when a packet was due on the wire until a worker took it, of packets that were counted."""

    count: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Found:
    """Of a run. `made` packets came by the wire, of which `missed` found their queue full; `records` are of flows,
    `seen` the packets in them."""

    mice: Waited
    elephant: Waited
    rate: float  # packets/s that were taken while it was counted
    made: int
    received: int
    missed: int
    records: int
    seen: int
    disordered: int
    elephant_records: int
    placed: int  # times that the elephant was
    moved: dict[str, int]  # as the report has it
    late_moves: int  # while it was counted
    balanced: bool

    def faults(self, *, steered: bool) -> list[str]:
        """What must not be, whatever the machine does."""
        lost = self.made - self.received - self.missed
        checks = {
            f"{lost:,} packets are lost beyond those that found their queue full": lost != 0,
            f"verdicts and records of {self.received:,} packets do not add up": not self.balanced
            or self.seen != self.received,
            f"there are {self.records:,} records of {MICE + 1:,} flows": self.records > MICE + 1
            or (self.records < MICE + 1 and not self.missed),
            f"there are {self.elephant_records} records of the elephant": self.elephant_records != 1,
            f"{self.disordered:,} packets were overtaken": self.disordered > 0 and not self.moved.get("late"),
            "nothing moved": steered and self.placed > 0 and not self.moved.get("records"),
        }
        return [text for text, wrong in checks.items() if wrong]


def app(rounds: int) -> tuple[bl.Pipeline, bl.FlowTable, bl.Histogram, bl.Histogram]:
    flows = bl.FlowTable(Seen, capacity=1 << 15)
    mice, elephant, work = bl.Histogram("mice"), bl.Histogram("elephant"), bl.Counter("work")

    @bl.stage
    def inspect(pkt: Any) -> bl.Verdict:
        flow = flows[pkt]
        flow.packets += 1
        due = pkt.payload.be32(0) << 32 | pkt.payload.be32(4)
        if due < flow.last:
            flow.disordered += 1
        flow.last = due
        if pkt.udp.dport == ELEPHANT_PORT:
            elephant.add(pkt.time - due)
        else:
            mice.add(pkt.time - due)
        for k in range(rounds):
            work.add(bl.byte_entropy(pkt.payload[8 + k :]))
        return bl.drop("seen")

    return bl.Pipeline(inspect), flows, mice, elephant


def live(plan: Plan) -> Found:
    pipeline, flows, mice, elephant = app(plan.rounds)
    rate = f",rate={plan.rate:.0f},stamp={STAMP}" if plan.rate else ""
    device = f"nic-model,driver=e810,by=workers,times={plan.times}{rate},pcap={plan.capture}"
    steered = plan.rate > 0  # also where nothing is changed, so that both kinds of run have the same code
    engine = Engine(
        workers=2 if plan.rate else 1, burst=BURST, duration=plan.seconds + 10, stats_interval=False,
        cores=tuple(cores()[:2]),
    )  # fmt: skip
    run = LiveRun(
        pipeline, [device], None,
        Config(
            engine=engine, enable_flow_director=True if steered else "auto",
            steering_control=Settings(act=plan.act, look=LOOK),
            ports=(Port(device=f"dpdk:{device}", steer="rte_flow"),) if steered else (),
        ),
    )  # fmt: skip
    before, after, moves, seconds = list[Counts](), list[Counts](), list[int](), list[float]()

    def note(counts: list[Counts]) -> None:
        counts += [{bucket.low: bucket.values for bucket in each.counts()} for each in (mice, elephant)]
        moves.append(run.directing.moves.moves if run.directing.moves else 0)
        seconds.append(time.monotonic())

    def follow() -> None:
        while not run.is_running:
            time.sleep(0.001)
        began = time.monotonic()
        time.sleep(plan.warm)
        note(before)
        time.sleep(plan.counted)
        note(after)
        time.sleep(max(0.0, began + plan.seconds - time.monotonic()))
        run.stop()

    other = threading.Thread(target=follow, daemon=True)
    other.start()
    report = run.run()
    other.join()
    rows, said = flows.to_numpy(), report.steering
    waited = [_waited(*both) for both in zip(before, after, strict=True)]
    placed = [one for one in said.get("decisions", []) if one.get("action") == "Place"]
    return Found(
        *waited,
        rate=sum(one.count for one in waited) / (seconds[1] - seconds[0]),
        made=plan.times * COUNT if plan.rate else report.received.packets,
        received=report.received.packets, missed=report.ports[0]["missed"], balanced=report.balanced,
        records=len(rows), seen=int(rows["packets"].sum()), disordered=int(rows["disordered"].sum()),
        elephant_records=int((rows["dport"] == ELEPHANT_PORT).sum()),
        placed=sum(str(one["flow"]).endswith(f":{ELEPHANT_PORT}") for one in placed),
        moved=said.get("moved", {}), late_moves=moves[1] - moves[0],
    )  # fmt: skip


def _waited(before: Counts, after: Counts) -> Waited:
    counts = [(low, values - before.get(low, 0)) for low, values in sorted(after.items())]
    total = sum(values for _, values in counts)

    def at(share: float) -> float:
        rank = share * total
        for low, values in counts:
            rank -= values
            if rank < 0:
                return low / 1000
        return 0.0

    return Waited(total, at(0.5), at(0.99))


def calibrated(live: Callable[[Plan], Found], capture: Path, microseconds: float) -> tuple[int, float]:
    """Rounds of work for a packet that costs so much, NIC included, and the packets/s that one core can do of them."""

    def of(rounds: int) -> float:
        return max(live(Plan(str(capture), rounds)).rate for _ in range(RUNS))

    few, many = CALIBRATED
    costs = [1e6 / of(rounds) for rounds in CALIBRATED]
    each = (costs[1] - costs[0]) / (many - few)
    rounds = max(1, 10 * round((microseconds - costs[0] + few * each) / each / 10))  # tens, so that code is cached
    return rounds, of(rounds)


@contextmanager
def own_process() -> Iterator[Callable[[Plan], Found]]:
    """What does live runs in a process that comes before others, where the system allows that."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_come_first) as executor:
        yield lambda plan: executor.submit(live, plan).result()


def _come_first() -> None:
    """Stands in for cores of their own. Where sessions are groups (sched(7), autogroup), nice counts within each."""
    with suppress(OSError):
        os.setsid()
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("-20")
    with suppress(OSError):
        os.nice(-20)
