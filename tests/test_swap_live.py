"""A running pipeline takes other code between live ports: 512 packets that go round lose none and keep their order."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import burstline as bl
from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from both_modes import stage_of
from burstline.engine.config import Config
from burstline.engine.live import LiveRun
from burstline.engine.live_interpreter import LiveInterpreter
from burstline.errors import UsageError
from dpdk_live import alone, needs_root

NUMBERED = 64  # a ring-loop's packets have so many source addresses, one after the other


class Flow(bl.Record):
    next: bl.u32
    packets: bl.u64


def version(number: int, ports: int) -> tuple[bl.Pipeline, dict[str, Any]]:
    """The first round makes the packets such that one flow has them all, with a number each; then the order is checked.

    `eth.src` is the number, the low bits of `eth.dst` the version that has seen the packet last.
    """
    state: dict[str, Any] = {n: bl.Counter(n) for n in ("seen", "disorder", "mixed")}
    state["flows"] = bl.FlowTable(Flow, capacity=1000)
    return bl.Pipeline(
        stage_of(
            "def stamp(pkt):\n"
            "    seen.add()\n"
            f"    pkt.eth.dst = {number}\n"
            "    if pkt.ipv4:\n"
            "        pkt.eth.src = int(pkt.ipv4.src) & 63\n"
            "        pkt.eth.type = 0x88B5\n"
            "    else:\n"
            "        flow = flows[pkt]\n"
            f"        if pkt.eth.src != flow.next and {ports} == 1:\n"
            "            disorder.add()\n"
            f"        flow.next = (pkt.eth.src + 1) % {NUMBERED}\n"
            "        flow.packets += 1",
            **state,
        ),
        stage_of(
            "def back(pkt):\n"
            f"    if pkt.eth.dst != {number}:\n"
            "        mixed.add()\n"
            f"    return bl.send({ports} - 1 - pkt.port)",
            **state,
        ),
    ), state


def swapped(kind: str, ports: int, workers: int, swaps: int) -> dict[str, Any]:
    """Run in a process of its own: what was counted after so many swaps."""
    made = [version(k, ports) for k in (1, 2)]
    devices = [f"ring-loop,packets={256 + k}" for k in range(ports)]
    config = Config().with_overrides(hugepages=False, workers=workers)
    run: Any = (LiveRun if kind == "compiled" else LiveInterpreter)(made[0][0], devices, None, config)
    thread = threading.Thread(target=run.run)
    thread.start()
    while not run.is_running and thread.is_alive():
        time.sleep(0.001)
    for k in range(swaps):
        run.swap(made[1 - k % 2][0])
    run.stop()
    thread.join()
    report, state = run.report, made[swaps % 2][1]
    return {
        "swaps": len(report.swaps),
        "balanced": report.balanced,
        "received": report.received.packets,
        "sent": report.sent.packets,
        "drops": {name: count.packets for name, count in report.drops.items()},
        "missed": sum(port["missed"] for port in report.ports),
        **{name: state[name].value for name in ("seen", "disorder", "mixed")},
    }


@needs_root
@pytest.mark.parametrize(
    ("kind", "ports", "workers", "swaps"),
    [("compiled", 1, 1, 1000), ("compiled", 2, 1, 1000), ("compiled", 2, 2, 200), ("interpreted", 2, 1, 20)],
)
def test_swaps_between_live_ports_lose_reorder_and_mix_nothing(kind: str, ports: int, workers: int, swaps: int) -> None:
    found = alone(swapped, kind, ports, workers, swaps)
    assert found["swaps"] == swaps
    assert found["balanced"]
    assert found["received"] > (256 if kind == "compiled" else 0)
    assert found["sent"] == found["received"] == found["seen"]
    assert found["drops"] == {}
    assert found["missed"] == found["disorder"] == found["mixed"] == 0


def refused(kind: str) -> tuple[str, int, bool]:
    """What is said of a pipeline that asks something else of the port, and that the old one runs on."""
    first, _ = version(1, 1)
    other = bl.Pipeline(*first.stages, offloads=bl.Offloads(checksum=True))
    config = Config().with_overrides(hugepages=False)
    run: Any = (LiveRun if kind == "compiled" else LiveInterpreter)(first, ["ring-loop,packets=256"], None, config)
    thread = threading.Thread(target=run.run)
    thread.start()
    while not run.is_running and thread.is_alive():
        time.sleep(0.001)
    try:
        run.swap(other)
        message = ""
    except UsageError as error:
        message = error.message
    run.stop()
    thread.join()
    return message, len(run.report.swaps), run.report.balanced


@needs_root
@pytest.mark.parametrize("kind", ["compiled", "interpreted"])
def test_a_pipeline_that_asks_something_else_of_a_port_is_no_successor(kind: str) -> None:
    message, swaps, balanced = alone(refused, kind)
    assert message == (
        "dpdk:ring-loop,packets=256 was set up with checksum = false, and the pipeline that is to come asks for true"
    )
    assert (swaps, balanced) == (0, True)
