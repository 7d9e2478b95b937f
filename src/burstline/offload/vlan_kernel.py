"""A port that is a tagged member of one VLAN: its tag is taken off what comes, and put on what leaves (IEEE 802.1Q
clause 6.9). What rte_vlan_strip and rte_vlan_insert do, and ports with VLAN_STRIP and VLAN_INSERT."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import be16, load16, load32, load64, put16, store16, store32, store64
from burstline.offload.mbuf import (
    BUF_ADDR,
    DATA_LEN,
    DATA_OFF,
    EXTERNAL,
    INDIRECT,
    OL_FLAGS,
    PKT_LEN,
    REFCNT,
    RX_VLAN,
    RX_VLAN_STRIPPED,
    TX_VLAN,
    VLAN_TCI,
)
from burstline.offload.twins import Twins

TAG, TPID, ADDRESSES = 4, 0x8100, 12


def untag(twins: Twins, mbuf: int) -> None:
    """Take off the tag of the port's VLAN. A tag of another that the port took off is put on again."""
    flags = load64(mbuf + OL_FLAGS)
    if flags & RX_VLAN_STRIPPED:
        if load16(mbuf + VLAN_TCI) & 0xFFF == twins.vlan:
            twins.untagged += 1
        else:
            store64(mbuf + OL_FLAGS, flags & ~(RX_VLAN | RX_VLAN_STRIPPED))
            insert(mbuf, load16(mbuf + VLAN_TCI))
        return
    data: Any = load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
    if load16(mbuf + DATA_LEN) < ADDRESSES + TAG + 2 or be16(data, ADDRESSES) != TPID:
        return
    tci = be16(data, ADDRESSES + 2)
    if tci & 0xFFF != twins.vlan:
        return
    high, low = load64(data), load32(data + 8)
    store64(data + TAG, high)
    store32(data + TAG + 8, low)
    shift(mbuf, TAG)
    store16(mbuf + VLAN_TCI, tci)
    store64(mbuf + OL_FLAGS, flags | RX_VLAN | RX_VLAN_STRIPPED)
    twins.untagged += 1


def tag(twins: Twins, mbuf: int) -> bool:
    """Put on the port's tag, with priority 0, or have the port do it; whether that can be."""
    if twins.inserts:
        store16(mbuf + VLAN_TCI, twins.vlan)
        store64(mbuf + OL_FLAGS, load64(mbuf + OL_FLAGS) | TX_VLAN)
    elif not insert(mbuf, twins.vlan):
        return False
    twins.tagged += 1
    return True


def insert(mbuf: int, tci: int) -> bool:
    """In the headroom; not where others may look at the same bytes (rte_vlan_insert)."""
    flags = load64(mbuf + OL_FLAGS)
    shared = flags & (INDIRECT | EXTERNAL) != 0 or load16(mbuf + REFCNT) != 1
    if shared or load16(mbuf + DATA_OFF) < TAG or load16(mbuf + DATA_LEN) < ADDRESSES + 2:
        return False
    shift(mbuf, -TAG)
    data: Any = load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
    high, low = load64(data + TAG), load32(data + TAG + 8)
    store64(data, high)
    store32(data + 8, low)
    put16(data, ADDRESSES, TPID)
    put16(data, ADDRESSES + 2, tci)
    return True


def shift(mbuf: int, count: int) -> None:
    """So many fewer bytes at the front."""
    store16(mbuf + DATA_OFF, load16(mbuf + DATA_OFF) + count)
    store16(mbuf + DATA_LEN, load16(mbuf + DATA_LEN) - count)
    store32(mbuf + PKT_LEN, load32(mbuf + PKT_LEN) - count)
