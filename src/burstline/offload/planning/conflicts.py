"""What cannot be had together, and what drivers do otherwise than their offloads say: data, with the sources.

Files are DPDK 22.11's; guides are at https://doc.dpdk.org/guides-22.11/.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

Side = Literal["rx", "tx"]

# Someone else behind a virtual link: what a port offers is what the peer agreed to do.
PEERS = frozenset({"net_virtio", "net_virtio_user", "net_vhost", "net_vmxnet3"})

# Done by the driver's own software, by offload.
BY_DRIVER = {
    "net_tap": {
        "TCP_TSO": "its driver cuts by rte_gso (net/tap/rte_eth_tap.c:739-760)",
        "TCP_CKSUM": "its driver computes them (net/tap/rte_eth_tap.c:322, 526-556)",
    },
    "net_virtio": {"VLAN_STRIP": "its driver moves the bytes (net/virtio/virtio_rxtx.c:1041, 1740)"},
    "net_virtio_user": {"VLAN_STRIP": "its driver moves the bytes (net/virtio/virtio_rxtx.c:1041, 1740)"},
    "net_vhost": {"VLAN_STRIP": "its driver moves the bytes (net/vhost/rte_eth_vhost.c:437, 473)"},
}

# Who cuts writes the IPv4 header checksum of each segment, and offers no offload for it by itself.
FILLS_IP_BY_TSO = frozenset({"net_virtio", "net_virtio_user", "net_vmxnet3"})

# Merged packets that some device behind the driver does not tell from others.
LRO_UNMARKED = {
    "net_vmxnet3": "QEMU's device has no completion for them (its hw/net/vmxnet3.c: vmxnet3_rx_update_descr)",
}

# Of a frame in several buffers, the tag that was taken off is lost.
TAG_LOST_IN_CHAINS = {
    "net_e1000_em": "its driver writes the tag to the last mbuf, not to the first (net/e1000/em_rxtx.c:1042)",
}

# It puts a tag on only while it takes tags off: one bit of a register is for both.
INSERTS_WHILE_STRIPPING = {
    "net_e1000_em": "CTRL.VME is set for VLAN_STRIP alone (net/e1000/em_ethdev.c:1391-1416)",
}

# It says which checksums are wrong, but never that one is right.
SAYS_BAD_ONLY = {"net_e1000_em": "net/e1000/em_rxtx.c:665-675: rx_desc_error_to_pkt_flags"}

# TSO of TCP over IPv4 only.
TSO_IPV4_ONLY = {
    "net_ena": "net/ena/ena_ethdev.c:2810: no support for IPv6 TSO",
    "net_tap": "rte_gso knows TCP over IPv4 only (lib/gso)",
}


@dataclass(frozen=True)
class CutLimits:
    """What a driver does not cut, or not rightly, though its offload does not say so."""

    segments: int  # of a packet at most
    ethernet: bool  # with Ethernet's header, a segment must not be larger than the MTU
    even: bool  # a segment may go on in another buffer behind an even number of bytes only
    source: str


CUT_LIMITS = {
    "net_tap": CutLimits(
        segments=63, ethernet=True, even=True,
        source="net/tap/rte_eth_tap.c:745-762; net/tap/rte_eth_tap.h:26; gso_do_segment in lib/gso/gso_common.c",
    ),
}  # fmt: skip

# Drivers whose checksums of packets in several buffers are wrong where one has an odd number of bytes.
SUMS_EACH_BUFFER = {"net_tap": "net/tap/rte_eth_tap.c:545-552"}

# Drivers that take packets in several mbufs and have no offload to say so.
TAKES_CHAINS = {
    "net_pcap": "net/pcap/pcap_ethdev.c:408-413, 492-497: rte_pktmbuf_read",
    "net_null": "net/null/rte_eth_null.c:144-158: it only frees",
}


@dataclass(frozen=True)
class Exclusion:
    """Two transmit or receive offloads that a port is never given both of."""

    side: Side
    one: str
    other: str
    why: str
    source: str


EXCLUSIONS = (
    Exclusion(
        "tx", "MBUF_FAST_FREE", "MULTI_SEGS",
        "fast free needs all mbufs of a queue to come from one mempool with one reference each, which chains of "
        "several size classes and indirect mbufs do not",
        "lib/ethdev/rte_ethdev.h:1556-1561 (RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class VectorPath:
    """Which offloads switch a driver's vector functions off: those of `off`, or all but those of `keeps`."""

    driver: str
    side: Side
    source: str
    off: frozenset[str] = frozenset()
    keeps: frozenset[str] | None = None

    def switched_off(self, offloads: frozenset[str]) -> frozenset[str]:
        """Those of `offloads` that the vector functions cannot do."""
        return offloads & self.off if self.keeps is None else offloads - self.keeps


_FAST_FREE = frozenset({"MBUF_FAST_FREE"})
_VIRTIO_OFF = frozenset({"SCATTER", "UDP_CKSUM", "TCP_CKSUM", "TCP_LRO", "VLAN_STRIP"})

VECTOR_PATHS = (
    VectorPath(
        "net_ice", "rx", "net/ice/ice_rxtx_vec_common.h:274-301", off=frozenset({"TIMESTAMP", "BUFFER_SPLIT"})
    ),
    VectorPath(
        "net_ice", "tx", "net/ice/ice_rxtx_vec_common.h:250-254, 311",
        off=frozenset({"MULTI_SEGS", "OUTER_IPV4_CKSUM", "TCP_TSO", "OUTER_UDP_CKSUM"}),
    ),
    VectorPath("net_i40e", "rx", "net/i40e/i40e_rxtx_vec_common.h:217-219", off=frozenset({"VLAN_EXTEND"})),
    VectorPath("net_i40e", "tx", "net/i40e/i40e_rxtx.c:3414-3420", keeps=_FAST_FREE),
    VectorPath("net_ixgbe", "rx", "net/ixgbe/ixgbe_rxtx.c:4806-4815", off=frozenset({"TCP_LRO"})),
    VectorPath("net_ixgbe", "tx", "net/ixgbe/ixgbe_rxtx.c:2546-2576", keeps=frozenset()),
    VectorPath(
        "net_mlx5", "rx", "net/mlx5/mlx5_rxtx_vec.c:548-558: LRO, and packets in several buffers",
        off=frozenset({"TCP_LRO", "BUFFER_SPLIT"}),
    ),
    VectorPath(
        "net_bnxt", "rx", "net/bnxt/bnxt_ethdev.c:1236-1262",
        keeps=frozenset({
            "VLAN_STRIP", "KEEP_CRC", "IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM", "OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM",
            "RSS_HASH", "VLAN_FILTER",
        }),
    ),
    VectorPath("net_bnxt", "tx", "net/bnxt/bnxt_ethdev.c:1308-1315", keeps=_FAST_FREE),
    VectorPath("net_virtio", "rx", "net/virtio/virtio_ethdev.c:2704-2745", off=_VIRTIO_OFF),
    VectorPath("net_virtio_user", "rx", "net/virtio/virtio_ethdev.c:2704-2745", off=_VIRTIO_OFF),
)  # fmt: skip


def vector_notes(driver: str, rx: frozenset[str], tx: frozenset[str]) -> list[str]:
    """What the chosen offloads cost: a line for each side whose vector functions they switch off."""
    notes = []
    for path in VECTOR_PATHS:
        lost = path.switched_off(rx if path.side == "rx" else tx) if path.driver == driver else frozenset()
        if lost:
            side = "receive" if path.side == "rx" else "transmit"
            does = "switches" if len(lost) == 1 else "switch"
            names = " and ".join(sorted(lost)) if len(lost) < 3 else ", ".join(sorted(lost))
            notes.append(f"{side}: {names} {does} the vector functions of {driver} off ({path.source})")
    return notes


def costly(driver: str, side: Side, given: Set[str], more: Set[str]) -> frozenset[str]:
    """Those of `more` that would switch the driver's vector functions off, where what is `given` does not."""
    path = next((p for p in VECTOR_PATHS if (p.driver, p.side) == (driver, side)), None)
    if path is None or path.switched_off(frozenset(given)):
        return frozenset()
    return path.switched_off(frozenset(more))


def excluded(side: Side, offloads: frozenset[str]) -> Exclusion | None:
    """The rule that a set of offloads breaks, if it breaks one."""
    return next((e for e in EXCLUSIONS if e.side == side and {e.one, e.other} <= offloads), None)
