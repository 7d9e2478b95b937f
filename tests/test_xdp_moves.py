"""Rules and buckets of an interface that XDP steers change while packets come: flows move with their records."""

from __future__ import annotations

import random
import socket
import threading
import time
from typing import Any

import pytest

from burstline import dpdk
from burstline.engine.config import Config, Engine
from dpdk_live import alone, needs_root, run_beside, veth
from test_flow_moves import CONTROLLERS, FLOWS, any_edits, app, frame
from xdp_machine import why_not

pytestmark = [needs_root, pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")]
MOVES, PAUSE = 12, 0.001  # seconds after each few packets: AF_XDP drops what comes faster than workers have a core


def moved(seed: int) -> dict[str, Any]:
    from burstline.engine.live import LiveRun

    veth()
    pipeline, flows = app()
    config = Config(engine=Engine(workers=2, duration=240, stats_interval=False), enable_flow_director=True)
    run, chance, over = LiveRun(pipeline, ["xdp,iface=right"], None, config), random.Random(seed), threading.Event()
    sent = [0] * FLOWS

    def speak() -> None:
        other = random.Random(seed + 1)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("left", 0))
            while not over.is_set():
                for _ in range(4):
                    flow = min(int(other.expovariate(0.1)), FLOWS - 1)
                    wire.send(frame(flow, sent[flow]))
                    sent[flow] += 1
                time.sleep(PAUSE)

    def change() -> None:
        while not run.is_running and not over.wait(0.01):
            pass
        speaker = threading.Thread(target=speak)
        speaker.start()
        handles: list[int] = []
        while run.directing.moves and run.directing.moves.moves < MOVES and not over.is_set():
            for done in run.steer(any_edits(chance, 2, handles, CONTROLLERS)):
                handles.extend(done.handles)
        over.set()
        speaker.join()
        end = time.monotonic() + 30
        while int(flows.to_numpy()["packets"].sum()) < sum(sent) and time.monotonic() < end:
            time.sleep(0.01)
        run.stop()

    report = run_beside(run, change, over)
    rows = flows.to_numpy()
    return {
        "steering": report.steering, "balanced": report.balanced,
        "sent": {5000 + k: n for k, n in enumerate(sent) if n},
        "flows": [tuple(map(int, row)) for row in rows[["sport", "packets", "astray"]]],
    }  # fmt: skip


def test_flows_that_xdp_steers_move_with_their_records_and_in_order() -> None:
    if why := why_not():
        pytest.skip(why)
    found = alone(moved, 3)
    moves = found["steering"]["moved"]
    assert found["steering"]["ports"][0]["back_end"] == "xdp" and found["balanced"]
    assert moves["moves"] >= MOVES and moves["records"] and not moves["late"], moves
    assert {sport: packets for sport, packets, _ in found["flows"]} == found["sent"]
    assert len(found["flows"]) == len(found["sent"]), "a flow has two records"
    assert not sum(astray for *_, astray in found["flows"]), found
