"""Flows move between workers while packets flow: each packet is handled once, in order, by the worker that has its
flow's record, whatever moves and whatever fails."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

import burstline as bl
from burstline import dpdk
from burstline.steering.edit import AddRules, Edit, MoveBucket, RemoveRules
from dpdk_live import alone, pool
from xdp_machine import packet

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
FLOWS = 48


def frame(flow: int, number: int, count: int = 1 << 30) -> bytes:
    """Packet `number` of `count` of a flow, which says so in its payload; every third flow is of IPv6, every fourth of
    TCP."""
    proto, sport, dport = 6 if flow % 4 == 0 else 17, 5000 + flow, 1000 + flow
    body = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    body += bytes(8) + b"\x50" + bytes(7) if proto == 6 else (28).to_bytes(2, "big") + bytes(14)
    body += count.to_bytes(4, "big") + number.to_bytes(4, "big")
    if flow % 3 == 0:
        ip = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((proto, 64)) + bytes(15) + bytes((flow,))
        return bytes(12) + b"\x86\xdd" + ip + bytes(15) + b"\x09" + body
    ip = b"\x45\0" + (20 + len(body)).to_bytes(2, "big") + bytes(4) + bytes((64, proto, 0, 0))
    return bytes(12) + b"\x08\0" + ip + bytes((10, 0, 0, flow, 10, 9, 0, 1)) + body


def rule(flow: int, queue: int) -> bl.SteeringRule:
    proto = "tcp" if flow % 4 == 0 else "udp"
    src, dst = (f"::{flow:x}", "::9") if flow % 3 == 0 else (f"10.0.0.{flow}", "10.9.0.1")
    return bl.SteeringRule(src=src, dst=dst, proto=proto, sport=5000 + flow, dport=1000 + flow, to=f"queue {queue}")


class Seen(bl.Record):
    packets: bl.u32
    astray: bl.cold[bl.u32]  # packets that were not the next of their flow, as this record knows it


def app(record: type[bl.Record] = Seen, **options: Any) -> tuple[bl.Pipeline, bl.FlowTable[Any]]:
    """Packets of a flow come in their order, and when the last has come, from the first on."""
    flows: bl.FlowTable[Any] = bl.FlowTable(record, capacity=1024, **options)

    @bl.stage
    def follow(pkt: Any) -> None:
        flow = flows[pkt]
        number, count = pkt.payload.be32(len(pkt.payload) - 4), pkt.payload.be32(len(pkt.payload) - 8)
        if number != flow.packets % count:
            flow.astray += 1
        flow.packets += 1

    return bl.Pipeline(follow), flows


CONTROLLERS = ["add", "add", "remove", "bucket", "bucket"]  # kinds of edits
ALL = [*CONTROLLERS, "wild", "wild"]


def any_edits(chance: random.Random, workers: int, handles: list[int], kinds: Sequence[str] = ALL) -> list[Edit]:
    edits: list[Edit] = []
    for _ in range(chance.randint(1, 4)):
        match chance.choice(kinds):
            case "add":
                edits.append(AddRules((rule(chance.randrange(FLOWS), chance.randrange(workers)),)))
            case "remove" if handles:
                edits.append(RemoveRules((handles.pop(chance.randrange(len(handles))),)))
            case "bucket":
                edits.append(MoveBucket(chance.randrange(16), chance.randrange(workers)))
            case "wild":
                low = 1000 + chance.randrange(FLOWS)
                to = chance.choice([f"queue {chance.randrange(workers)}", "cores 0, 1"])
                edits.append(
                    AddRules((bl.SteeringRule(dport=f"{low}-{low + 9}", to=to, priority=chance.randrange(3)),))
                )
    return edits


def moved(seed: int, workers: int, fails: float, options: dict[str, Any]) -> dict[str, Any]:
    from moves_machine import Machine

    sys.setswitchinterval(0.0002)  # so that moves come between packets
    chance, sent = random.Random(seed), [0] * FLOWS
    pipeline, flows = app(**options)
    with pool(8191) as mbufs:
        machine = Machine(pipeline, workers, mbufs)
        done, refused, handles = threading.Event(), 0, list[int]()
        machine.nic.refuses = lambda: chance.random() < fails

        def move() -> None:
            nonlocal refused
            while not done.is_set():
                for each in machine.moves.change(any_edits(chance, workers, handles)):
                    refused += each.error is not None
                    handles.extend(each.handles)

        mover = threading.Thread(target=move)
        mover.start()
        other = random.Random(seed + 1)
        while sum(sent) < 2000 or machine.moves.moves < 20:
            flow = min(int(other.expovariate(0.1)), FLOWS - 1)
            machine.send(frame(flow, sent[flow]))
            sent[flow] += 1
        done.set()
        mover.join()
        report = machine.finish()
        rows = flows.to_numpy()
    return {**report, "sent": {5000 + k: n for k, n in enumerate(sent) if n}, "refused": refused,
            "flows": [tuple(map(int, row)) for row in rows[["sport", "packets", "astray"]]]}  # fmt: skip


OPTIONS = [{}, {"both_ways": True}, {"vlan": True}, {"idle": 60, "full": "evict"}, {"active": 600}]


@pytest.mark.parametrize(("workers", "fails"), [(2, 0.0), (3, 0.3)])
def test_each_packet_is_handled_once_in_order_with_its_flows_record(workers: int, fails: float) -> None:
    held = 0
    for seed, options in enumerate(OPTIONS):
        found = alone(moved, seed, workers, fails, options)
        assert sum(found["received"]) == sum(found["sent"].values())
        assert not found["left"]
        assert not sum(astray for *_, astray in found["flows"]), found
        assert {sport: packets for sport, packets, _ in found["flows"]} == found["sent"]
        assert len(found["flows"]) == len(found["sent"])  # one record each, in one worker's table
        assert found["records"] and (found["refused"] or not fails)
        held += found["held"]
    assert held


class Slow(Seen):
    chance: bl.u64


def with_a_full_queue() -> dict[str, Any]:
    """A flow moves while hundreds of its packets wait for the worker that has it, and more come."""
    from burstline.engine.moves import flow_moves
    from moves_machine import Machine

    flow_moves.PATIENCE = 60.0
    flows, flow = bl.FlowTable(Slow, capacity=64), 5

    @bl.stage
    def follow(pkt: Any) -> None:
        seen = flows[pkt]
        for _ in range(2_000_000):
            seen.chance = seen.chance * 6364136223846793005 + 1442695040888963407
        if pkt.payload.be32(len(pkt.payload) - 4) != seen.packets:
            seen.astray += 1
        seen.packets += 1

    with pool(8191) as mbufs:
        machine = Machine(bl.Pipeline(follow), 2, mbufs)
        home = machine.table.queue(packet(frame(flow, 0)))
        waited = machine.port.inject([frame(flow, number) for number in range(900)], home)
        mover = threading.Thread(target=lambda: machine.moves.change([AddRules((rule(flow, 1 - home),))]))
        mover.start()
        while machine.table.queue(packet(frame(flow, 0))) == home:
            time.sleep(0.0001)
        left = machine.port.waiting
        for number in range(900, 1000):
            machine.send(frame(flow, number))
        mover.join()
        report = machine.finish()
        (row,) = flows.to_numpy()[["packets", "astray"]]
    return {**report, "waited": waited, "behind": left, "row": tuple(map(int, row)), "home": home}


def test_a_queue_drains_before_its_flows_move() -> None:
    found = alone(with_a_full_queue)
    assert found["waited"] == 900 and found["behind"] > 100, "there was nothing to drain"
    assert found["row"] == (1000, 0)
    assert (found["records"], found["passed_on"], found["late"], found["left"]) == (1, 0, 0, 0)
    assert found["held"] and found["received"][1 - found["home"]] == 100
