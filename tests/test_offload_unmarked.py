"""Merged packets of a port that does not say which they are: found by their length, and by nothing less."""

from __future__ import annotations

import ctypes

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from burstline.offload import mbuf as m
from burstline.offload.planning.capabilities import recorded
from burstline.offload.planning.choice import PortUse
from burstline.offload.planning.plan import Asked, OffloadPlan, plan_offloads
from burstline.offload.twins import Twins, receive
from burstline.pipeline.offloads import DEFAULTS, Offloads
from burstline.state.region import Block, Region
from mbuf_memory import Chain, MbufMemory

MTU = 1500
TIMES = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
DRIVER = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)


def came(packet: Packet, flags: int = 0) -> Chain:
    """A packet from a port that merges, as `receive` gives it."""
    memory = MbufMemory(64)
    frame = bytes(Ether(dst="02:00:00:00:00:01") / packet)
    mbuf = memory.new(frame, flags, cuts=range(2048, len(frame), 2048))
    out = Region(64)

    def burst(port: int, queue: int, mbufs: int, n: int) -> int:
        ctypes.c_int64.from_address(mbufs).value = mbuf
        return 1

    rx, twins = DRIVER(burst), Block(Twins.layout)
    twins.set(rx=ctypes.cast(rx, ctypes.c_void_p).value, burst=8, unmarked=MTU)
    assert receive(twins.address, out.address, 8) == 1
    found = memory.read(out.i64(0))
    assert found.data == frame
    assert twins.get("marked") == (found.flags & m.RX_LRO != 0 and not flags & m.RX_LRO)
    return found


@pytest.mark.parametrize(
    ("packet", "size"),
    [
        (IP() / TCP() / Raw(bytes(9000)), 1460),
        (IP() / TCP(options=TIMES) / Raw(bytes(9000)), 1448),
        (IP() / TCP() / Raw(bytes(1461)), 1460),
        (IPv6() / TCP() / Raw(bytes(9000)), 1440),
        (Dot1Q(vlan=7) / IP() / TCP() / Raw(bytes(9000)), 1460),
    ],
)
def test_longer_tcp_was_merged_of_segments_that_filled_the_mtu(packet: Packet, size: int) -> None:
    found = came(packet, m.RX_L4_CKSUM_GOOD)
    assert (found.flags, found.segsz) == (m.RX_LRO | m.RX_L4_CKSUM_GOOD, size)


@pytest.mark.parametrize(
    "packet",
    [
        IP() / TCP() / Raw(bytes(1460)),
        Dot1Q(vlan=7) / IP() / TCP() / Raw(bytes(1460)),
        IP() / UDP() / Raw(bytes(9000)),
        IP(flags="MF") / TCP() / Raw(bytes(9000)),
        IP(proto=99) / Raw(bytes(9000)),
    ],
)
def test_others_are_left_as_they_are(packet: Packet) -> None:
    assert came(packet).flags == 0


def test_what_the_port_says_is_kept() -> None:
    memory_had = 0x1234567 >> m.SEGSZ_SHIFT
    found = came(IP() / TCP() / Raw(bytes(9000)), m.RX_LRO)
    assert (found.flags, found.segsz) == (m.RX_LRO, memory_had)


def plan(driver: str, **wishes: bool) -> OffloadPlan:
    return plan_offloads(Asked(Offloads(**wishes).over(DEFAULTS), recorded(driver), PortUse("dpdk:a")))  # type: ignore[arg-type]


def test_only_a_driver_that_may_not_say_has_its_packets_looked_at_and_the_plan_says_so() -> None:
    assert plan("vmxnet3", lro=True).lro_unmarked
    assert "longer than the MTU are taken for merged ones: QEMU" in plan("vmxnet3", lro=True).notes[0]
    assert not plan("vmxnet3", gro=True).lro_unmarked
    assert not plan("virtio", lro=True).lro_unmarked and not plan("mlx5", lro=True).lro_unmarked
