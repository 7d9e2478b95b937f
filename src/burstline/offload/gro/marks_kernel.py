"""What an mbuf says beside its frame: whether its checksums are known to be good, and what packets that are merged
must have in common (rte_mbuf_core.h)."""

from __future__ import annotations

from burstline.native.memory import load16, load32, load64
from burstline.offload.mbuf import (
    EXTERNAL,
    HASH,
    INDIRECT,
    OL_FLAGS,
    RX_IP_CKSUM_BAD,
    RX_IP_CKSUM_GOOD,
    RX_L4_CKSUM_BAD,
    RX_L4_CKSUM_GOOD,
    RX_LRO,
    RX_OUTER_IP_CKSUM_BAD,
    RX_OUTER_L4_CKSUM_BAD,
    RX_OUTER_L4_CKSUM_GOOD,
    RX_RSS_HASH,
    RX_VLAN,
    VLAN_TCI,
)

FDIR_ID, QINQ = 1 << 13, 1 << 20  # with a mark; with two tags that were taken off
FDIR_MARK, OUTER_TCI = HASH + 4, HASH + 8

IGNORED = (
    RX_RSS_HASH | EXTERNAL | RX_L4_CKSUM_BAD | RX_L4_CKSUM_GOOD | RX_IP_CKSUM_BAD | RX_IP_CKSUM_GOOD
    | RX_OUTER_IP_CKSUM_BAD | RX_OUTER_L4_CKSUM_BAD | RX_OUTER_L4_CKSUM_GOOD
)  # fmt: skip
MARKING = ~(IGNORED | RX_LRO | INDIRECT)  # all the rest

# The short way takes packets without marks. GOOD is also a bit of NONE, "not right in the packet, but known to be".
LOOKED6, GOOD6 = RX_L4_CKSUM_GOOD | RX_LRO | INDIRECT | MARKING, RX_L4_CKSUM_GOOD
LOOKED4, GOOD4 = LOOKED6 | RX_IP_CKSUM_GOOD, RX_L4_CKSUM_GOOD | RX_IP_CKSUM_GOOD


def marks_of(mbuf: int) -> int:
    return load64(mbuf + OL_FLAGS) & MARKING


def tags_of(mbuf: int) -> int:
    """VLAN tags that the port took off the frame, and the mark of a flow rule."""
    flags = load64(mbuf + OL_FLAGS)
    tags = 0
    if flags & RX_VLAN:
        tags = load16(mbuf + VLAN_TCI) + 1
    if flags & QINQ:
        tags |= (load16(mbuf + OUTER_TCI) + 1) << 17
    if flags & FDIR_ID:
        tags ^= load32(mbuf + FDIR_MARK) << 31
    return tags
