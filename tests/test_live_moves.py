"""Rules change while a live run's packets flow: flows move with their records, whoever steers the port."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from both_modes import pcap_of
from burstline import dpdk
from burstline.engine.config import Config, Engine, Port
from dpdk_live import alone, run_beside
from test_flow_moves import ALL, CONTROLLERS, FLOWS, any_edits, app, frame

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
FRAMES, MOVES = 2000, 12


def traffic(seed: int) -> list[bytes]:
    chance, counts = random.Random(seed), [0] * FLOWS
    order = [min(int(chance.expovariate(0.1)), FLOWS - 1) for _ in range(FRAMES)]
    frames, sent = [], [0] * FLOWS
    for flow in order:
        counts[flow] += 1
    for flow in order:
        frames.append(frame(flow, sent[flow], counts[flow]))
        sent[flow] += 1
    return frames


def steered(path: str, steer: str, device: str, kinds: list[str], seed: int) -> dict[str, Any]:
    """A run over the frames, again and again, until so many moves were made. The wire of a NIC waits where there is no
    room; the director has packets dropped then, and so they come slowly."""
    from burstline.engine.live import LiveRun

    pipeline, flows = app()
    rate = "" if steer == "rte_flow" else ",rate=1000"
    source = f"nic-model,{device},pcap={path},times=1000000000{rate}"
    config = Config(
        engine=Engine(workers=2, duration=240, stats_interval=False),
        enable_flow_director=True,
        ports=(Port(device=f"dpdk:{source}", steer=steer),),
    )
    run, chance, over = LiveRun(pipeline, [source], None, config), random.Random(seed), threading.Event()

    def change() -> None:
        while not run.is_running and not over.wait(0.01):
            pass
        handles: list[int] = []
        while run.directing.moves and run.directing.moves.moves < MOVES and not over.is_set():
            for done in run.steer(any_edits(chance, 2, handles, kinds)):
                handles.extend(done.handles)
        run.stop()

    report = run_beside(run, change, over)
    rows = flows.to_numpy()
    return {
        "received": report.received.packets, "balanced": report.balanced, "steering": report.steering,
        "drops": report.drops, "flows": [tuple(map(int, row)) for row in rows[["sport", "packets", "astray"]]],
    }  # fmt: skip


def check(found: dict[str, Any], steer: str) -> None:
    assert found["balanced"] and not found["drops"]
    assert found["steering"]["ports"][0]["back_end"] == steer
    moved = found["steering"]["moved"]
    assert moved["moves"] >= MOVES and moved["records"] and not moved["late"], moved
    assert sum(packets for _, packets, _ in found["flows"]) == found["received"]
    assert len(found["flows"]) == len({sport for sport, *_ in found["flows"]}), "a flow has two records"


@pytest.mark.parametrize(("steer", "kinds"), [("rte_flow", CONTROLLERS), ("software", ALL)])
def test_flows_move_with_their_records_and_in_order(steer: str, kinds: list[str], tmp_path: Path) -> None:
    (tmp_path / "in.pcap").write_bytes(pcap_of(traffic(7)))
    found = alone(steered, str(tmp_path / "in.pcap"), steer, "driver=model", kinds, 7)
    check(found, steer)
    assert not sum(astray for *_, astray in found["flows"]), found


def test_where_a_device_takes_rules_back_to_order_them_each_packet_still_meets_its_record(tmp_path: Path) -> None:
    (tmp_path / "in.pcap").write_bytes(pcap_of(traffic(8)))
    check(alone(steered, str(tmp_path / "in.pcap"), "rte_flow", "driver=e810", ALL, 8), "rte_flow")
