"""Asking for checksums of packets that are to be sent; the compiled half of `checksum.py`.

A packet gets the flags, the lengths and the sum of the pseudo header that DPDK wants (rte_mbuf_core.h at
RTE_MBUF_F_TX_*; rte_net.h: rte_net_intel_cksum_flags_prepare), and leaves whole whether the port or `fill` goes on.
What devices do not do, or not all of them alike, is done at once.
"""

from __future__ import annotations

from burstline.native.build import apart
from burstline.native.memory import load16, load32, load64, store64
from burstline.offload import headers as h
from burstline.offload import mbuf as m
from burstline.offload.checksums.checksums import ALL_PACKETS, ARRIVED_PARTIAL, Checksums
from burstline.offload.checksums.covered_kernel import (
    NOT_HERE,
    covered_end,
    field_of,
    front_of,
    is_routed,
    payload_end,
    protocol_of,
    pseudo_sum,
    write16,
)
from burstline.offload.checksums.fill_kernel import SEGMENTED, fill_headers, fill_l4
from burstline.offload.checksums.sum_kernel import data_of, folded
from burstline.offload.headers import find_headers
from burstline.offload.mbuf import tx_offload
from burstline.simd.memory import scratch


def request(state: Checksums, mbufs: int, n: int, which: int) -> int:
    """Asks for the checksums of those of `n` packets that are meant by `which`; returns how many got flags."""
    room = scratch()
    asked = 0
    for i in range(n):
        mbuf = load64(mbufs + 8 * i)
        flags = load64(mbuf + m.OL_FLAGS)
        if flags & SEGMENTED:  # whoever made it has said what it needs
            continue
        every = which & ALL_PACKETS
        arrived = flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_NONE or flags & m.RX_LRO
        if every or (which & ARRIVED_PARTIAL and arrived):
            asked += request_packet(state, mbuf, flags, every, room)
    return asked


@apart
def request_packet(state: Checksums, mbuf: int, flags: int, every: int, room: int) -> int:
    data, size = front_of(mbuf, room)
    shape, outer_l3, outer_l4, l3, l4, payload = find_headers(data, size)
    if shape == 0:
        return 0
    whole = load32(mbuf + m.PKT_LEN)
    segsz = load64(mbuf + m.TX_OFFLOAD) >> m.SEGSZ_SHIFT & m.SEGSZ_MASK
    is_merged = flags & m.RX_LRO != 0 and segsz > 0 and shape & (h.TCP | h.UDP) != 0 and whole > payload + segsz
    is_partial = flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_NONE
    if not every and not is_partial and not is_merged:
        return 0
    alone = not every and not is_merged
    if alone and shape & h.VXLAN and not is_partial_within(data, whole, shape, l3, l4):
        fill_l4(mbuf, data, size, h.UDP, outer_l3, outer_l4)  # it is the outer checksum that is partial
        state.filled += 1
        return 0
    transport = wanted_transport(data, whole, shape, l3, l4, is_partial or is_merged)
    headers = 0 if alone else wanted_headers(data, shape, outer_l4)
    if transport == 0 and headers == 0:
        return 0
    if is_merged:
        segments = m.TX_TCP_SEG if shape & h.TCP else m.TX_UDP_SEG | m.TX_UDP_CKSUM
        ask(mbuf, data, flags, headers | segments, segsz, shape, outer_l3, outer_l4, l3, l4, payload)
        return 1
    if data != data_of(mbuf) or is_special(data, whole, shape, l3, l4, payload):
        fill_headers(mbuf, data, size, headers, transport, outer_l3, outer_l4, l3, l4)
        state.filled += 1
        return 0
    l4_flag = m.TX_TCP_CKSUM if transport & h.TCP else m.TX_UDP_CKSUM if transport & h.UDP else 0
    l4_flag = m.TX_SCTP_CKSUM if transport & h.SCTP else l4_flag
    ask(mbuf, data, flags, headers | l4_flag, 0, shape, outer_l3, outer_l4, l3, l4, payload)
    return 1


def is_partial_within(data: int, whole: int, shape: int, l3: int, l4: int) -> bool:
    """Whether the transport within a tunnel is the one that the stack left to a device. There is one in a packet."""
    v4 = shape & h.V4 != 0
    if shape & h.SCTP:
        return load32(data + l4 + 8) == 0
    if shape & (h.TCP | h.UDP) == 0:
        return False
    end = covered_end(data, whole, v4, shape, l3, l4)
    if end == NOT_HERE:
        return False
    return load16(data + l4 + field_of(shape)) == folded(pseudo_sum(data, v4, l3, protocol_of(shape), end - l4))


def wanted_headers(data: int, shape: int, outer_l4: int) -> int:
    """All but the (inner) transport: IPv4, and what is around a tunnel. One that has no outer checksum keeps none."""
    wanted = m.TX_IP_CKSUM if shape & h.V4 else 0
    if shape & h.OUTER_V4:
        wanted |= m.TX_OUTER_IP_CKSUM
    if shape & h.VXLAN and load16(data + outer_l4 + 6):
        wanted |= m.TX_OUTER_UDP_CKSUM
    return wanted


def wanted_transport(data: int, whole: int, shape: int, l3: int, l4: int, unfinished: bool) -> int:
    """Which transport has a checksum that can be computed; `unfinished`: what is written there is no checksum yet."""
    v4 = shape & h.V4 != 0
    if shape & h.L4 == 0 or covered_end(data, whole, v4, shape, l3, l4) == NOT_HERE:
        return 0
    if v4 and shape & h.UDP and load16(data + l4 + 6) == 0:
        return 0  # RFC 768: the sender made none
    if not v4 and not unfinished and is_routed(data, l3, l4):
        return 0
    return shape & h.L4


def is_special(data: int, whole: int, shape: int, l3: int, l4: int, payload: int) -> bool:
    """What devices do not do (ICMP), or what rte_net.h's pseudo header is wrong for (IPv6 with extension headers, UDP
    that is shorter than IP says), or what some count in and some do not: bytes behind the end of IP."""
    v4 = shape & h.V4 != 0
    end = payload_end(data, v4, l3)
    return (
        shape & (h.ICMP | h.ICMPV6) != 0
        or (not v4 and l4 != l3 + 40)
        or (shape & h.UDP != 0 and covered_end(data, whole, v4, shape, l3, l4) != end)
        or end != whole
        or payload - l4 > m.L4_MASK
    )


def ask(
    mbuf: int, data: int, flags: int, wanted: int, segsz: int, shape: int, outer_l3: int, outer_l4: int, l3: int,
    l4: int, payload: int,
) -> None:  # fmt: skip
    """Sets flags and lengths, and what DPDK wants to be where checksums will be."""
    wanted |= m.TX_IPV4 if shape & h.V4 else m.TX_IPV6
    outer_l2 = outer_l3_len = 0
    l2 = l3
    if shape & h.TUNNEL:
        wanted |= m.TX_OUTER_IPV4 if shape & h.OUTER_V4 else m.TX_OUTER_IPV6
        wanted |= m.TX_TUNNEL_VXLAN if shape & h.VXLAN else m.TX_TUNNEL_GRE
        outer_l2, outer_l3_len, l2 = outer_l3, outer_l4 - outer_l3, l3 - outer_l4
    store64(mbuf + m.TX_OFFLOAD, tx_offload(l2, l4 - l3, payload - l4, segsz, outer_l3_len, outer_l2))
    store64(mbuf + m.OL_FLAGS, flags | wanted)
    if wanted & m.TX_OUTER_IP_CKSUM:
        write16(mbuf, outer_l3 + 10, 0)
    if wanted & m.TX_IP_CKSUM:
        write16(mbuf, l3 + 10, 0)
    if wanted & m.TX_OUTER_UDP_CKSUM:
        write_pseudo(mbuf, data, wanted, shape & h.OUTER_V4 != 0, outer_l3, outer_l4, h.UDP)
    kind = wanted & m.TX_L4_MASK
    if kind == m.TX_SCTP_CKSUM:
        write16(mbuf, l4 + 8, 0)
        write16(mbuf, l4 + 10, 0)
    elif kind or wanted & m.TX_TCP_SEG:
        write_pseudo(mbuf, data, wanted, shape & h.V4 != 0, l3, l4, shape)


def write_pseudo(mbuf: int, data: int, wanted: int, v4: bool, l3: int, l4: int, shape: int) -> None:
    """Not complemented. Of what is to be segmented by TCP it has no length."""
    size = 0 if wanted & m.TX_TCP_SEG else payload_end(data, v4, l3) - l4
    write16(mbuf, l4 + field_of(shape), folded(pseudo_sum(data, v4, l3, protocol_of(shape), size)))
