"""The balancer beside live ports: buckets leave a worker that has all of them, with their flows; a dry run says so and
changes nothing; what it learned of costs is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import burstline as bl
from both_modes import pcap_of
from burstline import dpdk
from burstline.cli.main import main
from burstline.engine import learned_costs
from burstline.engine.balance_sight import BalanceSight, Counts
from burstline.engine.config import Config, Engine, Port, load
from burstline.engine.live_balance import LiveBalance
from burstline.engine.live_learning import LiveLearning
from burstline.errors import UsageError
from burstline.numa.balance.places import Places
from burstline.numa.balance.settings import BalanceSettings
from burstline.numa.learned.advice import Tuning
from burstline.numa.learned.model import CostOfPackets
from burstline.numa.learned.store import path_of
from burstline.state.toeplitz import DEFAULT_KEY
from burstline.steering.back_end import Limits
from burstline.steering.edit import Done, Edit
from dpdk_live import alone
from test_live_control import frame, ports

needs_dpdk = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
BUCKETS = (6, 8, 20, 32, 44, 60, 72, 90)  # all of worker 0, as drivers set a RETA up
FLOWS = 20


def write_capture(path: Path) -> None:
    flows = [sport for group in zip(*(ports(bucket, FLOWS) for bucket in BUCKETS), strict=True) for sport in group]
    path.write_bytes(pcap_of(frame(flows[k % len(flows)]) for k in range(800)))


class Seen(bl.Record):
    packets: bl.u64


def app() -> tuple[bl.Pipeline, bl.FlowTable]:
    flows = bl.FlowTable(Seen, capacity=4096)

    @bl.stage
    def back(pkt: Any) -> bl.Verdict:
        flows[pkt].packets += 1
        return bl.drop("seen")

    return bl.Pipeline(back), flows


def balanced(path: str, act: Any, log: str, cache: str, swaps: bool) -> dict[str, Any]:
    """Packets go round until a bucket was moved, or would have been; where that is wished, again after a swap."""
    from burstline.engine.live import LiveRun

    learned_costs.path_of = partial(path_of, where=Path(cache))  # the cache of compiled code stays
    pipeline, flows = app()
    device = f"nic-model,driver=e810,by=workers,times=1000000000,pcap={path}"  # its wire waits: a worker is busy
    settings = BalanceSettings(act=act, log=log, look=0.05, held=0.002, margin=1.0)
    engine = Engine(workers=2, duration=120, stats_interval=False)
    run = LiveRun(
        pipeline, [device], None,
        Config(
            engine=engine, enable_flow_director=True, numa_balance=settings,
            ports=(Port(device=f"dpdk:{device}", steer="rte_flow"),),
        ),
    )  # fmt: skip
    said, ended = threading.Event(), threading.Event()

    def say(lines: str) -> None:
        if " move bucket " in lines:
            said.set()

    def wait() -> None:
        while not said.is_set() and not ended.wait(0.01):
            pass

    def follow() -> None:
        wait()
        if swaps:
            said.clear()
            run.swap(pipeline)
            wait()
        ended.wait(0.3)
        run.stop()

    run.explain = say
    other = threading.Thread(target=follow)
    other.start()
    report = run.run()
    ended.set()
    other.join()
    rows = flows.to_numpy()
    return {
        "steering": report.steering, "warnings": report.warnings, "balanced": report.balanced, "lines": report.lines(),
        "records": len(rows), "seen": int(rows["packets"].sum()), "received": report.received.packets,
        "swaps": len(report.swaps),
    }  # fmt: skip


@needs_dpdk
@pytest.mark.parametrize(("act", "swaps"), [("on", False), ("on", True), ("dry-run", False)])
def test_buckets_leave_the_worker_that_has_all_of_them(tmp_path: Path, act: str, swaps: bool) -> None:
    write_capture(tmp_path / "in.pcap")
    log, cache = tmp_path / "moves.jsonl", tmp_path / "cache"
    found = alone(balanced, str(tmp_path / "in.pcap"), act, str(log), str(cache), swaps)
    steering = found["steering"]
    warnings = [text for text in found["warnings"] if "overtaken" not in text]  # no end of packets in time
    assert found["balanced"] and not warnings and found["swaps"] == swaps
    assert found["records"] == FLOWS * len(BUCKETS) and found["seen"] == found["received"]
    moves = [one for one in steering["decisions"] if one["action"] == "MoveBucket"]
    assert moves and moves[0]["bucket"] in BUCKETS and moves[0]["worker"] == 1 and "of a core" in moves[0]["reason"]
    assert bool(steering["workers"][1]) == (act == "on") == bool(steering["moved"]["records"])
    assert bool(steering["took"]) == (act == "on")
    assert any(line.startswith(f"balancer ({act}): ") for line in found["lines"])
    head, *lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert head["act"] == act and [one["action"] for one in lines].count("MoveBucket") >= len(moves)
    assert steering["model"]["measured"] > 0 and list(cache.glob("*.json"))
    assert main(["steer", str(log), "--explain"]) == 0


class Fixed:
    """Ports of four buckets that nobody moves."""

    name, key, reta, hashed, limits = "fixed", DEFAULT_KEY, (0, 1, 0, 1), True, Limits(0, 0, 1e4, 4)

    def counts(self) -> dict[int, tuple[int, int]]:
        return {}

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        raise AssertionError(edits)


def test_after_a_swap_what_is_learned_is_of_the_other_pipeline(tmp_path: Path) -> None:
    def learning(pipeline: bl.Pipeline) -> LiveLearning:
        return LiveLearning(CostOfPackets(), [0.0] * 2, 0.0, tmp_path / pipeline.name, Tuning(), acts=True)

    one, two = (bl.Pipeline(*app()[0].stages, name=name) for name in ("one", "two"))
    balance = LiveBalance(
        BalanceSettings(act="on"), lambda weight: Places.alike(2, 4), learning, one, Fixed(), (0, 1)
    )  # fmt: skip
    first = balance.learning
    with pytest.raises(UsageError), balance.swapping(two):
        raise UsageError("it does not compile")
    assert balance.learning is first and not list(tmp_path.iterdir())
    first.tuning = replace(first.tuning, prefetch=40, hop_weight=1.5)
    with balance.swapping(two):
        assert balance.learning is first
    assert [file.name for file in tmp_path.iterdir()] == ["one"]
    assert balance.learning.tuning == Tuning(prefetch=40), "workers go on as they were told"
    balance.learning.close()
    assert {file.name for file in tmp_path.iterdir()} == {"one", "two"}


def counts(time: float, packets: list[int], busy: list[float], by_bucket: list[list[int]], missed: int = 0) -> Counts:
    polls = [2 * count // 10 for count in packets]
    return Counts(time, packets, busy, polls, [each // 2 for each in polls], missed, np.array(by_bucket), [10, 10])


def test_counts_become_the_rates_of_a_snapshot() -> None:
    sight = BalanceSight()
    first = counts(1.0, [0, 0], [0.0, 0.0], [[0] * 4, [0] * 4])
    assert sight.see(first, [0, 1, 0, 1], [False, False], 1e4) is None
    # Worker 1 has 200 packets of bucket 0, which a rule sent there.
    now = counts(2.0, [1000, 500], [0.9, 0.2], [[600, 0, 400, 0], [200, 100, 0, 200]], 50)
    seen = sight.see(now, [0, 1, 0, 1], [False, True], 1e4)
    assert seen is not None
    assert seen.packets.tolist() == [600, 100, 400, 200] and seen.at.tolist() == [0, 1, 0, 1]
    one, two = seen.workers
    assert (one.busy, one.packets, one.useful, one.fill, one.depth) == (0.9, 1000, 0.5, 10, 10)
    assert one.dropped == 50 and two.dropped == 0 and two.parked and not one.parked
    assert one.ns == pytest.approx(0.9e9 / 1000)
    before = sight.records
    sight.moved(2, 20)
    assert sight.records == pytest.approx(before + 0.3 * (10 - before))
    sight.moved(0, 0)
    assert sight.see(now, [0, 1, 0, 1], [False, True], 1e4) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[numa_balance]\nact = "on"', "has no effect while enable_flow_director = false"),
        (
            'enable_flow_director = "auto"\n[numa_balance]\nact = "on"\n[steering_control]\nact = "on"',
            "would both move buckets",
        ),
        ("[numa_balance]\nlow = 0.9\nhigh = 0.5", "not below high"),
    ],
)
def test_settings_that_contradict_each_other_are_told(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "burstline.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        load(file)
