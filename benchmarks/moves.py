"""Flows that move between workers while packets come as fast as these take them: what is lost and overtaken, how long.

Live, two workers on two cores, a NIC in software with two queues and 128 buckets whose wire waits when there is no
room; 64-byte packets of 1,024 flows, each with its number in its flow, checked against the flow's record. *A queue*:
all 64 buckets of the first worker go to the other one and back, with all their records; *a bucket*: one, and back. At
least a million packets of each. Milliseconds are from when a move is asked for until its flows have moved, rules,
records, held packets and all. The process has the highest priority that it gets; with two cores the thread that carries
moves out takes its time from the workers, and so does whatever else runs.

"astray" are packets that were not the next of their flow, as its record knows it: lost, doubled or overtaken.

Goals: none lost, none astray, 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness.process import cores
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

GOAL = 10.0  # milliseconds


def run(options: Options) -> Iterator[Row]:
    from burstline import dpdk

    if not dpdk.available():
        options.lacks("DPDK", "apt-get install clang libdpdk-dev pkg-config, then make build")
        return
    if len(cores()) < 2:
        options.fails("live", BurstlineError("there is one core", "run it where there are two"))
        return
    import numpy as np

    from benchmarks.harness.moves_live import What, moved, write_traffic
    from benchmarks.harness.steer_live import _come_first

    count, least = (10, 100_000) if options.quick else (200, 1_000_000)
    kinds: tuple[What, ...] = ("queue", "bucket")
    with TemporaryDirectory() as directory:
        capture = Path(directory) / "in.pcap"
        write_traffic(capture)
        for what in kinds:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_come_first) as executor:
                found = executor.submit(moved, str(capture), what, count, least).result()
            shares = {name: float(np.quantile(found.took, share)) for name, share in (
                ("p10", 0.1), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99),
            )}  # fmt: skip
            said = ", ".join(f"{name} {ms:.1f}" for name, ms in shares.items())
            options.say(
                f"moves: a {what}: {found.received:,} packets, {len(found.took)} moves, ms: {said}; {found.moved}"
            )
            case, moves = f"a {what}", len(found.took)
            yield Row("moves", f"{case}: lost", "goal", found.lost, 0, "packets", moves)
            yield Row("moves", f"{case}: astray", "goal", found.astray, 0, "packets", moves)
            for name in ("p50", "p99"):
                yield Row("moves", f"{case}: {name}", "goal", shares[name], GOAL, "ms", moves)
            yield Row("moves", f"{case}: shortest", "goal", min(found.took), GOAL, "ms", moves)
            records = found.moved["records"] / moves
            yield Row("moves", f"{case}: records that went along", None, records, None, "records", moves)
