"""The headers of a packet that is to be cut, read once and checked; to be compiled."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import be8, be16, copy, load16, load32, load64, unsigned_divide
from burstline.offload import mbuf as m
from burstline.offload.gso.gso import TEMPLATE


def read_headers(state: Any, cut: Any, mbuf: int) -> bool:
    """Whether the packet can be cut; then `cut` says where its headers are, and they lie where the template will be."""
    flags, lengths = load64(mbuf + m.OL_FLAGS), load64(mbuf + m.TX_OFFLOAD)
    place(cut, flags, lengths)
    cut.payload = load32(mbuf + m.PKT_LEN) - cut.size
    headers: Any = state.work + TEMPLATE
    if cut.payload < 0 or gather(headers, mbuf, cut.size) < cut.size:
        return False
    tcp, udp = flags & m.TX_TCP_SEG, flags & m.TX_UDP_SEG
    proto = protocol(headers, cut.l3, cut.l4)
    if (tcp != 0) == (udp != 0) or proto != (6 if tcp else 17):
        return False
    l4_size = cut.size - cut.l4
    if l4_size < 20 or (be8(headers, cut.l4 + 12) >> 4) * 4 != l4_size if tcp else l4_size != 8:
        return False
    cut.v4, cut.tcp = int(be8(headers, cut.l3) >> 4 == 4), int(tcp != 0)
    cut.outer_v4 = cut.udp_tunnel = cut.outer_check = 0
    if flags & m.TX_TUNNEL_MASK and not read_tunnel(cut, headers, flags):
        return False
    return choose_size(state, cut, lengths >> m.SEGSZ_SHIFT & m.SEGSZ_MASK)


def place(cut: Any, flags: int, lengths: int) -> None:
    l2, l3 = lengths & m.L2_MASK, lengths >> m.L3_SHIFT & m.L3_MASK
    cut.outer_l3 = cut.outer_l4 = before = 0
    if flags & m.TX_TUNNEL_MASK:
        cut.outer_l3 = lengths >> m.OUTER_L2_SHIFT & m.OUTER_L2_MASK
        before = cut.outer_l3 + (lengths >> m.OUTER_L3_SHIFT & m.OUTER_L3_MASK)
        cut.outer_l4 = before
    cut.l3 = before + l2
    cut.l4 = cut.l3 + l3
    cut.size = cut.l4 + (lengths >> m.L4_SHIFT & m.L4_MASK)


def gather(to: int, mbuf: int, size: int) -> int:
    """Copies the first `size` bytes of a packet, and returns how many there are."""
    done = 0
    while mbuf and done < size:
        n = min(size - done, load16(mbuf + m.DATA_LEN))
        copy(to + done, load64(mbuf + m.BUF_ADDR) + load16(mbuf + m.DATA_OFF), n)
        done += n
        mbuf = load64(mbuf + m.NEXT)
    return done


def protocol(headers: Any, l3: int, l4: int) -> int:
    """What the IP header between these offsets says that follows; -1 where it is not one, or nothing that can be cut
    follows: fragments, and what has headers of which each segment would need another."""
    size, version = l4 - l3, be8(headers, l3) >> 4
    if version == 4:
        if size < 20 or (be8(headers, l3) & 15) * 4 != size or be16(headers, l3 + 6) & 0x3FFF:
            return -1
        return be8(headers, l3 + 9)
    if version != 6 or size < 40:
        return -1
    proto, at = be8(headers, l3 + 6), l3 + 40
    while (proto == 0 or proto == 43 or proto == 60) and at + 8 <= l4:
        if proto == 43 and be8(headers, at + 3):  # RFC 8200 section 8.1: the pseudo header has its last address
            return -1
        if proto == 0 and be8(headers, at + 2) == 0xC2:  # RFC 2675 section 3: not with a length of 16 bits
            return -1
        proto, at = be8(headers, at), at + (be8(headers, at + 1) + 1) * 8
    return proto if at == l4 else -1


def read_tunnel(cut: Any, headers: Any, flags: int) -> bool:
    """Whether it is VXLAN (RFC 7348) or GRE (RFC 2784, RFC 2890), and where its checksum is."""
    proto, between = protocol(headers, cut.outer_l3, cut.outer_l4), cut.l3 - cut.outer_l4
    cut.outer_v4 = int(be8(headers, cut.outer_l3) >> 4 == 4)
    kind = flags & m.TX_TUNNEL_MASK
    if kind == m.TX_TUNNEL_VXLAN and proto == 17 and between >= 16 and not between & 1:
        cut.udp_tunnel = 1
        if be16(headers, cut.outer_l4 + 6) or flags & m.TX_OUTER_UDP_CKSUM:
            cut.outer_check = cut.outer_l4 + 6
        return True
    if kind == m.TX_TUNNEL_GRE and proto == 47 and between >= 4:
        bits = be16(headers, cut.outer_l4)
        with_check, with_key = bits >> 15, bits >> 13 & 1
        if with_check:
            cut.outer_check = cut.outer_l4 + 4
        # Sequence numbers (0x1000) are one a packet, and only who makes the tunnel knows the next.
        return bits & 0x5FFF == 0 and not between & 1 and between >= 4 + 4 * (with_check + with_key)
    return False


def choose_size(state: Any, cut: Any, segsz: int) -> bool:
    """How much payload in a segment: what was asked, or less TCP where the port would not take it. Datagrams cannot be
    made smaller, for their bounds mean something to the receiver."""
    if segsz == 0 or cut.payload > m.MOST_SEGMENT:
        return False
    segsz = min(segsz, max(cut.payload, 1))
    fits = state.largest - (cut.size - (cut.outer_l3 if cut.outer_l4 else cut.l3))
    cut.lowered = int(cut.payload > 0 and segsz > fits)
    if (cut.lowered and not cut.tcp) or fits < min(cut.payload, 1):
        return False
    cut.segsz = min(segsz, max(fits, 1))
    cut.segments = max(1, unsigned_divide(cut.payload + cut.segsz - 1, cut.segsz))
    return True
