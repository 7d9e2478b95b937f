"""Live runs on a port that takes rules: net_tap has the kernel's flower classifier carry them out, and workers poll it
without a director; what it cannot do is steered by software."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from lab_cards import PATIENCE, dpdk_process
from test_flow_lab import MODULES, frame

import burstline as bl
from burstline.engine.config import Config, Engine
from burstline.engine.config import Port as Settings
from burstline.engine.live import LiveRun
from burstline.steering.edit import AddRules, RemoveRules

INTERFACE = "live"
Run = Callable[..., Any]
RULES: list[dict[str, Any]] = [
    {"proto": "udp", "dport": 1000, "to": "queue 1"},
    {"proto": "udp", "dport": 53, "to": "queue 0"},
    {"proto": "udp", "dport": 7, "to": "drop"},
]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    subprocess.run(["modprobe", "-a", *MODULES], check=True)
    with dpdk_process() as call:
        yield call


def _steered(rules: Sequence[dict[str, Any]], steer: Any = "auto") -> dict[str, Any]:
    """A run of two workers to which the kernel sends 20 frames to each of three ports, and again after an edit, which
    has those to port 53 go to worker 1."""

    @bl.stage
    def keep(pkt: Any) -> None:
        pass

    config = Config(
        engine=Engine(workers=2, cores=(0, 1), duration=float(4 * PATIENCE), stats_interval=False),
        enable_flow_director="auto",
        ports=(Settings(f"dpdk:net_tap,iface={INTERFACE}", steer=steer),),
    )
    pipeline = bl.Pipeline(keep, steering=[bl.SteeringRule(**rule) for rule in rules])
    live, said, edits = LiveRun(pipeline, [f"net_tap,iface={INTERFACE}"], None, config), list[str](), list[Any]()
    live.say = said.append

    over = threading.Event()

    def send(wire: socket.socket) -> None:
        for number in range(20):
            for dport in (1000, 53, 7):
                wire.send(frame(f"10.0.0.{number}", "10.1.0.1", 17, 1 + number, dport))
        time.sleep(2)

    def speak() -> None:
        try:
            while not live.is_running:
                if over.wait(0.05):
                    return
            Path(f"/proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6").write_text("1")
            time.sleep(2)
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
                wire.bind((INTERFACE, 0))
                send(wire)
                handle = next(h for h, rule in live.steering.back_ends[0].rules().items() if rule.dport == (53, 53))
                moved = bl.SteeringRule(proto="udp", dport=53, to="queue 1")
                edits.extend(live.steering.change(0, [RemoveRules((handle,)), AddRules((moved,))]))
                send(wire)
        finally:
            live.stop()

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        report = live.run()
    finally:
        over.set()
        speaker.join()
    return {
        "said": said, "steering": report.steering, "balanced": report.balanced, "queues": report.ports[0]["queues"],
        "drops": {name: count.packets for name, count in report.drops.items()},
        "errors": [str(each.error) for each in edits if each.error],
    }  # fmt: skip


def _port(seen: dict[str, Any]) -> dict[str, Any]:
    assert seen["balanced"] and not seen["errors"], seen
    (port,) = seen["steering"]["ports"]
    return dict(port)


def test_a_port_that_takes_all_rules_steers_by_itself(run: Run) -> None:
    seen = run(_steered, RULES)
    port = _port(seen)
    assert (port["back_end"], port["why"], seen["queues"]) == ("rte_flow", "net_tap takes all 3 rules", 2)
    assert [each["level"] for each in port["rules"]] == ["wildcard"] * 3
    assert port["rules"][-1]["why"] == "while it ran"
    assert seen["drops"] == {}, "what rules drop comes to no worker"
    first, second = seen["steering"]["workers"]
    assert (first >= 20, second) == (True, 60), "what the kernel says of itself goes to the first queue"
    assert seen["said"][0].startswith(f"dpdk:net_tap,iface={INTERFACE}: steered by rte_flow: net_tap takes all 3 rules")


def test_what_it_cannot_do_is_steered_by_software_and_said(run: Run) -> None:
    seen = run(_steered, [*RULES[:2], {**RULES[2], "count": True}])
    port = _port(seen)
    assert (port["back_end"], seen["queues"]) == ("software", 1)
    assert port["refused"][0] == {"back_end": "rte_flow", "why": "count: net_tap counts no packets of a rule"}
    assert seen["drops"] == {"steering rule": 40}
    assert seen["steering"]["workers"][1] >= 60


def test_it_is_an_error_where_rte_flow_is_asked_for(run: Run) -> None:
    with pytest.raises(bl.UsageError, match='steer = "rte_flow" says: mark: net_tap marks no packets'):
        run(_steered_by_name, [{**RULES[0], "mark": 3}])


def _steered_by_name(rules: Sequence[dict[str, Any]]) -> Any:
    return _steered(rules, "rte_flow")
