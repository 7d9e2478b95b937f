"""The first look of GRO at packets that do not take the short way: with VLAN tags, in VXLAN, with checksums that are
not known, with options, or with a defect for which they cannot be merged but must not pass what is held of their flow.
"""

from __future__ import annotations

from typing import Any

from burstline.native.build import apart
from burstline.native.memory import be16, be32, load16, load32, load64, select, store64
from burstline.offload import headers
from burstline.offload.gro import forms
from burstline.offload.gro.gro import Gro
from burstline.offload.gro.hash_kernel import hash_other
from burstline.offload.gro.marks_kernel import marks_of, tags_of
from burstline.offload.gro.transport_kernel import TCP, UDP, is_tunnel, transport
from burstline.offload.gro.word import FLOW, MARKED, OUTER_CHECKSUM
from burstline.offload.headers import find_headers
from burstline.offload.mbuf import (
    DATA_LEN,
    INDIRECT,
    OL_FLAGS,
    PKT_LEN,
    REFCNT,
    RX_IP_CKSUM_BAD,
    RX_IP_CKSUM_GOOD,
    RX_L4_CKSUM_GOOD,
    RX_LRO,
    RX_OUTER_IP_CKSUM_BAD,
    RX_OUTER_L4_CKSUM_GOOD,
)

TAG, SIX, TUNNEL = forms.TAG, forms.SIX, forms.TUNNEL
ETHERNET = 14
BEHIND = 8 + 8 + ETHERNET  # from the outer UDP header to what follows the inner Ethernet header


@apart
def sort_other(state: Gro, mbuf: int, data: Any, to: int) -> tuple[int, int]:
    """The hash of its flow, and its word."""
    shape, outer_l3, outer_l4, l3, l4, _ = find_headers(data, load16(mbuf + DATA_LEN), state.vxlan_port)
    proto = TCP if shape & headers.TCP else UDP if shape & headers.UDP else 0
    if proto == 0 or shape & headers.GRE or (outer_l3 != 0 and state.tunnels == 0):
        return 0, 0
    if proto == UDP and (state.udp == 0 or is_tunnel(state, be16(data, l4 + 2))):
        return 0, 0
    marks, tags = marks_of(mbuf), tags_of(mbuf)
    store64(to + 16, marks)
    store64(to + 24, tags)
    vlan = select(outer_l3 != 0, outer_l3, l3) - ETHERNET
    hashed = hash_other(data, shape & headers.V6, l3, l4, tags, outer_l4, vlan)
    form = form_of(mbuf, data, shape, outer_l3, outer_l4, l3, l4)
    if form < 0:
        return hashed, FLOW
    word = transport(mbuf, data, form, l4, proto)
    if word != FLOW:
        word |= select(marks != 0, MARKED, 0)
        if outer_l4 != 0 and be16(data, outer_l4 + 6) != 0:
            word |= OUTER_CHECKSUM
    return hashed, word


def form_of(mbuf: int, data: Any, shape: int, outer_l3: int, outer_l4: int, l3: int, l4: int) -> int:
    """The number of its form; -1 where it has none, or cannot be merged for what is wrong with it."""
    flags, whole = load64(mbuf + OL_FLAGS), load32(mbuf + PKT_LEN)
    six = select(shape & headers.V6 != 0, 1, 0)
    if load16(mbuf + REFCNT) != 1 or flags & (INDIRECT | RX_LRO) or not flags & RX_L4_CKSUM_GOOD:
        return -1
    if not is_plain(data, six, l3, l4, whole) or not is_right(data, six, l3, flags):
        return -1
    if outer_l3 == 0:
        tags = l3 - ETHERNET >> 2
        return tags * TAG + six * SIX if tags <= forms.TAGS else -1
    tags, inner_tags = outer_l3 - ETHERNET >> 2, l3 - outer_l4 - BEHIND >> 2
    outer_six = select(shape & headers.OUTER_V6 != 0, 1, 0)
    if tags > forms.TAGS or inner_tags > forms.INNER_TAGS or flags & RX_OUTER_IP_CKSUM_BAD:
        return -1
    if not is_plain(data, outer_six, outer_l3, outer_l4, whole) or not is_right(data, outer_six, outer_l3, 0):
        return -1
    if be16(data, outer_l4 + 4) != whole - outer_l4:
        return -1
    if be16(data, outer_l4 + 6) != 0 and not flags & RX_OUTER_L4_CKSUM_GOOD:
        return -1
    return tags * TAG + outer_six * SIX + (1 + 2 * inner_tags + six) * TUNNEL


def is_plain(data: Any, six: int, l3: int, l4: int, whole: int) -> bool:
    """Without options, a fragment's flags, or bytes behind the packet (net/ipv4/af_inet.c, inet_gro_receive)."""
    if six:
        return l4 == l3 + 40 and be16(data, l3 + 4) == whole - l4
    return l4 == l3 + 20 and be16(data, l3 + 2) == whole - l3 and be16(data, l3 + 6) & 0xBFFF == 0


def is_right(data: Any, six: int, l3: int, flags: int) -> bool:
    """IPv4's checksum: by the port's word, or by its own (RFC 1071)."""
    if six or flags & RX_IP_CKSUM_GOOD:
        return True
    if flags & RX_IP_CKSUM_BAD:
        return False
    total = be32(data, l3) + be32(data, l3 + 4) + be32(data, l3 + 8) + be32(data, l3 + 12) + be32(data, l3 + 16)
    total = (total & 0xFFFFFFFF) + (total >> 32)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF
