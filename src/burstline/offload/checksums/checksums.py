"""Checksums by software, as a NIC's checksum offload would do them: verified on receive, filled on send.

`verify`, `fill` and `request` go over `n` mbufs whose addresses lie at an address, and speak in rte_mbuf's flags only.
"""

from __future__ import annotations

from collections.abc import Iterable

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.offload import mbuf as m

# Of `request`: the packets that it is for.
ARRIVED_PARTIAL, ALL_PACKETS = 1, 2

# What `hardware` is made of. The kinds of L4 are numbers in an mbuf's flags, so that each has a bit of its own here.
HARDWARE_IP, HARDWARE_OUTER_IP, HARDWARE_OUTER_UDP = m.TX_IP_CKSUM, m.TX_OUTER_IP_CKSUM, m.TX_OUTER_UDP_CKSUM
HARDWARE_TUNNELS = 1 << 0  # what is asked of a packet within a tunnel, too
HARDWARE_TCP, HARDWARE_SCTP, HARDWARE_UDP = (1 << (kind >> 52) for kind in (m.TX_TCP_CKSUM, 2 << 52, m.TX_UDP_CKSUM))

_OFFLOADS = {
    "IPV4_CKSUM": HARDWARE_IP,
    "TCP_CKSUM": HARDWARE_TCP,
    "UDP_CKSUM": HARDWARE_UDP,
    "SCTP_CKSUM": HARDWARE_SCTP,
    "OUTER_IPV4_CKSUM": HARDWARE_OUTER_IP | HARDWARE_TUNNELS,
    "OUTER_UDP_CKSUM": HARDWARE_OUTER_UDP | HARDWARE_TUNNELS,
    "VXLAN_TNL_TSO": HARDWARE_TUNNELS,
    "GRE_TNL_TSO": HARDWARE_TUNNELS,
}


class Checksums(Struct):
    """One worker's own, for one port or for all."""

    partial: i64  # 1: frames come from a kernel's stack, which leaves checksums to a device that is none
    hardware: i64  # what is left to the port that packets go to: HARDWARE_* together
    one_mbuf: i64  # 1: of packets in one mbuf only
    # Packets that `verify` saw, each once: with a wrong checksum, with a partial one, with right ones only, and with
    # none that could be looked at.
    bad: i64
    partials: i64
    good: i64
    none: i64
    filled: i64  # packets that `fill`, or `request` at once, wrote checksums of


verify = Kernel("burstline.offload.checksums.verify_kernel:verify", Checksums, int, int)
fill = Kernel("burstline.offload.checksums.fill_kernel:fill", Checksums, int, int)
request = Kernel("burstline.offload.checksums.request_kernel:request", Checksums, int, int, int)


def hardware_mask(tx_offloads: Iterable[str]) -> int:
    """`hardware` of a port with these send offloads on, as DPDK names them. One that knows of no tunnels is not asked
    for checksums within them: it would take the outer header for the one that is meant (net_tap does)."""
    mask = 0
    for name in tx_offloads:
        mask |= _OFFLOADS.get(name, 0)
    return mask
