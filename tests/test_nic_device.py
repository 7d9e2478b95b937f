"""`dpdk:nic-model`: a NIC in software as the port of a live run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of
from burstline import dpdk
from burstline.engine.config import Config, Engine
from burstline.engine.nic_device import model_of, options_of, sizes_held
from burstline.errors import BurstlineError, UsageError
from dpdk_live import alone, needs_root, veth
from test_live_director import frame

FLOWS, EACH = 40, 25


class Seen(bl.Record):
    packets: bl.u32
    last: bl.u32
    disordered: bl.u32
    mark: bl.u32


def run(device: str, workers: int, out: str | None, duration: float = 0.5) -> dict[str, Any]:
    from burstline.engine.live import LiveRun

    flows = bl.FlowTable(Seen, capacity=1024)

    @bl.stage
    def follow(pkt: Any) -> None:
        flow = flows[pkt]
        flow.packets += 1
        if pkt.ipv4.id < flow.last:
            flow.disordered += 1
        flow.last = pkt.ipv4.id
        flow.mark = pkt.mark

    config = Config(engine=Engine(workers=workers, duration=duration, stats_interval=False))
    report = LiveRun(bl.Pipeline(follow), [device], out, config).run()
    rows = flows.to_numpy()
    return {
        "received": report.received.packets, "sent": report.sent.packets, "balanced": report.balanced,
        "missed": report.ports[0]["missed"], "queues": report.ports[0]["queues"],
        "flows": [tuple(map(int, row)) for row in rows[["sport", "packets", "disordered", "mark"]]],
    }  # fmt: skip


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
@pytest.mark.parametrize(("workers", "back"), [(1, False), (2, True), (3, False)])
def test_a_run_gets_each_packet_of_a_capture_once_each_flow_at_one_worker(
    workers: int, back: bool, tmp_path: Path
) -> None:
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of(frame(flow, number) for number in range(EACH) for flow in range(FLOWS)))
    device = f"nic-model,driver=e810,queues={workers},pcap={path}"
    found = alone(run, device, workers, f"dpdk:{device}" if back else None, 1.5)
    assert found["balanced"]
    assert (found["received"], found["missed"], found["queues"]) == (FLOWS * EACH, 0, workers)
    assert found["sent"] == (FLOWS * EACH if back else 0)
    assert sorted(packets for _, packets, *_ in found["flows"]) == [EACH] * FLOWS
    assert not any(disordered for *_, disordered, _ in found["flows"])


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_a_run_gets_generated_packets_at_a_rate() -> None:
    found = alone(run, "nic-model,driver=mlx5,times=3,rate=20000,wire=gen:packets=1000,flows=50", 2, None)
    assert found["balanced"]
    assert found["received"] + found["missed"] == 3000


def with_room(data: bytes) -> bytes:
    """Eight bytes of payload."""
    return data[:16] + (36).to_bytes(2, "big") + data[18:38] + (16).to_bytes(2, "big") + data[40:]


def _due(path: str) -> dict[str, Any]:
    """Packets that were taken before they were due, by the clocks of wire and workers."""
    from burstline.engine.live import LiveRun

    early = bl.Counter("early")

    @bl.stage
    def judge(pkt: Any) -> None:
        if pkt.time < (pkt.payload.be32(0) << 32 | pkt.payload.be32(4)):
            early.add(1)

    device = f"nic-model,by=workers,rate=20000,stamp=42,times=3,pcap={path}"
    config = Config(engine=Engine(workers=2, duration=0.6, stats_interval=False))
    report = LiveRun(bl.Pipeline(judge), [device], None, config).run()
    return {
        "early": early.value, "received": report.received.packets, "missed": report.ports[0]["missed"],
        "balanced": report.balanced,
    }  # fmt: skip


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_workers_that_play_the_nic_take_no_packet_before_it_is_due(tmp_path: Path) -> None:
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of(with_room(frame(flow, number)) for number in range(EACH) for flow in range(FLOWS)))
    found = alone(_due, str(path))
    assert found["balanced"] and found["early"] == 0
    assert found["received"] + found["missed"] == 3 * FLOWS * EACH


def _over_veth(count: int) -> int:
    import socket
    import threading
    import time

    veth()
    ended = threading.Event()

    def speak() -> None:
        line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        line.bind(("right", 0))
        for number in range(count):
            line.send(bytes.fromhex("020000000001020000000002") + frame(number % FLOWS, number)[12:])
            time.sleep(0.002)
        ended.set()

    threading.Timer(4.0, speak).start()
    found = run("nic-model,driver=mlx5,wire=net_af_packet0,iface=left", 2, None, 8.0)
    assert ended.is_set() and found["balanced"]
    return int(found["received"])


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_a_run_gets_what_comes_by_a_port_that_is_the_wire() -> None:
    assert alone(_over_veth, 100) == 100


@pytest.mark.parametrize(
    "options", ["", "pcap=", "pcap=a,wire=net_null0", "pcap=a,colour=red", "pcap=a,reta=x", "pcap=a,rate=fast",
                "pcap=a,key=odd", "pcap=a,by=me", "stamp=42,wire=net_null0", "times=0,pcap=a",
                "times=2,wire=net_null0"],
)  # fmt: skip
def test_what_it_does_not_know_is_refused(options: str) -> None:
    with pytest.raises(UsageError, match="nic-model"):
        options_of(f"nic-model,{options}")


def test_options_make_the_nic_that_they_say(tmp_path: Path) -> None:
    given = options_of("nic-model,driver=e810,reta=64,latency=0.5,capacity=7,key=symmetric,wire=net_x,iface=a,b=c")
    assert given["wire"] == "net_x,iface=a,b=c"
    nic = model_of(given, 3)
    assert (nic.driver, nic.queues, nic.reta_size, nic.faults.latency, nic.faults.capacity) == (
        "net_ice",
        3,
        64,
        0.5,
        7,
    )
    assert nic.table().key[:2] * 20 == nic.table().key
    assert model_of({}, 1).driver == "model"
    with pytest.raises(UsageError, match="no rules are recorded of a NIC 'e811'"):
        model_of({"driver": "e811"}, 1)
    with pytest.raises(BurstlineError, match="cannot read"):
        sizes_held(f"nic-model,pcap={tmp_path}/none.pcap")
