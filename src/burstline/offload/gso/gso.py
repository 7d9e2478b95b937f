"""Generic segmentation offload (GSO): large TCP or UDP packets become segments in software, where no port does it.

A packet says how it is to be cut as it would to a port: TX_TCP_SEG or TX_UDP_SEG, its headers' lengths, and the bytes
of payload for a segment (tso_segsz). Linux's rules: net/ipv4/tcp_offload.c, udp_offload.c, af_inet.c, their IPv6 twins;
https://www.kernel.org/doc/html/latest/networking/segmentation-offloads.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.offload.mbuf import MOST_SEGMENT
from burstline.state.region import Block, Region

if TYPE_CHECKING:
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.pools import Pools

# Checksums that a port fills in. Of packets in tunnels it is left any only if it knows of tunnels: OUTER_IP.
IP, TCP, UDP, OUTER_IP, OUTER_UDP = 1, 2, 4, 8, 16


class Gso(Struct):
    """What one worker segments with, and what it did."""

    take: i64  # addresses of bl_dpdk_take and bl_dpdk_free
    free: i64
    headers: i64  # mempool of the mbufs that headers are written to
    headers_room: i64  # bytes of a frame that each holds
    indirect: i64  # mempool of the mbufs that share the payload
    copies: i64  # Pools.table: what whole segments are copied to
    headroom: i64  # bytes to leave before a frame
    multi_segment: i64  # 1: the port takes frames in several mbufs, and no payload is copied
    checksums: i64
    largest: i64  # bytes of the largest IP packet that the port takes: its MTU
    fixed_id: i64  # 1: where no router may fragment it (DF), segments have the IP-ID of the packet
    sums: i64  # flag of ol_flags, of mbufs in which GRO keeps the sum of their payload
    work: i64  # WORK bytes
    packets: i64
    segments: i64
    bytes: i64  # of frames that were made
    no_buffers: i64  # packets that were left as they are: too few mbufs were free
    no_room: i64  # or the caller had no room for so many
    refused: i64  # or they cannot be cut
    lowered: i64  # packets cut into smaller segments than asked, so that they fit the MTU


class Cut(Struct):
    """The packet that is being cut: where its headers are, what changes from segment to segment, sums of the rest."""

    size: i64  # bytes of all headers
    payload: i64
    segsz: i64
    segments: i64
    lowered: i64  # 1: `segsz` is less than asked
    l3: i64  # where the (inner) IP header is, and what follows it
    l4: i64
    outer_l3: i64
    outer_l4: i64  # 0 without a tunnel
    v4: i64
    outer_v4: i64
    tcp: i64
    udp_tunnel: i64
    ip_here: i64  # 1 where the checksum is computed here
    l4_here: i64
    outer_ip_here: i64
    outer_check: i64  # where the outer UDP or GRE header has a checksum that differs in each segment; 0: it has none
    outer_check_here: i64
    length_base: i64  # bytes that the IP header's length counts beside the payload
    outer_length_base: i64
    id: i64
    id_step: i64
    outer_id: i64
    outer_id_step: i64
    seq: i64
    word: i64  # the TCP header's word with its length and flags
    middle: i64  # that word in segments between the first and the last
    ip_sum: i64
    outer_ip_sum: i64
    pseudo: i64  # sum of the addresses and the protocol
    l4_sum: i64  # with the constant part of the transport header
    outer_sum: i64  # of what the outer checksum covers before the inner transport header


# Where in `work` what is: the Cut, an mbuf that is given back, images of mbufs, the headers, addresses of mbufs.
GIVEN, HEAD, PIECE, TEMPLATE, PIECES = 504, 512, 640, 768, 2560
WORK = PIECES + 8 * (MOST_SEGMENT + 1)


segment = Kernel("burstline.offload.gso.gso_kernel:segment", Gso, int, int, int)


@dataclass(frozen=True)
class GsoCounts:
    packets: int
    segments: int
    bytes: int
    no_buffers: int
    no_room: int
    refused: int
    lowered: int


class Segmenter:
    """A worker's `Gso`, at `address`; `symbols` are DPDK's functions for compiled code.

    With pools for `headers` and for `indirect` mbufs the payload is shared; with `copies`, segments are written whole
    to the smallest of these that hold them, for ports that take one mbuf a frame. What GRO merged is written back to
    where it was, whatever the port takes; `sums` is the flag that `Merging` was given. `checksums` names those that the
    port fills in, `largest` is its MTU.
    """

    def __init__(
        self,
        symbols: Mapping[str, int],
        *,
        headers: Pool | None = None,
        indirect: Pool | None = None,
        copies: Pools | None = None,
        checksums: int = 0,
        largest: int = 1500,
        fixed_id: bool = False,
        headroom: int = 128,
        sums: int = 0,
    ) -> None:
        if copies is None and (headers is None or indirect is None):
            raise ValueError("segments need mbufs: of `headers` and of `indirect`, or of `copies`")
        self._kept = headers, indirect, copies
        self._work = Region(WORK, huge=False)
        self._state = Block(Gso.layout)
        self._state.set(
            take=symbols["bl_dpdk_take"], free=symbols["bl_dpdk_free"],
            headers=headers.address if headers else 0, headers_room=headers.data_room if headers else 0,
            indirect=indirect.address if indirect else 0, copies=copies.table if copies else 0, headroom=headroom,
            multi_segment=int(copies is None), checksums=checksums, largest=min(largest, MOST_SEGMENT),
            fixed_id=int(fixed_id), sums=sums, work=self._work.address,
        )  # fmt: skip

    def fit(self, largest: int) -> None:
        """The port's MTU from now on."""
        self._state.set(largest=min(largest, MOST_SEGMENT))

    @property
    def address(self) -> int:
        return self._state.address

    @property
    def counts(self) -> GsoCounts:
        return GsoCounts(**{name: self._state.get(name) for name in GsoCounts.__dataclass_fields__})
