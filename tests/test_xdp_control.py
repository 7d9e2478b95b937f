"""The steering controller beside an interface that XDP steers: an elephant is found and placed by XDP's program."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from burstline import dpdk
from burstline.engine.config import Config, Engine
from burstline.steering.control.settings import Settings
from dpdk_live import alone, needs_root, run_beside, veth
from test_live_control import ELEPHANT, MICE, back_again, frame, ports
from xdp_machine import why_not

pytestmark = [needs_root, pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")]
LOOK = 0.2  # seconds: one core may have to do all
BURST, PAUSE = 8, 0.001  # packets, and seconds after them: AF_XDP drops what comes faster than workers have a core


def placed() -> dict[str, Any]:
    from burstline.engine.live import LiveRun

    veth()
    config = Config(
        engine=Engine(workers=2, duration=240, stats_interval=False), enable_flow_director=True,
        steering_control=Settings(act="on", look=LOOK),
    )  # fmt: skip
    run, over, found = LiveRun(back_again(), ["xdp,iface=right"], None, config), threading.Event(), threading.Event()
    (elephant,) = ports(ELEPHANT, 1)
    mice = [sport for bucket in MICE for sport in ports(bucket, 20)]

    def speak() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("left", 0))
            mouse = 0
            while not over.is_set():
                for _ in range(BURST):
                    wire.send(frame(elephant))
                    wire.send(frame(mice[mouse % len(mice)]))
                    mouse += 1
                time.sleep(PAUSE)

    def say(lines: str) -> None:
        if " place " in lines:
            found.set()

    def watch() -> None:
        while not run.is_running and not over.wait(0.01):
            pass
        speaker = threading.Thread(target=speak)
        speaker.start()
        while not found.is_set() and not over.wait(0.01):
            pass
        over.wait(4 * LOOK)
        over.set()
        speaker.join()
        time.sleep(LOOK)
        run.stop()

    run.explain = say
    report = run_beside(run, watch, over)
    return {"steering": report.steering, "balanced": report.balanced, "warnings": report.warnings, "sport": elephant}


def test_an_elephant_is_placed_by_xdp_and_mice_stay() -> None:
    if why := why_not():
        pytest.skip(why)
    found = alone(placed)
    steering, flow = found["steering"], f"udp 10.0.0.1:{found['sport']} > 10.9.0.1:53"
    assert steering["ports"][0]["back_end"] == "xdp" and found["balanced"] and not found["warnings"]
    decisions = [one for one in steering["decisions"] if one["action"] == "Place"]
    assert {(one["flow"], one["level"]) for one in decisions} == {(flow, "exact")}
    (rule,) = steering["ports"][0]["rules"]
    assert f"sport {found['sport']} dport 53 -> queue 1" in rule["rule"]
    assert rule["packets"] == steering["workers"][1] > 0, "and what comes to worker 1 is that flow's"
