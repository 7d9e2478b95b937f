"""Each real driver through burstline's Port: what it is, that frames cross unchanged, stop, start, close, queues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
from lab_cards import DRIVERS, MACHINE, RESULTS, cross, dpdk_process, frame, open_pair, pair, ports, up

from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port
from dpdk_live import raised

SIZES = [60, 61, 64, 65, 127, 128, 255, 256, 500, 1000, 1499, 1500, 1513, 1514]
# What each driver offers for these cards, and what later parts of burstline build on.
CHECKSUMS = {"IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM"}
RECEIVES = {
    "e1000e": CHECKSUMS | {"VLAN_STRIP", "SCATTER"},
    "vmxnet3": {"UDP_CKSUM", "TCP_CKSUM", "TCP_LRO", "RSS_HASH", "SCATTER"},
    "virtio-net-pci": {"VLAN_STRIP", "SCATTER", "UDP_CKSUM", "TCP_CKSUM"},
}
SENDS = {
    "e1000e": CHECKSUMS | {"VLAN_INSERT", "MULTI_SEGS"},
    "vmxnet3": {"TCP_TSO", "MULTI_SEGS", "UDP_CKSUM", "TCP_CKSUM"},
    "virtio-net-pci": {"MULTI_SEGS", "VLAN_INSERT", "TCP_TSO", "UDP_CKSUM", "TCP_CKSUM"},
}
QUEUES = {"vmxnet3": 2, "virtio-net-pci": 4}

Run = Callable[..., Any]
each_model = pytest.mark.parametrize("model", DRIVERS)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Calls a function where EAL runs."""
    with dpdk_process() as call:
        yield call


def _info(model: str) -> list[dict[str, Any]]:
    found = []
    for address in pair(model):
        with Port.attach(address) as port:
            found.append(asdict(port.info()) | {"mac": f"{port.mac:012x}"})
    return found


@each_model
def test_a_card_is_what_the_machine_has(run: Run, model: str) -> None:
    found = run(_info, model)
    (RESULTS / f"{DRIVERS[model]}.json").write_text(json.dumps(found[0], indent=2))
    assert [port["device"] for port in found] == list(pair(model))
    assert [port["mac"] for port in found] == [MACHINE.mac(k).replace(":", "") for k in MACHINE.cards(model)]
    for port in found:
        assert (port["driver"], port["bus"]) == (DRIVERS[model], "pci")
        assert set(port["rx_offloads"]) >= RECEIVES[model]
        assert set(port["tx_offloads"]) >= SENDS[model]
        assert min(port["max_rx_queues"], port["max_tx_queues"]) >= QUEUES.get(model, 1)


def _crossing(model: str) -> None:
    there, back = [frame(k, size) for k, size in enumerate(SIZES)], [frame(k, 1514) for k in range(300)]
    with ports(model) as (a, b):
        assert cross(a, b, there) == [there]
        assert cross(b, a, back) == [back]
        sent = (len(there), sum(map(len, there)))
        assert (a.stats().opackets, b.stats().ipackets) == (len(there), len(there))
        # Hardware counts the frame's checksum of 4 bytes; virtual devices have none.
        around = 4 * len(there)
        assert b.stats().ibytes - sent[1] in (0, around)
        assert a.stats().obytes - sent[1] in (0, around)
        assert (b.stats().opackets, a.stats().ipackets) == (300, 300)
        assert {getattr(p.stats(), name) for p in (a, b) for name in ("imissed", "ierrors", "oerrors")} == {0}


@each_model
def test_frames_cross_both_ways_in_order_with_all_their_bytes_and_are_counted(run: Run, model: str) -> None:
    run(_crossing, model)


def _again(model: str) -> None:
    first, second, third = ([frame(100 * k + j, 80) for j in range(40)] for k in range(3))
    with Pool(8191, software=False) as pool:
        with open_pair(model, pool) as (a, b):
            assert cross(a, b, first) == [first]
            a.stop()
            b.stop()
            assert not a.started
            a.start()
            b.start()
            up(a, b)
            assert cross(b, a, second) == [second]
        assert pool.in_use == 0, "closing gives back what the rings held"
        with open_pair(model, pool) as (a, b):
            assert "open already" in raised(lambda: Port.attach(a.name)).message
            assert cross(a, b, third) == [third]
        assert pool.in_use == 0


@each_model
def test_a_port_works_after_stop_and_start_and_after_close_and_open(run: Run, model: str) -> None:
    run(_again, model)


def _jumbo(model: str) -> None:
    frames = [frame(k, size) for k, size in enumerate((60, 1515, 2048, 4096, 8999, 9014))]
    with ports(model, room=9216, mtu=9000) as (a, b):
        assert a.info().mtu == 9000
        assert cross(a, b, frames) == [frames]


@each_model
def test_jumbo_frames_cross_whole(run: Run, model: str) -> None:
    run(_jumbo, model)


def _queues(model: str) -> list[list[int]]:
    """Frames that came to each queue, by the queue that they left from."""
    queues, frames = QUEUES[model], [frame(k, 100) for k in range(64)]
    with ports(model, buffers=16383, queues=queues) as (a, b):
        found = []
        for queue in range(queues):
            got = cross(a, b, frames, queue)
            assert sorted(f for each in got for f in each) == sorted(frames)
            found.append([len(each) for each in got])
        assert a.rss
        return found


@pytest.mark.parametrize("model", QUEUES)
def test_each_queue_sends_and_flows_are_spread_over_the_queues_that_receive(run: Run, model: str) -> None:
    found = run(_queues, model)
    print(f"{model}: frames of 64 flows to each queue: {found}")
    assert len({tuple(each) for each in found}) == 1, "a flow goes to the same queue, whichever it leaves by"
    if model == "vmxnet3":  # QEMU's takes all to the first queue: hw/net/vmxnet3.c, RXQ_IDX
        assert found[0] == [64, 0]
    else:
        assert min(found[0]) > 0


def _too_many_queues() -> str:
    with Pool(255, software=False) as pool:
        return raised(lambda: Port.open(pair("e1000e")[0], pool, queues=3)).message


def test_more_queues_than_a_card_has_are_refused(run: Run) -> None:
    assert "has 2 queues, 3 were asked for" in run(_too_many_queues)


def _held(address: str) -> str:
    return str(raised(lambda: Port.attach(address)))


def test_a_card_of_the_kernel_is_not_taken_from_it(run: Run) -> None:
    address = MACHINE.address(MACHINE.cards("virtio-net-pci", dpdk=False)[0])
    assert f"{address} is held by the kernel driver virtio-pci" in run(_held, address)
