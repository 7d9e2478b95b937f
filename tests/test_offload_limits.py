"""A port whose driver cuts less than its offload says is given what it can cut, and software cuts the rest: net_tap's
limits, on a real port of rings."""

from __future__ import annotations

import ctypes
import random
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether

from burstline import dpdk
from burstline.offload import mbuf as m
from burstline.offload.planning.capabilities import PortCapabilities
from burstline.offload.planning.choice import PortUse
from burstline.pipeline.offloads import DEFAULTS, Offloads
from dpdk_live import alone
from gso_oracle import large_packet, segments
from nic_model import Given, sent
from offload_machine import machine

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
CAN = PortCapabilities("net_tap", tx=frozenset({"IPV4_CKSUM", "TCP_CKSUM", "UDP_CKSUM", "TCP_TSO", "MULTI_SEGS"}))
MTU, CASES = 1500, 150
V4: Any = IP(src="10.0.0.1", dst="10.0.0.2", flags="DF")


def is_right(frame: bytes) -> bool:
    """By scapy: all checksums come out the same."""
    parsed = Ether(frame)
    for layer in (IP, TCP):
        del parsed[layer].chksum
    return bytes(parsed) == frame


def pieces(mbuf: int) -> list[int]:
    """Bytes in each mbuf of a chain."""
    sizes = []
    while mbuf:
        sizes.append(ctypes.c_uint16.from_address(mbuf + m.DATA_LEN).value)
        mbuf = ctypes.c_uint64.from_address(mbuf + m.NEXT).value
    return sizes


def check_cut(sizes: list[int], headers: int, segsz: int) -> None:
    """As net/tap/rte_eth_tap.c (22.11) refuses it, at lines 745-762, or computes a wrong checksum: in 545-552 each part
    of a segment is summed as if it began at an even place."""
    assert headers + segsz <= MTU
    assert -(-(sum(sizes) - headers) // segsz) < 64
    at = -headers
    for size in sizes[:-1]:
        at += size
        assert at % segsz % 2 == 0, "a segment goes on in another mbuf behind an odd number of bytes"


def check_sums(sizes: list[int], flags: int) -> None:
    """The same of what is not to be cut."""
    if flags & m.TX_L4_MASK:
        assert all(size % 2 == 0 for size in sizes[:-1])


def by_both(seed: int) -> tuple[int, int]:
    """How many packets the port was given to cut, and how many software cut; what left was right, and all there."""
    from burstline.dpdk.binding import native
    from burstline.engine.mbuf_marks import write_marks
    from burstline.engine.port_twins import PortTwins
    from burstline.offload.planning.plan import Asked, plan_ports
    from burstline.offload.twins import transmit
    from burstline.state.region import Region

    rng, mbufs = random.Random(seed), Region(64)
    with machine() as (port, pool, pools, cutting):
        port.table = pools.table
        (plan,) = plan_ports([Asked(Offloads(tso=True).over(DEFAULTS), CAN, PortUse("dpdk:model", emits=True))])
        twins = PortTwins(plan, port, 0, burst=1, pools=pools, cutting=cutting)
        for _ in range(CASES):
            before = Dot1Q(vlan=3) / V4 if rng.random() < 0.3 else V4
            large = large_packet(before, TCP(sport=1, dport=80, flags="PA"), rng.choice([3000, 9001, 40_000, 60_000]))
            segsz = rng.choice([1448, 1448, 1447, 1446, 1400, 701, 300, 2500])
            mbuf = pool.new(large.frame, rng.choice([2048, 1502, 1501, 777, 1000 + rng.randrange(900)]))
            write_marks(mbuf, segsz, False)
            mbufs.set_i64(0, mbuf)
            assert transmit(twins.address, mbufs.address, 1) == 0
            payload = b""
            while given := native.ring_take(port._tx[0]):
                marks, sizes = native.mbuf_marks(given), pieces(given)
                flags, offload = marks["ol_flags"], marks["tx_offload"]
                if flags & m.TX_TCP_SEG:
                    check_cut(sizes, len(large.headers), offload >> m.SEGSZ_SHIFT & m.SEGSZ_MASK)
                else:
                    check_sums(sizes, flags)
                for frame in sent(Given(native.mbuf_bytes(given), flags, offload)):
                    assert is_right(frame)
                    assert len(frame) - large.l3 <= MTU
                    payload += frame[len(large.headers) :]
                native.free([given])
            assert payload == large.payload
        return twins.did()["cut"], twins.did()["gso_packets"]


def test_net_tap_is_given_to_cut_what_its_driver_cuts_and_no_more() -> None:
    cut, by_software = alone(by_both, 3)
    assert cut + by_software == CASES
    assert cut > CASES // 5 and by_software > CASES // 5


def lone(how: int) -> list[bytes]:
    """What leaves of one TCP packet of 2,000 bytes, of which the port that it came by said `how` its checksums are."""
    from burstline.dpdk.binding import native
    from burstline.engine.port_twins import PortTwins
    from burstline.offload.planning.plan import Asked, plan_ports
    from burstline.offload.twins import transmit
    from burstline.state.region import Region

    mbufs, frames = Region(64), []
    can = PortCapabilities("net_model", tx=frozenset({"MULTI_SEGS"}))
    with machine() as (port, pool, pools, cutting):
        port.table = pools.table
        (plan,) = plan_ports([Asked(Offloads(gso=True).over(DEFAULTS), can, PortUse("dpdk:model"))])
        twins = PortTwins(plan, port, 0, burst=1, pools=pools, cutting=cutting)
        mbuf = pool.new(LONE.frame)
        native.mbuf_mark(mbuf, how, 0, 0, 0)
        mbufs.set_i64(0, mbuf)
        assert transmit(twins.address, mbufs.address, 1) == 0
        while given := native.ring_take(port._tx[0]):
            frames.append(native.mbuf_bytes(given))
            native.free([given])
    return frames


LONE = large_packet(V4, TCP(sport=1, dport=80, flags="PA"), 1946)
RIGHT = m.RX_L4_CKSUM_GOOD | m.RX_IP_CKSUM_GOOD


@pytest.mark.parametrize(
    ("how", "is_cut"),
    [(RIGHT, True), (m.RX_L4_CKSUM_NONE, True), (m.RX_L4_CKSUM_BAD, False), (0, False)],
    ids=["right", "partial", "wrong", "unknown"],
)
def test_one_tcp_packet_that_is_larger_than_the_mtu_is_cut_where_its_checksum_is_known_to_be_right(
    how: int, is_cut: bool
) -> None:
    assert alone(lone, how) == (segments(LONE, 1460) if is_cut else [LONE.frame])
