"""rte_mbuf as compiled code sees it: where its fields are, and what its flags say (rte_mbuf_core.h; the layout is part
of DPDK's ABI). Offloads are spoken of in these flags only, so that it is the same whoever does the work.

A live run refuses a DPDK whose numbers are others.
"""

from __future__ import annotations

from collections.abc import Mapping

from burstline.errors import BurstlineError

BUF_ADDR, DATA_OFF, REFCNT, NB_SEGS, PORT, OL_FLAGS, PACKET_TYPE = 0, 16, 18, 20, 22, 24, 32
PKT_LEN, DATA_LEN, VLAN_TCI, HASH, BUF_LEN, POOL = 36, 40, 42, 44, 54, 56
NEXT, TX_OFFLOAD, SHINFO, PRIV_SIZE = 64, 72, 80, 88  # in the second cache line
SIZE = 128

RX_VLAN, RX_RSS_HASH, RX_VLAN_STRIPPED, RX_LRO = 1 << 0, 1 << 1, 1 << 6, 1 << 16
RX_FDIR, RX_FDIR_ID = 1 << 2, 1 << 13  # a rule matched; what it marks packets with is in the second half of `hash`
MARK = HASH + 4
RX_L4_CKSUM_BAD, RX_L4_CKSUM_GOOD = 1 << 3, 1 << 8
RX_L4_CKSUM_NONE = RX_L4_CKSUM_BAD | RX_L4_CKSUM_GOOD  # not right in the packet, but the data are known to be: partial
RX_IP_CKSUM_BAD, RX_IP_CKSUM_GOOD = 1 << 4, 1 << 7
RX_IP_CKSUM_NONE = RX_IP_CKSUM_BAD | RX_IP_CKSUM_GOOD
RX_OUTER_IP_CKSUM_BAD, RX_OUTER_L4_CKSUM_BAD, RX_OUTER_L4_CKSUM_GOOD = 1 << 5, 1 << 21, 1 << 22

TX_OUTER_UDP_CKSUM, TX_UDP_SEG = 1 << 41, 1 << 42
TX_TUNNEL_VXLAN, TX_TUNNEL_GRE, TX_TUNNEL_MASK = 1 << 45, 2 << 45, 15 << 45
TX_TCP_SEG = 1 << 50
TX_TCP_CKSUM, TX_SCTP_CKSUM, TX_UDP_CKSUM, TX_L4_MASK = 1 << 52, 2 << 52, 3 << 52, 3 << 52
TX_IP_CKSUM, TX_IPV4, TX_IPV6, TX_VLAN = 1 << 54, 1 << 55, 1 << 56, 1 << 57
TX_OUTER_IP_CKSUM, TX_OUTER_IPV4, TX_OUTER_IPV6 = 1 << 58, 1 << 59, 1 << 60
EXTERNAL, INDIRECT = 1 << 61, 1 << 62

# tx_offload: the lengths of the headers, from the front; behind a tunnel l2 holds all from the outer transport header
# to the inner IP header.
L2_SHIFT, L3_SHIFT, L4_SHIFT, SEGSZ_SHIFT, OUTER_L3_SHIFT, OUTER_L2_SHIFT = 0, 7, 16, 24, 40, 49
L2_MASK, L3_MASK, L4_MASK, SEGSZ_MASK, OUTER_L3_MASK, OUTER_L2_MASK = 127, 511, 255, 65535, 511, 127

MOST_SEGMENT = 65535  # bytes of a packet that an IP header can tell


def tx_offload(l2: int, l3: int, l4: int, segsz: int = 0, outer_l3: int = 0, outer_l2: int = 0) -> int:
    return (
        l2 << L2_SHIFT
        | l3 << L3_SHIFT
        | l4 << L4_SHIFT
        | segsz << SEGSZ_SHIFT
        | outer_l3 << OUTER_L3_SHIFT
        | outer_l2 << OUTER_L2_SHIFT
    )


def check(fields: Mapping[str, int], flags: Mapping[str, int]) -> None:
    """Raises BurstlineError where this DPDK's numbers are not those above."""
    here = globals()
    for name, value in (*((n.upper(), v) for n, v in fields.items()), *flags.items()):
        if name in here and here[name] != value:
            raise BurstlineError(
                f"this DPDK has another rte_mbuf: {name} is {value}, not {here[name]}",
                "use DPDK 22.11, or one with its ABI",
            )
