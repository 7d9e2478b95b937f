"""What compiled code of the NIC in software is told: between which ports it moves packets, and what it counted."""

from __future__ import annotations

from burstline.native.fieldtypes import i64, shared
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct

BURST = 32


class Pump(Struct):
    """`receive` to `free` are addresses of DPDK's calls; a `wire` of -1 is none: frames are made then, or nothing
    comes. Of each queue `waiting` says how many mbufs wait in its BURST places behind `outbound`, and `put` and
    `missed` how many it got, and how many found it full."""

    tables: shared  # address of the LookupTables that count from the next burst on
    reading: shared  # of those that are read
    receive: i64
    transmit: i64
    allocate: i64
    free: i64
    wire: i64
    port: i64  # that workers poll
    inner: i64  # its other side
    queues: i64
    tpids: i64
    row: i64
    mbufs: i64  # room for a burst
    outbound: i64
    waiting: i64
    put: i64
    missed: i64
    came: i64  # packets
    came_bytes: i64
    dropped: i64  # by a rule, or isolated
    sent: i64
    sent_bytes: i64
    unsent: i64
    waits: i64  # 1: what finds its queue full waits, and all behind it (IEEE 802.3x, PAUSE)
    frames: i64  # address of lengths and addresses of frames to make
    frame_count: i64
    next_frame: i64
    left: i64  # frames still to make
    made: i64
    pool: i64
    rate: i64  # frames in a cycle of the clock, times 2**32; 0: as fast as can be
    began: i64  # by the clock; 0: not yet
    period: i64  # cycles between two frames, times 2**32
    stamp: i64  # byte of a frame at which the time is written when it is due: ns since the epoch, big-endian; -1: none
    clock_start: i64  # a moment by the counter,
    clock_ns: i64  # and in ns since the epoch
    clock_scale: i64  # ns in 2**32 counts
    playing: shared  # 1: a worker plays the NIC, and others poll on
    polls: i64  # of workers that played it


pump = Kernel("burstline.steering.model.pump_kernel:pump", Pump, int)
play = Kernel("burstline.steering.model.play_kernel:play", int, int, int, int, int, int)
decide = Kernel("burstline.steering.model.pump_kernel:decide", Pump, int, int, int)


class Decided(Struct):
    """What `decide` writes."""

    queue: i64  # -1: dropped
    mark: i64
    hash: i64
