"""What is done in software around one queue of a port, for one worker: the memory of it, and where its code is.

Behind `rx_burst` and before `tx_burst`, packets are made what a port with the offload would have made of them. The
compiled loop calls `receive` and `transmit` in the driver's place, through addresses: which port needs what is known
when the ports are open, and a pipeline's code is the same whatever they can.
"""

from __future__ import annotations

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct


class Twins(Struct):
    """Written by one worker only. Addresses are 0 where there is nothing to do."""

    port: i64  # DPDK's number of it
    queue: i64
    leaves_by: i64  # the port and queue that packets leave by in the end, where a director stands between
    leaves_queue: i64
    rx: i64  # addresses of bl_dpdk_rx, ...
    tx: i64
    prepare: i64
    gather: i64
    free: i64
    vlan: i64  # the VLAN whose tag is taken off, and put on before sending; 0 for none
    checksums: i64  # address of its Checksums
    ending: i64  # 1: no more packets are asked for; `receive` gives what it has held back, until there is none
    # ---- behind rx_burst ----
    received: i64  # address of room for `burst` mbufs
    burst: i64  # packets to ask the driver for at once: half of what `receive` has room for, where it merges
    verifies: i64  # 1: checksums are looked at, where the port has not
    drops_bad: i64  # 1: packets with wrong ones are dropped
    gro: i64  # address of its Gro
    clock_scale: i64  # nanoseconds in 2**32 counts
    came: i64  # packets that the driver gave at the last `receive`, whatever became of them
    bad: i64  # packets that the last `receive` dropped, since a checksum was wrong; and their bytes
    bad_bytes: i64
    untagged: i64  # tags taken off
    unmarked: i64  # the MTU, where the port does not say which packets it merged; 0 where it does, or does not merge
    marked: i64  # packets found to be merged
    # ---- before tx_burst ----
    requests: i64  # of which packets checksums are asked for: ARRIVED_PARTIAL, ALL_PACKETS of offload/checksum
    fills: i64  # 1: what the port does not fill in is filled in
    gso: i64  # address of its Gso
    cuts: i64  # what the port cuts itself: a bit for each kind (transmit_kernel)
    most_segments: i64  # into which it cuts a packet; 0: any number. And where there is a number,
    counts_ethernet: i64  # 1: its MTU counts Ethernet's header
    even: i64  # 1: a segment may go on in another mbuf behind an even number of bytes only
    mtu: i64  # bytes of the largest IP packet that may leave uncut
    segment_size: i64  # bytes of payload for packets that stages made larger, and did not say how to cut; 0: as fit
    most_mbufs: i64  # that a packet may lie in which the port cuts, and any other
    most_mtu_mbufs: i64
    pools: i64  # Pools.table: what packets are copied to that lie in more; 0 where the port takes any
    inserts: i64  # 1: the port puts tags on
    leaving: i64  # address of room for `segments` mbufs
    segments: i64
    ends: i64  # address of room for as many pairs: how many mbufs there are up to the end of a packet, and its bytes
    failed: i64  # packets that the port did not take, whole, in the last `transmit`; and their bytes
    failed_bytes: i64
    tagged: i64  # tags put on
    cut: i64  # packets that the port was given to cut
    lowered: i64  # of these, to be cut into smaller segments than asked, so that they fit the MTU
    copied: i64  # packets made one mbuf, since the port does not take so many


receive = Kernel("burstline.offload.receive_kernel:receive", Twins, int, int)
transmit = Kernel("burstline.offload.transmit_kernel:transmit", Twins, int, int)
