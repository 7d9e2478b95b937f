"""Workers' side of the XDP back end: bursts of mbufs out of the AF_XDP sockets of each queue."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

import burstline as bl
from burstline.dpdk import available
from burstline.engine.mbuf_marks import read_marks
from burstline.steering.rule import SteeringRule
from dpdk_live import alone, needs_root, pool, veth
from packet_corpus import corpus
from xdp_machine import why_not

pytestmark = [needs_root, pytest.mark.skipif(not available(), reason="needs DPDK")]
BASE = len(corpus()["ipv4 udp"])
PORTS = (5001, 5002, 5003)
RULES = [SteeringRule(proto="udp", dport=p, to=f"queue {k + 1}", mark=p) for k, p in enumerate(PORTS)]


def frame(dport: int, number: int, size: int = 0) -> bytes:
    """UDP, with a number of its own."""
    data = bytearray(corpus()["ipv4 udp"])
    at = data.index((50123).to_bytes(2, "big"))
    data[at + 2 : at + 4] = dport.to_bytes(2, "big")
    return bytes(data + number.to_bytes(4, "big")).ljust(size, b"\0")


def received(threads: int) -> dict[str, Any]:
    """What comes out of each queue, as pairs of bytes and mark, when `threads` poll them."""
    from burstline.dpdk.binding import native
    from burstline.dpdk.port import free
    from burstline.steering.xdp.director import XdpDirector
    from burstline.steering.xdp.port import XdpPort
    from burstline.steering.xdp.sockets import XdpSockets

    veth()
    each, found = 1500, [list[tuple[bytes, int]]() for _ in range(4)]
    with pool(data_room=1024) as mbufs, XdpDirector("right", 4, buckets=1) as director, XdpSockets(director) as sockets:
        director.apply(RULES)
        port = XdpPort.over(sockets, mbufs)
        port.start()
        done = threading.Event()

        def poll(queues: range) -> None:
            while not done.is_set():
                for queue in queues:
                    for mbuf in native.receive(port.id, queue, 32):
                        data = native.mbuf_bytes(mbuf)
                        found[queue].append((data, read_marks(mbuf, data, len(data)).mark))
                        free([mbuf])

        pollers = [threading.Thread(target=poll, args=(range(k, 4, threads),)) for k in range(threads)]
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("left", 0))
            while not director.queue_counts()[0][0]:  # the first that arrive
                wire.send(frame(9, 0))
                time.sleep(0.01)
            for poller in pollers:
                poller.start()
            for number in range(each):
                for dport in PORTS:
                    wire.send(frame(dport, number))
                if number % 64 == 0:
                    time.sleep(0.001)
            wire.send(frame(PORTS[0], 0, 1400))
            end = time.monotonic() + 120
            while sum(map(len, found[1:])) + sockets.lost(1) + sockets.lost(2) + sockets.lost(3) < 3 * each:
                assert time.monotonic() < end
            while not port.lost(1):
                assert time.monotonic() < end
        done.set()
        for poller in pollers:
            poller.join()
        lost = [sockets.lost(queue) for queue in range(4)]
        too_long = [port.lost(queue) for queue in range(4)]
        port.close()
        return {"found": found, "lost": lost, "too_long": too_long, "counted": director.queue_counts()}


@pytest.mark.parametrize("threads", [1, 2])
def test_bursts_of_each_queue_are_the_packets_that_rules_sent_there(threads: int) -> None:
    if why := why_not():
        pytest.skip(why)
    seen = alone(received, threads)
    for queue, dport in enumerate(PORTS, 1):
        numbers = [int.from_bytes(data[BASE : BASE + 4], "big") for data, _ in seen["found"][queue]]
        assert numbers == sorted(numbers), "in their order"
        assert all(data == frame(dport, n) for (data, _), n in zip(seen["found"][queue], numbers, strict=True))
        assert {mark for _, mark in seen["found"][queue]} == {dport}
        assert len(numbers) + seen["lost"][queue] + seen["too_long"][queue] == seen["counted"][queue][0]
        assert len(numbers) > 500
    assert seen["too_long"] == [0, 1, 0, 0]
    assert {mark for _, mark in seen["found"][0]} <= {0}


def run_workers() -> dict[str, Any]:
    """Two compiled workers of a live run on the two queues of an interface that has one."""
    from burstline.engine import ring_loop
    from burstline.engine.config import Config, Engine
    from burstline.engine.live import LiveRun
    from burstline.steering.xdp.director import XdpDirector
    from burstline.steering.xdp.port import XdpPort
    from burstline.steering.xdp.sockets import XdpSockets

    class Flow(bl.Record):
        packets: bl.u64
        marks: bl.u64

    flows = bl.FlowTable(Flow, capacity=64)

    @bl.stage
    def count(pkt: Any) -> None:
        flow = flows[pkt]
        flow.packets += 1
        flow.marks += pkt.mark

    veth()
    each = 500
    config = Config(engine=Engine(workers=2, duration=600, stats_interval=False))
    run = LiveRun(bl.Pipeline(count), ["ring-loop,packets=1"], None, config)
    with XdpDirector("right", 2, buckets=1) as director, XdpSockets(director) as sockets:
        ring_loop.open_ring_loop = lambda device, pool, queues, offloads: XdpPort.over(sockets, pool)  # type: ignore

        def speak() -> None:
            while not run.is_running:
                time.sleep(0.01)
            director.apply([SteeringRule(proto="udp", dport=PORTS[k], to=f"queue {k}", mark=k + 1) for k in (0, 1)])
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
                wire.bind(("left", 0))
                while director.queue_counts()[0][0] + director.queue_counts()[1][0] < 2 * each:
                    for dport in PORTS[:2]:
                        wire.send(frame(dport, 0))
                    time.sleep(0.001)
            time.sleep(1)
            run.stop()

        speaker = threading.Thread(target=speak)
        speaker.start()
        report = run.run()
        speaker.join()
        counted = [packets for packets, _ in director.queue_counts()]
        rows = flows.to_numpy()
        return {
            "counted": counted, "lost": sockets.lost(0) + sockets.lost(1), "received": report.received.packets,
            "balanced": report.balanced,
            "flows": [tuple(map(int, row)) for row in rows[["dport", "packets", "marks"]]],
        }  # fmt: skip


def test_two_workers_share_an_interface_with_one_queue_by_rules() -> None:
    if why := why_not():
        pytest.skip(why)
    seen = alone(run_workers)
    assert seen["balanced"] and not seen["lost"]
    assert seen["received"] == sum(seen["counted"])
    found = {dport: (packets, marks) for dport, packets, marks in seen["flows"]}
    for k, dport in enumerate(PORTS[:2]):
        packets, marks = found[dport]
        assert packets >= 400 and marks == (k + 1) * packets
