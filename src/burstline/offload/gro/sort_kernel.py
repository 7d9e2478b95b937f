"""The first look of GRO at packets: what they are, before anything is merged.

Plain Ethernet with TCP or UDP takes a short way; all others go by `find_headers` (`gro_other_kernel.py`).
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import (
    be16,
    load16,
    load32,
    load64,
    mix,
    prefetch,
    prefetch_to_write,
    shift_right,
    store64,
    swap16,
)
from burstline.offload.gro.forms import SIX
from burstline.offload.gro.gro import HELD, LINE, SORTED, WAYS, Gro
from burstline.offload.gro.hash_kernel import K1, K2, addresses6
from burstline.offload.gro.marks_kernel import GOOD4, GOOD6, LOOKED4, LOOKED6
from burstline.offload.gro.other_kernel import sort_other
from burstline.offload.gro.transport_kernel import TCP, UDP, is_tunnel, transport
from burstline.offload.mbuf import DATA_LEN, DATA_OFF, NEXT, OL_FLAGS, PKT_LEN, REFCNT

SHORTEST = 74  # bytes of all headers that the short way reads


def sort_packets(state: Gro, mbufs: int, n: int) -> None:
    """Write of each packet its flow's hash and its word, and its marks and tags where it has any."""
    for k in range(n):
        prefetch(load64(mbufs + 8 * k))
    for k in range(n):
        mbuf = load64(mbufs + 8 * k)
        data: Any = load64(mbuf) + load16(mbuf + DATA_OFF)
        prefetch(data)
        prefetch(data + LINE)
        prefetch_to_write(mbuf + NEXT)
    for k in range(n):
        to = state.sorted + SORTED * k
        hashed, word = sort_packet(state, load64(mbufs + 8 * k), to)
        store64(to, hashed)
        store64(to + 8, word)
        bucket = shift_right(hashed, 32) & state.buckets
        prefetch(state.tags + bucket * LINE)
        place = state.places + (bucket * WAYS + shift_right(hashed, 60)) * HELD
        prefetch_to_write(place)
        prefetch(place + LINE)
        prefetch(place + 2 * LINE)


def sort_packet(state: Gro, mbuf: int, to: int) -> tuple[int, int]:
    """Its flow's hash, and its word."""
    data: Any = load64(mbuf) + load16(mbuf + DATA_OFF)
    flags = load64(mbuf + OL_FLAGS)
    if load16(mbuf + REFCNT) == 1 and load16(mbuf + DATA_LEN) >= SHORTEST:
        kind, length = load64(data + 12), load32(mbuf + PKT_LEN) - 14
        if kind & 0xFFFFFF == 0x450008 and flags & LOOKED4 == GOOD4:
            rest = load64(data + 20)
            proto = rest >> 24 & 255
            wrong = (rest & 0xFFBF) | (swap16(kind >> 32) ^ length)  # a flag but DF, an offset; bytes behind the packet
            if wrong == 0 and (proto == TCP or is_datagram(state, data, 34, proto)):
                hashed = mix(load64(data + 26) ^ K1, load32(data + 34) ^ load64(data + 4) ^ K2)
                return hashed, transport(mbuf, data, 0, 34, proto)
        elif kind & 0xF0FFFF == 0x60DD86 and flags & LOOKED6 == GOOD6:
            rest = load64(data + 18)
            proto = rest >> 16 & 255
            if swap16(rest) == length - 40 and (proto == TCP or is_datagram(state, data, 54, proto)):
                hashed = mix(addresses6(data + 22), load32(data + 54) ^ load64(data + 4) ^ K2)
                return hashed, transport(mbuf, data, SIX, 54, proto)
    return sort_other(state, mbuf, data, to)


def is_datagram(state: Gro, data: Any, l4: int, proto: int) -> bool:
    """A plain one, not of a tunnel."""
    return proto == UDP and state.udp != 0 and not is_tunnel(state, be16(data, l4 + 2))
