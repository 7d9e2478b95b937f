"""Who steers each port of a live run, why, and that packets go where rules say, whoever does."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of
from burstline import dpdk
from burstline.engine.config import Config, Engine
from burstline.engine.config import Port as Settings
from burstline.engine.live_interpreter import LiveInterpreter
from dpdk_live import alone, needs_root, run_beside, veth
from namespaces import LEFT_MAC, RIGHT_MAC, Namespace, line, until
from test_live_director import EACH, FLOWS, RULES, app, frame
from xdp_machine import why_not
from xdp_pair import HERE, THERE, echo, talk

has_dpdk = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
NO_ANSWER = (1008).to_bytes(2, "big")  # the port to which nothing comes
MACS = bytes.fromhex("020000000001020000000002")


class Flow(bl.Record):
    packets: bl.u32
    marks: bl.u32


def reflector(rules: list[dict[str, Any]], only_count: bool = False) -> tuple[bl.Pipeline, bl.FlowTable[Flow]]:
    """Sends packets back to where they come from, and counts."""
    flows = bl.FlowTable(Flow, capacity=1024)

    @bl.stage
    def count(pkt: Any) -> None:
        flow = flows[pkt]
        flow.packets += 1
        flow.marks += pkt.mark

    @bl.stage
    def back(pkt: Any) -> bl.Verdict:
        pkt.eth.src, pkt.eth.dst = pkt.eth.dst, pkt.eth.src
        return bl.send(pkt.port)

    stages = [count] if only_count else [count, back]
    return bl.Pipeline(*stages, steering=[bl.SteeringRule(**rule) for rule in rules]), flows


def plain(report: Any) -> dict[str, Any]:
    return {
        "received": report.received.packets, "sent": report.sent.packets, "consumed": report.consumed.packets,
        "drops": {name: count.packets for name, count in report.drops.items()}, "balanced": report.balanced,
        "steering": report.steering, "lines": report.lines(), "devices": report.ports,
    }  # fmt: skip


def over_a_wire(
    devices: list[str], out: str | None, config: Config, rules: list[dict[str, Any]], sent: list[bytes], answers: bool
) -> dict[str, Any]:
    """A run on `right`, to which `left` speaks: what comes back to `left`, the report, the flows."""
    from burstline.engine.live import LiveRun

    veth()
    pipeline, flows = reflector(rules, only_count=not answers)
    run, said, found = LiveRun(pipeline, devices, out, config), list[str](), list[bytes]()
    run.say, over = said.append, threading.Event()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as left:
        left.bind(("left", 0))
        left.settimeout(60)

        def speak() -> None:
            try:
                while not run.is_running:
                    if over.wait(0.01):
                        return
                for each in sent:
                    left.send(each)
                    if each[36:38] == NO_ANSWER:
                        continue
                    while answers and (got := left.recv(2048)) is not None:
                        if got != each:  # its own, which the interface shows, too
                            found.append(got)
                            break
                time.sleep(0.3)
            finally:
                run.stop()

        report = run_beside(run, speak, over)
    rows = flows.to_numpy()[["sport", "packets", "marks"]]
    by_flow = {int(sport): (int(packets), int(marks)) for sport, packets, marks in rows}
    return {"found": found, "said": said, "flows": by_flow, **plain(report)}


def settings(workers: int = 2, *ports: Settings, **engine: Any) -> Config:
    made = Engine(workers=workers, stats_interval=False, **engine)
    return Config(engine=made, enable_flow_director="auto", ports=ports)


STEERED: list[dict[str, Any]] = [
    {"dport": "1000-1007", "to": "queue 1", "count": True, "mark": 7},
    {"dport": 1008, "to": "drop", "count": True},
    {"src": "10.0.0.9", "dst": "10.9.0.1", "proto": "udp", "sport": 5009, "dport": 1009, "to": "queue 0"},
]


@has_dpdk
@needs_root
def test_an_interface_is_steered_by_xdp_and_packets_leave_by_it() -> None:
    if why := why_not():
        pytest.skip(why)
    sent = [MACS + frame(flow, number)[12:] for number in range(5) for flow in range(40)]
    answered = [each for each in sent if each[36:38] != NO_ANSWER]
    seen = alone(over_a_wire, ["xdp,iface=right"], None, settings(), STEERED, sent, True)
    assert seen["found"] == [each[6:12] + each[:6] + each[12:] for each in answered]
    assert seen["said"] == ["dpdk:xdp,iface=right: steered by XDP: its program, in native mode, takes all 3 rules; not "
                            "by rte_flow: an interface of the kernel takes no rules of rte_flow"]  # fmt: skip
    assert (seen["balanced"], seen["sent"], seen["drops"]) == (True, len(answered), {})
    assert {port: marks for port, (_, marks) in seen["flows"].items() if marks} == dict.fromkeys(range(5000, 5008), 35)
    (port,) = seen["steering"]["ports"]
    assert port["back_end"] == "xdp"
    assert [(each["level"], each["packets"]) for each in port["rules"]] == [
        ("wildcard", 40), ("wildcard", 5), ("exact", None),
    ]  # fmt: skip
    assert all(seen["steering"]["workers"])
    assert seen["steering"]["workers"][1] >= 40


@has_dpdk
@needs_root
def test_a_port_with_a_director_stands_beside_one_that_workers_poll() -> None:
    """Two sources, one steered by XDP, the other by software; packets of both leave by a third port."""
    if why := why_not():
        pytest.skip(why)
    sent = [MACS + frame(flow, number)[12:] for number in range(5) for flow in range(40)]
    devices = ["xdp,iface=right", "ring-loop,packets=512,size=64"]
    seen = alone(over_a_wire, devices, "dpdk:net_null0", settings(), STEERED, sent, False)
    assert [each["back_end"] for each in seen["steering"]["ports"]] == ["xdp", "software"]
    assert seen["balanced"]
    by_xdp = len(sent) - 5
    assert seen["received"] == by_xdp + 512 == sum(seen["steering"]["workers"])
    assert seen["sent"] == seen["received"] - seen["drops"].get("send failed", 0)


@has_dpdk
@needs_root
def test_a_director_may_stand_before_a_port_only_that_has_one_queue_to_send(tmp_path: Path) -> None:
    if why := why_not():
        pytest.skip(why)
    sent = [MACS + frame(flow, number)[12:] for number in range(5) for flow in range(40)]
    out = f"dpdk:net_pcap0,tx_pcap={tmp_path}/out.pcap"
    seen = alone(over_a_wire, ["xdp,iface=right"], out, settings(), STEERED, sent, False)
    assert [each["back_end"] for each in seen["steering"]["ports"]] == ["xdp"]
    assert (seen["balanced"], seen["received"], seen["sent"]) == (True, len(sent) - 5, len(sent) - 5)
    assert [port["queues"] for port in seen["devices"]] == [2, 1]


@has_dpdk
@needs_root
@pytest.mark.parametrize("steer", ["software", "xdp"])
def test_both_directions_of_a_flow_come_to_one_worker_whoever_steers(steer: Any) -> None:
    if why := why_not():
        pytest.skip(why)
    config = replace(settings(2, Settings("dpdk:xdp,iface=right", steer=steer)), offloads=bl.Offloads(rss="symmetric"))
    there = [MACS + frame(flow, 0)[12:] for flow in range(10, 40)]
    back = [each[:26] + each[30:34] + each[26:30] + each[36:38] + each[34:36] + each[38:] for each in there]
    seen = alone(over_a_wire, ["xdp,iface=right"], None, config, STEERED, there + back, True)
    assert seen["steering"]["ports"][0]["back_end"] == steer
    alike = alone(over_a_wire, ["xdp,iface=right"], None, config, STEERED, there + there, True)
    assert seen["steering"]["workers"] == alike["steering"]["workers"]
    assert all(packets % 2 == 0 and packets for packets in seen["steering"]["workers"])


@has_dpdk
@needs_root
def test_what_another_port_receives_leaves_by_an_interface(tmp_path: Path) -> None:
    """Which goes on to receive for the kernel: no program is attached to it."""
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(frame(flow, number) for number in range(20) for flow in range(10)))
    seen = alone(sniffed, str(source))
    assert seen["found"] == {flow: list(range(20)) for flow in range(10)}
    assert (seen["balanced"], seen["sent"], seen["drops"]) == (True, 200, {})
    assert seen["steering"] == {}


def sniffed(path: str) -> dict[str, Any]:
    """What `left` hears of a run that sends on `right`: numbers of packets by flow."""
    from burstline.engine.live import LiveRun

    veth()
    pipeline, _ = reflector([], only_count=True)
    found: dict[int, list[int]] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as left:
        left.bind(("left", 0))
        run = LiveRun(pipeline, [f"ring-loop,capture={path}"], "dpdk:xdp,iface=right", settings(1, duration=1.0))
        report = run.run()
        left.settimeout(1)
        while sum(map(len, found.values())) < 200:
            got = left.recv(2048)
            found.setdefault(got[29], []).append(int.from_bytes(got[18:20], "big"))
    return {"found": found, **plain(report)}


def refused(devices: list[str], config: Config, rules: list[dict[str, Any]]) -> str:
    """What a run says that cannot be."""
    from burstline.engine.live import LiveRun

    try:
        LiveRun(reflector(rules)[0], devices, None, config).run()
    except bl.BurstlineError as error:
        return f"{type(error).__name__} {error}"
    return ""


def test_a_back_end_that_is_asked_for_by_name_and_cannot_do_it_is_an_error() -> None:
    xdp, rte_flow = (Settings("dpdk:net_null0", steer=name) for name in ("xdp", "rte_flow"))
    said = refused(["net_null0"], settings(2, xdp), STEERED)
    assert said.startswith('UsageError dpdk:net_null0 cannot be steered as steer = "xdp" says: it is no interface')
    assert "dpdk:xdp,iface=eth0" in said
    ring = Settings("dpdk:ring-loop", steer="rte_flow")
    assert 'steer = "rte_flow" says: ring-loop takes no rules' in refused(["ring-loop"], settings(2, ring), STEERED)
    one = Settings("dpdk:net_null0", steer="rte_flow", queues=1)
    assert "has queues = 1, for 2 workers" in refused(["net_null0"], settings(2, one), STEERED)
    if dpdk.available():
        said = alone(refused, ["net_null0"], settings(2, rte_flow), STEERED)
        assert 'steer = "rte_flow" says: to: net_null has no rte_flow rules' in said
    assert "rule 0: to: there is no queue 7" in refused(["net_null0"], settings(2), [{"to": "queue 7"}])


def test_what_names_no_interface_is_refused() -> None:
    for device, problem in {
        "xdp": "names no interface", "xdp,iface=": "means nothing", "xdp,iface=a,mode=offload": "no mode 'offload'",
        "xdp,iface=a,queues=2": "'queues=2' means nothing",
    }.items():  # fmt: skip
        said = refused([device], Config(), [])
        assert problem in said and "write dpdk:xdp,iface=eth0" in said


def interpreted(path: str, out: str | None, workers: int) -> dict[str, Any]:
    pipeline, flows = app()
    config = settings(workers, duration=2.0)
    report = LiveInterpreter(pipeline, [f"ring-loop,capture={path}"], out, config).run()
    rows = flows.to_numpy()[["sport", "packets", "mark"]]
    return {"flows": sorted(tuple(map(int, row)) for row in rows), **plain(report)}


@has_dpdk
def test_interpreted_runs_drop_mark_and_count_as_rules_say(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(frame(flow, number) for number in range(EACH // 4) for flow in range(FLOWS)))
    seen = alone(interpreted, str(source), None, 2)
    each = EACH // 4
    assert (seen["balanced"], seen["drops"], seen["received"]) == (True, {"steering rule": each}, FLOWS * each)
    assert seen["flows"] == [(5000 + k, each, 7 if k < 8 else 0) for k in range(FLOWS) if k != 8]
    (port,) = seen["steering"]["ports"]
    assert port["refused"][0] == {"back_end": "rte_flow", "why": "ring-loop takes no rules"}
    assert [rule["packets"] for rule in port["rules"]] == [n * each for n in (8, 1, 1, 0, 2)]
    assert [rule["rule"] for rule in port["rules"]] == [str(bl.SteeringRule(**rule)) for rule in RULES]
    assert sum(seen["steering"]["workers"]) == (FLOWS - 1) * each


BRIDGE = """\
import burstline as bl


@bl.stage
def across(pkt):
    return bl.send(1 - pkt.port)


pipeline = bl.Pipeline(across)
"""
SETTINGS = """\
enable_flow_director = "auto"
[engine]
workers = 2
[[steering]]
proto = "tcp"
dport = 5001
to = "queue 1"
count = true
[[steering]]
proto = "tcp"
sport = 5001
to = "queue 1"
count = true
[[steering]]
proto = "tcp"
dport = 5002
to = "queue 0"
count = true
[[steering]]
proto = "tcp"
dport = 5003
to = "drop"
count = true
"""


@has_dpdk
@needs_root
def test_real_tcp_passes_through_two_interfaces_in_the_queues_that_rules_say(tmp_path: Path) -> None:
    if why := why_not():
        pytest.skip(why)
    (tmp_path / "bridge.py").write_text(BRIDGE)
    (tmp_path / "burstline.toml").write_text(SETTINGS)
    with line() as made:
        for place, end, address in ((made.left, "outside", HERE), (made.right, "inside", THERE)):
            place.ip(f"addr add {address}/24 dev {end}")
        made.left.ip(f"neigh add {THERE} lladdr {RIGHT_MAC} dev outside")
        made.right.ip(f"neigh add {HERE} lladdr {LEFT_MAC} dev inside")
        made.start(tmp_path / "bridge.py", "xdp")
        server = echo(made.right, 5001)
        assert until(lambda: connects(made.left, 5009)), "nothing passes"
        made.check()
        sizes = {5001: 400_000, 5002: 100_000}
        talk(made.left, 5001, sizes[5001])
        echo(made.right, 5002)
        talk(made.left, 5002, sizes[5002])
        assert not connects(made.left, 5003)
        report = made.stop()
        server.close()
    assert report["error"] is None
    assert report["packets_in"] == report["packets_out"] + sum(each["packets"] for each in report["drops"].values())
    ports = report["steering"]["ports"]
    assert [each["back_end"] for each in ports] == ["xdp", "xdp"]
    there, back = ([(each["packets"], each["bytes"]) for each in port["rules"]] for port in ports)
    assert there[0][1] > 400_000 and there[2][1] > 100_000
    assert there[3][0] > 0
    assert back[1][1] > 400_000
    assert (there[1], back[0], back[2], back[3]) == ((0, 0),) * 4
    workers = report["steering"]["workers"]
    assert workers[1] >= there[0][0] + back[1][0]
    assert workers[0] >= there[2][0]


def connects(place: Namespace, port: int) -> bool:
    """Whether an answer comes from a port, be it that nobody listens."""
    with place.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect((THERE, port))
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    return True
