"""Merged packets of a port that does not say which were merged (RX_LRO): those that are longer than its MTU, whose
segments filled it. What DPDK's drivers do for devices that tell less (vmxnet3_guess_mss in net/vmxnet3/vmxnet3_rxtx.c).
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import load16, load32, load64, store64
from burstline.offload.headers import FRAGMENT, TCP, TUNNEL, find_headers
from burstline.offload.mbuf import (
    BUF_ADDR,
    DATA_LEN,
    DATA_OFF,
    OL_FLAGS,
    PKT_LEN,
    RX_LRO,
    SEGSZ_MASK,
    SEGSZ_SHIFT,
    TX_OFFLOAD,
)
from burstline.offload.twins import Twins

ETHERNET = 14


def mark_merged(twins: Twins, mbuf: int) -> None:
    flags, length = load64(mbuf + OL_FLAGS), load32(mbuf + PKT_LEN)
    if flags & RX_LRO or length <= twins.unmarked + ETHERNET:
        return
    data: Any = load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
    shape, _, _, l3, l4, payload = find_headers(data, load16(mbuf + DATA_LEN))
    size = twins.unmarked - (payload - l3)
    if shape & TCP and shape & (TUNNEL | FRAGMENT) == 0 and l4 < payload < length - size and size > 0:
        offload = load64(mbuf + TX_OFFLOAD) & ~(SEGSZ_MASK << SEGSZ_SHIFT)
        store64(mbuf + TX_OFFLOAD, offload | size << SEGSZ_SHIFT)
        store64(mbuf + OL_FLAGS, flags | RX_LRO)
        twins.marked += 1
