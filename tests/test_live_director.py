"""The software director of a live run: packets reach the workers that rules and RSS say, in order, and none is lost."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of
from burstline import dpdk
from burstline.engine.config import Config, Engine, load
from dpdk_live import alone, needs_root, veth

FLOWS, EACH = 64, 40
RULES = [
    {"dport": "1000-1007", "to": "queue 1", "count": True, "mark": 7},
    {"dport": 1008, "to": "drop", "count": True},
    {
        "src": "10.0.0.9",
        "dst": "10.9.0.1",
        "proto": "udp",
        "sport": 5009,
        "dport": 1009,
        "to": "queue 0",
        "count": True,
    },
    {"dport": 1010, "to": "queue 0", "priority": 1, "count": True},
    {"dport": "1010-1011", "to": "queue 1", "priority": 0, "count": True},
]


def frame(flow: int, number: int) -> bytes:
    """Packet `number` of a flow, which says so in its IPv4 identification."""
    ip = b"\x45\0" + (32).to_bytes(2, "big") + number.to_bytes(2, "big") + b"\0\0\x40\x11\0\0"
    ip += bytes((10, 0, 0, flow)) + bytes((10, 9, 0, 1))
    udp = (5000 + flow).to_bytes(2, "big") + (1000 + flow).to_bytes(2, "big") + (12).to_bytes(2, "big") + b"\0\0"
    return bytes(12) + b"\x08\0" + ip + udp + bytes(18)


class Seen(bl.Record):
    packets: bl.u32
    last: bl.u32
    disordered: bl.u32
    mark: bl.u32


def app() -> tuple[bl.Pipeline, bl.FlowTable[Seen]]:
    flows = bl.FlowTable(Seen, capacity=1024)

    @bl.stage
    def follow(pkt: Any) -> None:
        flow = flows[pkt]
        flow.packets += 1
        if pkt.ipv4.id < flow.last:
            flow.disordered += 1
        flow.last = pkt.ipv4.id
        flow.mark = pkt.mark

    return bl.Pipeline(follow, steering=[bl.SteeringRule(**rule) for rule in RULES]), flows


def run(path: str, out: str | None, workers: int) -> dict[str, Any]:
    from burstline.engine.live import LiveRun

    pipeline, flows = app()
    config = Config(engine=Engine(workers=workers, duration=0.5, stats_interval=False), enable_flow_director="auto")
    report = LiveRun(pipeline, [f"ring-loop,capture={path}"], out, config).run()
    rows = flows.to_numpy()
    return {
        "received": report.received.packets, "sent": report.sent.packets, "consumed": report.consumed.packets,
        "drops": {name: count.packets for name, count in report.drops.items()}, "balanced": report.balanced,
        "steering": report.steering, "lines": report.lines(),
        "flows": [tuple(map(int, row)) for row in rows[["sport", "packets", "disordered", "mark"]]],
    }  # fmt: skip


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
@pytest.mark.parametrize(("workers", "out"), [(2, None), (2, "dpdk:net_null0"), (3, "dpdk:net_null0")])
def test_each_packet_reaches_one_worker_in_the_order_of_its_flow(workers: int, out: str | None, tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(frame(flow, number) for number in range(EACH) for flow in range(FLOWS)))
    found = alone(run, str(source), out, workers)
    assert found["balanced"]
    assert found["received"] == FLOWS * EACH
    lost = found["drops"].pop("send failed", 0)  # a worker that has no core for a while finds its ring full
    assert found["drops"] == {"steering rule": EACH}
    assert (found["sent"] if out else found["consumed"]) == FLOWS * EACH - EACH - lost
    assert sum(packets for _, packets, *_ in found["flows"]) == sum(found["steering"]["workers"])
    assert not any(disordered for *_, disordered, _ in found["flows"])
    assert len({sport for sport, *_ in found["flows"]}) == len(found["flows"])  # no flow is in two workers' tables
    assert {sport: mark for sport, _, _, mark in found["flows"] if mark} == dict.fromkeys(range(5000, 5008), 7)
    (port,) = found["steering"]["ports"]
    assert (port["back_end"], port["why"]) == ("software", "it takes all 5 rules")
    assert [each["back_end"] for each in port["refused"]] == ["rte_flow", "xdp"]
    counted = [(each["packets"], each["bytes"]) for each in port["rules"]]
    size = len(frame(0, 0))
    assert counted == [(n * EACH, n * EACH * size) for n in (8, 1, 1, 0, 2)]
    assert {each["level"] for each in port["rules"]} == {"software"}
    assert any(line.startswith("flow director: ") for line in found["lines"])
    assert any(line.endswith("steered by the software director: it takes all 5 rules") for line in found["lines"])


def reflect(frames: list[bytes]) -> tuple[list[bytes], dict[str, Any]]:
    """What comes back of frames that are sent to a port with one queue and three workers, and the report."""
    veth()
    from burstline.engine.live import LiveRun

    @bl.stage
    def back(pkt: Any) -> bl.Verdict:
        pkt.eth.src, pkt.eth.dst = pkt.eth.dst, pkt.eth.src
        return bl.send(0)

    config = Config(engine=Engine(workers=3, stats_interval=False), enable_flow_director=True)
    run = LiveRun(bl.Pipeline(back), ["net_af_packet0,iface=left"], None, config)
    found: list[bytes] = []
    line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    line.bind(("right", 0))
    line.settimeout(60)

    def speak() -> None:
        while not run.is_running:
            time.sleep(0.01)
        for sent in frames:
            line.send(sent)
            while (got := line.recv(2048)) == sent:  # its own, which the interface shows, too
                pass
            found.append(got)
        run.stop()

    other = threading.Thread(target=speak)
    other.start()
    report = run.run()
    other.join()
    return found, {"balanced": report.balanced, "sent": report.sent.packets, "steering": report.steering["workers"]}


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_three_workers_share_a_port_that_has_one_queue() -> None:
    frames = [bytes.fromhex("020000000001020000000002") + frame(k % FLOWS, k)[12:] for k in range(200)]
    found, report = alone(reflect, frames)
    assert found == [sent[6:12] + sent[:6] + sent[12:] for sent in frames]
    assert report == {"balanced": True, "sent": 200, "steering": report["steering"]}
    assert sum(report["steering"]) == 200
    assert all(report["steering"])


def swapped(path: str) -> dict[str, Any]:
    """A run whose pipeline is swapped for one that steers otherwise, and for one that cannot be."""
    from burstline.engine.live import LiveRun

    def pipeline(to: str) -> bl.Pipeline:
        @bl.stage
        def back(pkt: Any) -> bl.Verdict:
            return bl.send(0)

        return bl.Pipeline(back, steering=[bl.SteeringRule(to=to)])

    config = Config(engine=Engine(workers=2, stats_interval=False), enable_flow_director="auto")
    run, said = LiveRun(pipeline("queue 0"), [f"ring-loop,capture={path}"], None, config), []

    def change() -> None:
        while not run.is_running:
            time.sleep(0.01)
        try:
            run.swap(pipeline("queue 7"))
        except bl.UsageError as error:
            said.append(error.message)
        time.sleep(0.2)
        run.swap(pipeline("queue 1"))
        time.sleep(0.2)
        run.stop()

    other = threading.Thread(target=change)
    other.start()
    report = run.run()
    other.join()
    return {"said": said, "steering": report.steering, "balanced": report.balanced, "swaps": len(report.swaps)}


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_a_swap_brings_the_rules_of_the_new_pipeline(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(frame(flow, 0) for flow in range(FLOWS)))
    found = alone(swapped, str(source))
    assert found["said"] == ["rule 0: to: there is no queue 7"]
    assert found["swaps"] == 1
    assert found["balanced"]
    assert all(found["steering"]["workers"])
    (port,) = found["steering"]["ports"]
    assert [each["rule"] for each in port["rules"]] == ["everything -> queue 1"]


def test_rules_without_a_director_are_refused() -> None:
    pipeline, _ = app()
    from burstline.engine.live_steering import steering_of

    with pytest.raises(bl.UsageError, match="5 steering rules, and the flow director is off"):
        steering_of(pipeline, Config())
    assert steering_of(bl.Pipeline(*pipeline.stages), Config(enable_flow_director="auto")) is None
    assert steering_of(bl.Pipeline(*pipeline.stages), Config(enable_flow_director=True)) == []


def test_rules_of_the_settings_name_their_line_and_field(tmp_path: Path) -> None:
    file = tmp_path / "burstline.toml"
    file.write_text('enable_flow_director = "auto"\n[[steering]]\ndport = "80-443"\nproto = "icmp"\nto = "queue 1"\n')
    with pytest.raises(bl.UsageError, match=r"burstline.toml:3.*steering.*dport") as caught:
        load(file)
    assert "leave the ports out" in str(caught.value.hint)
    file.write_text('[[steering]]\nto = "drop"\n')
    with pytest.raises(bl.UsageError, match="has no effect while enable_flow_director = false"):
        load(file)
    file.write_text('enable_flow_director = true\n[[steering]]\nvlan = 7\nto = "cores 2, 3"\npriority = 3\n')
    assert [str(each.rule) for each in load(file).steering] == ["vlan 7 -> cores 2, 3"]


def test_too_many_workers_are_refused() -> None:
    from burstline.engine.live_director import LiveDirector

    with pytest.raises(bl.UsageError, match="cannot serve 17 workers at 1 ports"):
        LiveDirector([1], list(range(17)))
