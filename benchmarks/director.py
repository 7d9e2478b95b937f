"""The software director handing packets of 64 bytes to two workers; packets a second, more is better.

4,000 buffers go round on a ring: the director takes them by bursts of 64 on one core; a thread on another plays two
workers and the NIC (c/director.c), and fills what it gets with the next of 2**20 packets of 100,000 flows at random.
Beside it DPDK's `rte_distributor` in burst mode with the same ring and workers. The distributor is given each packet's
hash in its mbuf; ours parses the headers, computes the Toeplitz hash, and looks at the rules: none, or 10,000 for
single flows and 10 others.

`rule updates` is how many rules a second a thread puts into the director and takes out again, 1,000 at a time beside
10,000 others, while packets go round; none may be lost. All three threads share two cores. Goals: 1.5 times
rte_distributor; 200,000 rules a second.
"""

from __future__ import annotations

import ctypes
import statistics
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import cores
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from benchmarks.harness.director_loop import Director, Wire
    from burstline.steering.rule import SteeringRule

PACKETS, FLOWS, EXACT, OTHERS = 1 << 20, 100_000, 10_000, 10
UPDATED, AT_ONCE = 50_000, 1000
CASE = "64 bytes, 2 workers"


def run(options: Options) -> Iterator[Row]:
    from burstline import dpdk

    library = shared_library("director", options.cache, needs="libdpdk")
    if library is None or not dpdk.available():
        options.lacks("DPDK's rte_distributor", "apt-get install clang libdpdk-dev pkg-config, then make build")
        return
    if len(cores()) < 2:
        options.fails("rte_distributor", BurstlineError("there is one core", "run it where there are two"))
        return
    from benchmarks.harness.director_loop import WORKERS, Director, Wire, tuples
    from burstline.dpdk import eal
    from burstline.dpdk.pool import Pool
    from burstline.state.steering_table import SteeringTable
    from burstline.steering.director import SoftwareDirector
    from burstline.steering.rule import SteeringRule

    count = PACKETS // 16 if options.quick else PACKETS
    try:
        eal.start(huge=False)
    except BurstlineError as error:
        options.fails("rte_distributor", error)
        return
    with Pool(data_room=128, cache=0) as pool:
        c = ctypes.CDLL(str(library))
        traffic = tuples(count, FLOWS)
        wire, theirs = Wire(c, pool, traffic), c.make(ctypes.c_int64(WORKERS))
        table = SteeringTable(WORKERS)
        director = Director(wire, pool, table)
        try:
            yield _beside(options, wire, director, theirs, CASE)
            flows = list({row.tobytes(): None for row in traffic["bytes"]})[:EXACT]
            exact = [_exact(SteeringRule, flow, k % WORKERS) for k, flow in enumerate(flows)]
            SoftwareDirector(table).apply(exact)
            yield _beside(options, wire, director, theirs, f"{CASE}, {EXACT:,} rules for flows")
            others = [SteeringRule(src=f"10.{k}.0.0/16", dport=80, to="queue 1") for k in range(OTHERS)]
            SoftwareDirector(table).apply(exact + others)
            yield _beside(options, wire, director, theirs, f"{CASE}, {OTHERS} others, too")
            yield _updates(options, director)
        finally:
            director.close()
            wire.port.close()


def _beside(options: Options, wire: Wire, director: Director, distributor: int, case: str) -> Row:
    seconds, runs = (0.2, 2) if options.quick else (1.0, options.runs(5))
    before = director.lost
    pairs = [(director.rate(seconds), wire.of_distributor(distributor, seconds)) for _ in range(runs + 1)][1:]
    if director.lost != before:
        options.fails("director", BurstlineError(f"{director.lost - before:,} packets found no room", "run it again"))
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row("director", case, "rte_distributor, burst mode", ours, theirs, "packets/s", runs)


def _updates(options: Options, director: Director) -> Row:
    import numpy as np

    from burstline.packet.flow_key import KEY_SIZE
    from burstline.state.steering_words import Decision

    keys = np.zeros((UPDATED, KEY_SIZE), "u1")
    keys[:, :2] = 17, 4
    keys[:, 8:12] = np.arange(UPDATED, dtype="u4").view("u1").reshape(-1, 4)
    done, found, word = threading.Event(), list[float](), Decision(queue=1).word

    def change() -> None:
        time.sleep(0.1)
        while not done.is_set():
            start = time.perf_counter()
            for first in range(0, UPDATED, AT_ONCE):
                director.table.put_words(keys[first : first + AT_ONCE], 1, word)
            for first in range(0, UPDATED, AT_ONCE):
                director.table.remove(keys[first : first + AT_ONCE].tobytes())
            found.append(2 * UPDATED / (time.perf_counter() - start))

    before, other = director.lost, threading.Thread(target=change)
    other.start()
    director.rate(0.5 if options.quick else 3.0)
    done.set()
    other.join()
    if director.lost != before:
        options.fails("director", BurstlineError(f"{director.lost - before:,} packets were lost", "mend that"))
    return Row("director", "rule updates", None, statistics.median(found), None, "rules/s", len(found))


def _exact(kind: type[SteeringRule], flow: bytes, queue: int) -> SteeringRule:
    src, dst = (".".join(map(str, flow[at : at + 4])) for at in (0, 4))
    sport, dport = (int.from_bytes(flow[at : at + 2], "big") for at in (8, 10))
    return kind(src=src, dst=dst, proto="udp", sport=sport, dport=dport, to=f"queue {queue}")
