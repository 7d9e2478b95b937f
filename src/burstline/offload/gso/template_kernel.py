"""What all segments of a packet have in common: an image of their mbufs, their headers with what differs left out, and
the sums of that; to be compiled.

All sums are of big-endian words (RFC 1071). That of a transport header and its payload needs no look at them once they
have their checksum: with the pseudo header it is 0xFFFF, by which checksums around them are found, too
(https://www.kernel.org/doc/html/latest/networking/checksum-offloads.html, "LCO: Local Checksum Offload").
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import be16, be32, load64, put16, store16, store32, store64
from burstline.offload import mbuf as m
from burstline.offload.gso import gso
from burstline.offload.gso.gso import HEAD, TEMPLATE
from burstline.packet.checksum import folded, sum16
from burstline.simd import u64x8
from burstline.simd.memory import load_vector, store_vector

FIN_PSH, CWR = 9, 128
OLD = (  # what the large packet asked for, and what was found of it when it came
    m.RX_LRO | m.RX_L4_CKSUM_NONE | m.RX_IP_CKSUM_NONE |
    m.TX_TCP_SEG | m.TX_UDP_SEG | m.TX_IP_CKSUM | m.TX_L4_MASK | m.TX_IPV4 | m.TX_IPV6
    | m.TX_OUTER_IP_CKSUM | m.TX_OUTER_UDP_CKSUM | m.TX_OUTER_IPV4 | m.TX_OUTER_IPV6 | m.TX_TUNNEL_MASK
)  # fmt: skip


def make_template(state: Any, cut: Any, mbuf: int) -> None:
    """`cut` has been filled in by read_headers."""
    flags = load64(mbuf + m.OL_FLAGS)
    left = left_to_port(state, cut, flags)
    store_image(state.work + HEAD, mbuf, flags & ~(OLD | m.INDIRECT | m.EXTERNAL | state.sums) | left)
    head = state.work + HEAD
    store16(head + m.DATA_OFF, state.headroom)
    store16(head + m.DATA_LEN, cut.size)
    store64(head + m.SHINFO, 0)
    store64(head + m.TX_OFFLOAD, load64(mbuf + m.TX_OFFLOAD) & ~(m.SEGSZ_MASK << m.SEGSZ_SHIFT))
    headers: Any = state.work + TEMPLATE
    cut.ip_here, cut.l4_here = int(not left & m.TX_IP_CKSUM), int(not left & m.TX_L4_MASK)
    cut.id_step = start_id(state, headers, cut.l3)
    cut.id = be16(headers, cut.l3 + 4)
    cut.length_base = start_ip(headers, cut.l3, cut.v4) + cut.size - cut.l3
    cut.ip_sum = sum16(headers, cut.l3, cut.l4) if cut.v4 and cut.ip_here else 0
    cut.pseudo = addresses(headers, cut.l3, cut.v4) + (6 if cut.tcp else 17)
    start_transport(cut, headers)
    cut.l4_sum = cut.pseudo + sum16(headers, cut.l4, cut.size) if cut.l4_here else 0
    if cut.outer_l4:
        start_tunnel(state, cut, headers, left)
    if cut.tcp:
        put16(headers, cut.l4 + 12, cut.middle)
    put_lengths(cut, headers, cut.segsz)


def left_to_port(state: Any, cut: Any, flags: int) -> int:
    """The flags that tell the port what to fill in, and what it must know for that."""
    port, left = state.checksums, 0
    if cut.outer_l4 and not port & gso.OUTER_IP:
        port = 0
    if cut.v4 and port & gso.IP:
        left |= m.TX_IP_CKSUM
    if port & (gso.TCP if cut.tcp else gso.UDP):
        left |= m.TX_TCP_CKSUM if cut.tcp else m.TX_UDP_CKSUM
    if cut.outer_v4 and port & gso.OUTER_IP:
        left |= m.TX_OUTER_IP_CKSUM
    if cut.udp_tunnel and cut.outer_check and port & gso.OUTER_UDP:
        left |= m.TX_OUTER_UDP_CKSUM
    if left:
        left |= m.TX_IPV4 if cut.v4 else m.TX_IPV6
        if cut.outer_l4:
            left |= (m.TX_OUTER_IPV4 if cut.outer_v4 else m.TX_OUTER_IPV6) | flags & m.TX_TUNNEL_MASK
    return left


def store_image(to: int, mbuf: int, flags: int) -> None:
    """An mbuf with one reference and one segment, and otherwise like this one."""
    line: Any = load_vector(u64x8, mbuf)
    store_vector(to, line)
    line = load_vector(u64x8, mbuf + 64)
    store_vector(to + 64, line)
    store32(to + m.REFCNT, 1 << 16 | 1)
    store64(to + m.OL_FLAGS, flags)
    store64(to + m.NEXT, 0)


def start_id(state: Any, headers: Any, l3: int) -> int:
    """By how much IP-IDs grow: RFC 6864 section 4.1 lets them be anything where nobody may fragment."""
    return 0 if state.fixed_id and be16(headers, l3 + 6) & 0x4000 else 1


def start_ip(headers: Any, l3: int, v4: int) -> int:
    """Leaves out what differs, and returns how many bytes more the header's length counts than those from here on."""
    if v4:
        store32(headers + l3 + 2, 0)  # total length and identification
        store16(headers + l3 + 10, 0)
        return 0
    store16(headers + l3 + 4, 0)
    return -40


def addresses(headers: Any, l3: int, v4: int) -> int:
    return sum16(headers, l3 + 12, l3 + 20) if v4 else sum16(headers, l3 + 8, l3 + 40)


def start_transport(cut: Any, headers: Any) -> None:
    l4: Any = headers + cut.l4
    if cut.tcp:
        cut.seq, cut.word = be32(l4, 4), be16(l4, 12)
        cut.middle = cut.word & ~(FIN_PSH | CWR)
        store32(l4 + 4, 0)
        store16(l4 + 12, 0)
        store16(l4 + 16, 0)
    else:
        store32(l4 + 4, 0)  # length and checksum


def start_tunnel(state: Any, cut: Any, headers: Any, left: int) -> None:
    cut.outer_ip_here = int(not left & m.TX_OUTER_IP_CKSUM)
    cut.outer_check_here = int(cut.outer_check > 0 and not left & m.TX_OUTER_UDP_CKSUM)
    cut.outer_id_step = start_id(state, headers, cut.outer_l3)
    cut.outer_id = be16(headers, cut.outer_l3 + 4)
    cut.outer_length_base = start_ip(headers, cut.outer_l3, cut.outer_v4) + cut.size - cut.outer_l3
    cut.outer_ip_sum = sum16(headers, cut.outer_l3, cut.outer_l4) if cut.outer_v4 and cut.outer_ip_here else 0
    cut.outer_sum = 0
    if cut.udp_tunnel:
        store32(headers + cut.outer_l4 + 4, 0)
        cut.outer_sum = addresses(headers, cut.outer_l3, cut.outer_v4) + 17
    elif cut.outer_check:
        store16(headers + cut.outer_check, 0)
    if cut.outer_check_here:
        cut.outer_sum += sum16(headers, cut.outer_l4, cut.l3)
        if not cut.v4:  # the sum of an IPv4 header is 0xFFFF
            cut.outer_sum += sum16(headers, cut.l3, cut.l4)


def put_lengths(cut: Any, headers: Any, size: int) -> None:
    """And what is the same in all segments with so much payload."""
    put16(headers, cut.l3 + (2 if cut.v4 else 4), cut.length_base + size)
    length = cut.size - cut.l4 + size
    if not cut.tcp:
        put16(headers, cut.l4 + 4, length)
    if not cut.l4_here:  # who fills it in starts from the sum of the pseudo header
        put16(headers, cut.l4 + (16 if cut.tcp else 6), folded(cut.pseudo + length) ^ 0xFFFF)
    if cut.outer_l4:
        put16(headers, cut.outer_l3 + (2 if cut.outer_v4 else 4), cut.outer_length_base + size)
        if cut.udp_tunnel:
            length = cut.size - cut.outer_l4 + size
            put16(headers, cut.outer_l4 + 4, length)
            if cut.outer_check and not cut.outer_check_here:
                put16(headers, cut.outer_check, folded(cut.outer_sum + length) ^ 0xFFFF)
