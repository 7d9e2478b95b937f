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
    rx: i64  # addresses of bl_dpdk_rx, ...
    tx: i64
    prepare: i64
    free: i64
    received: i64  # address of room for `burst` mbufs
    burst: i64  # packets to ask the driver for at once; what leaves `receive` may be twice as many
    ending: i64  # 1: no more packets are asked for; `receive` gives what it has held back, until there is none
    # ---- behind rx_burst ----
    vlan: i64  # the VLAN whose tag is taken off, and put on before sending; 0 for none
    stripped: i64  # 1: the port has taken off tags, of any VLAN
    bad: i64  # packets that the last `receive` dropped, since a checksum was wrong; and their bytes
    bad_bytes: i64
    untagged: i64  # tags taken off
    # ---- before tx_burst ----
    inserts: i64  # 1: the port puts tags on
    leaving: i64  # address of room for `segments` mbufs
    segments: i64
    ends: i64  # address of room for as many pairs: how many mbufs there are up to the end of a packet, and its bytes
    failed: i64  # packets that the port did not take, whole, in the last `transmit`; and their bytes
    failed_bytes: i64
    tagged: i64  # tags put on
    no_room: i64  # packets whose tag found no place in front of them


receive = Kernel("burstline.offload.receive_kernel:receive", Twins, int, int)
transmit = Kernel("burstline.offload.transmit_kernel:transmit", Twins, int, int)
