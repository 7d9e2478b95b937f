"""Rules change while a live run's packets flow: flows move with their records, whoever steers the port."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from both_modes import pcap_of
from burstline import dpdk
from burstline.engine.config import Config, Engine, Port
from dpdk_live import alone
from test_flow_moves import ALL, CONTROLLERS, FLOWS, any_edits, app, frame

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
PACKETS, RATE = 12_000, 3000  # so that no ring fills up where a worker has no core for a while


def traffic(seed: int) -> tuple[list[bytes], dict[int, int]]:
    chance, sent, frames = random.Random(seed), [0] * FLOWS, []
    for _ in range(PACKETS):
        flow = min(int(chance.expovariate(0.1)), FLOWS - 1)
        frames.append(frame(flow, sent[flow]))
        sent[flow] += 1
    return frames, {5000 + flow: count for flow, count in enumerate(sent) if count}


def steered(path: str, steer: str, device: str, kinds: list[str], seed: int) -> dict[str, Any]:
    from burstline.engine.live import LiveRun

    pipeline, flows = app()
    source = f"nic-model,{device},pcap={path},rate={RATE}"
    config = Config(
        engine=Engine(workers=2, duration=120, stats_interval=False),
        enable_flow_director=True,
        ports=(Port(device=f"dpdk:{source}", steer=steer),),
    )
    run, chance = LiveRun(pipeline, [source], None, config), random.Random(seed)

    def change() -> None:
        while not run.is_running:
            time.sleep(0.01)
        handles: list[int] = []
        end = time.monotonic() + 60
        while int(flows.to_numpy()["packets"].sum()) < PACKETS - 500 and time.monotonic() < end:
            for done in run.steer(any_edits(chance, 2, handles, kinds)):
                handles.extend(done.handles)
        time.sleep(1)
        run.stop()

    other = threading.Thread(target=change)
    other.start()
    report = run.run()
    other.join()
    rows = flows.to_numpy()
    return {
        "received": report.received.packets, "balanced": report.balanced, "steering": report.steering,
        "missed": report.ports[0]["missed"], "lines": report.lines(), "drops": report.drops,
        "flows": [tuple(map(int, row)) for row in rows[["sport", "packets", "astray"]]],
    }  # fmt: skip


def check(found: dict[str, Any], steer: str, sent: dict[int, int]) -> None:
    assert found["balanced"] and not found["missed"] and not found["drops"] and found["received"] == PACKETS
    assert found["steering"]["ports"][0]["back_end"] == steer
    moved = found["steering"]["moved"]
    assert moved["moves"] > 5 and moved["records"] and not moved["late"], moved
    assert {sport: packets for sport, packets, _ in found["flows"]} == sent
    assert len(found["flows"]) == len(sent)


@pytest.mark.parametrize(("steer", "kinds"), [("rte_flow", CONTROLLERS), ("software", ALL)])
def test_flows_move_with_their_records_and_in_order(steer: str, kinds: list[str], tmp_path: Path) -> None:
    frames, sent = traffic(7)
    (tmp_path / "in.pcap").write_bytes(pcap_of(frames))
    found = alone(steered, str(tmp_path / "in.pcap"), steer, "driver=model", kinds, 7)
    check(found, steer, sent)
    assert not sum(astray for *_, astray in found["flows"]), found


def test_where_a_device_takes_rules_back_to_order_them_each_packet_still_meets_its_record(tmp_path: Path) -> None:
    frames, sent = traffic(8)
    (tmp_path / "in.pcap").write_bytes(pcap_of(frames))
    check(alone(steered, str(tmp_path / "in.pcap"), "rte_flow", "driver=e810", ALL, 8), "rte_flow", sent)
