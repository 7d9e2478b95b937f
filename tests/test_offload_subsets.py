"""Whatever a port can do of what is asked, the bytes that leave are the same: a modelled NIC with any subset of the
offloads, real mbufs on a real port of rings, and our software for the rest."""

from __future__ import annotations

import random
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from burstline import dpdk
from burstline.offload import mbuf as m
from burstline.offload.planning.capabilities import PortCapabilities, recorded
from burstline.offload.planning.choice import PortUse
from burstline.pipeline.offloads import DEFAULTS, Offloads
from dpdk_live import alone
from nic_model import Given, received, sent
from offload_machine import machine

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
RX = ("VLAN_STRIP", "IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM", "OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM")
TX = (
    "VLAN_INSERT", "IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM", "TCP_TSO", "OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM",
    "MULTI_SEGS", "VXLAN_TNL_TSO",
)  # fmt: skip
INTENT = Offloads(checksum=True, gro=True, vlan=7).over(DEFAULTS)
BURST = 64
CASES = 60


def flow(rng: random.Random, number: int) -> list[bytes]:
    """Segments of one flow, as a sender on VLAN 7 cut them; some of them were damaged on the way."""
    six, kind, size = rng.random() < 0.4, rng.choice(["tcp", "tcp", "udp", "vxlan"]), rng.choice([100, 1000, 1300])
    ips: Any = IPv6(src="fd00::1", dst="fd00::2") if six else IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", id=number)
    frames = list[bytes]()
    seq, count = rng.randrange(2**32), rng.randrange(1, 12)
    for k in range(count):
        last = k == count - 1
        payload = Raw(rng.randbytes(rng.randrange(1, size + 1) if last and kind != "vxlan" else size))
        ip = ips.copy()
        if not six:
            ip.id = number + k
        if kind == "udp":
            made: Packet = ip / UDP(sport=5000 + number, dport=7777) / payload
        else:
            made = ip / TCP(sport=5000 + number, dport=80, seq=seq, ack=9, flags="PA" if last else "A") / payload
        seq = (seq + size) % 2**32
        ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        if kind == "vxlan":
            outer = IP(src="192.0.2.1", dst="192.0.2.2", id=100 * number + k, flags="DF") / UDP(sport=40000, dport=4789)
            frames.append(bytes(ether / Dot1Q(vlan=7) / outer / VXLAN(vni=5) / ether / made))
        else:
            frames.append(bytes(ether / Dot1Q(vlan=7) / made))
    if kind != "vxlan" and rng.random() < 0.3:
        broken = bytearray(frames[-1])
        broken[-1] ^= 0x40
        frames[-1] = bytes(broken)
    return frames


def is_broken(frame: bytes) -> bool:
    """By scapy: a checksum that comes out otherwise."""
    parsed = Ether(frame)
    for layer in (IP, TCP, UDP):
        if layer in parsed:
            del parsed[layer].chksum
    return bytes(Ether(bytes(parsed))) != frame


def through(place: Any, can: PortCapabilities, frames: list[bytes], restores: bool = True) -> tuple[list[bytes], int]:
    """What is on the wire behind the port of frames before it, and how many were dropped."""
    from burstline.dpdk.binding import native
    from burstline.engine.port_twins import PortTwins
    from burstline.offload.planning.plan import Asked, plan_ports
    from burstline.offload.twins import Twins, receive, transmit
    from burstline.state.region import Region

    port, pool, pools, cutting = place
    use = PortUse("dpdk:model", queues=1, receives=True, sends=True, mtu=1500)
    (plan,) = plan_ports([Asked(INTENT, can, use)])
    port.table = pools.table
    twins = PortTwins(plan, port, 0, burst=BURST, pools=pools, cutting=cutting, restores=restores)
    dropped, wire = 0, list[bytes]()
    mbufs = Region(8 * BURST)
    at = Twins.layout.offset("bad")
    for start in range(0, len(frames), BURST // 2):
        for frame in frames[start : start + BURST // 2]:
            given = received(frame, frozenset(plan.rx))
            mbuf = pool.new(given.frame)
            native.mbuf_mark(mbuf, given.flags, 0, 0, given.vlan)
            assert native.ring_put(port._rx[0], mbuf)
        n = receive(twins.address, mbufs.address, BURST)
        dropped += twins._block._region.i64(twins._block._at + at)
        assert transmit(twins.address, mbufs.address, n) == 0
        while mbuf := native.ring_take(port._tx[0]):
            marks = native.mbuf_marks(mbuf)
            assert native.mbuf_segments(mbuf) == 1 or "MULTI_SEGS" in plan.tx
            flags = marks["ol_flags"]
            assert asked_of(flags) <= set(plan.tx), "drivers refuse what they do not offer (tx_prepare)"
            if flags & m.TX_TCP_SEG and not flags & (m.TX_IP_CKSUM | m.TX_TUNNEL_MASK):
                assert has_right_ip(native.mbuf_bytes(mbuf)), "who is behind the port may take it as it is"
            wire += sent(Given(native.mbuf_bytes(mbuf), flags, marks["tx_offload"], marks["vlan_tci"]))
            native.free([mbuf])
    return wire, dropped


def asked_of(flags: int) -> set[str]:
    """The offloads that the flags of an mbuf are for."""
    kinds = {m.TX_TCP_CKSUM: "TCP_CKSUM", m.TX_UDP_CKSUM: "UDP_CKSUM", m.TX_SCTP_CKSUM: "SCTP_CKSUM"}
    needs = {
        m.TX_IP_CKSUM: "IPV4_CKSUM",
        m.TX_TCP_SEG: "TCP_TSO",
        m.TX_VLAN: "VLAN_INSERT",
        m.TX_OUTER_IP_CKSUM: "OUTER_IPV4_CKSUM",
        m.TX_OUTER_UDP_CKSUM: "OUTER_UDP_CKSUM",
    }
    kind = kinds.get(flags & m.TX_L4_MASK)
    return {offload for flag, offload in needs.items() if flags & flag} | ({kind} if kind else set())


def has_right_ip(frame: bytes) -> bool:
    parsed = Ether(frame)
    if IP not in parsed:
        return True
    told = parsed[IP].chksum
    del parsed[IP].chksum
    return bool(Ether(bytes(parsed))[IP].chksum == told)


def flows_of(frames: list[bytes]) -> dict[bytes, list[bytes]]:
    """By what tells flows apart: their order among each other is free."""
    found: dict[bytes, list[bytes]] = {}
    for frame in frames:
        parsed = Ether(frame)
        inner = parsed[VXLAN].payload if VXLAN in parsed else parsed
        l4 = inner[TCP] if TCP in inner else inner[UDP]
        found.setdefault(f"{VXLAN in parsed} {l4.sport}".encode(), []).append(frame)
    return found


def every_subset(seed: int) -> int:
    rng, merged = random.Random(seed), 0
    with machine() as place:
        for case in range(CASES):
            flows = [flow(rng, number) for number in range(rng.randrange(1, 6))]
            frames = [frame for k in range(12) for each in flows for frame in each[k : k + 1]]
            rx, tx = (frozenset(n for n in of if rng.random() < (case % 4) / 3) for of in (RX, TX))
            wire, dropped = through(place, PortCapabilities("net_model", rx=rx, tx=tx), frames, case % 2 == 0)
            right = [frame for frame in frames if not is_broken(frame)]
            assert dropped == len(frames) - len(right), (sorted(rx), sorted(tx))
            assert flows_of(wire) == flows_of(right), (sorted(rx), sorted(tx))
            merged += len(right)
    return merged


def test_for_every_subset_of_capabilities_the_bytes_that_leave_are_the_same() -> None:
    assert alone(every_subset, 11) > CASES


def on_recorded(name: str) -> int:
    rng, can = random.Random(3), recorded(name)
    with machine() as place:
        for _ in range(8):
            flows = [flow(rng, number) for number in range(4)]
            frames = [frame for k in range(12) for each in flows for frame in each[k : k + 1]]
            wire, _ = through(place, can, frames)
            assert flows_of(wire) == flows_of([frame for frame in frames if not is_broken(frame)])
    return len(wire)


@pytest.mark.parametrize("name", ["vmxnet3", "virtio", "e1000", "ice"])
def test_a_driver_is_asked_for_nothing_that_it_does_not_offer(name: str) -> None:
    assert alone(on_recorded, name) > 0
