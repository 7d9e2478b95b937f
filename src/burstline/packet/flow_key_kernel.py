"""The compiled flow key, its hash, and the worker that owns the flow."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import be16, load64, mix, store64
from burstline.packet.burst import BurstColumns
from burstline.packet.flow_key import SECRET_1 as SECRET_1
from burstline.packet.flow_key import SECRET_2 as SECRET_2
from burstline.packet.flow_key import SECRET_3 as SECRET_3
from burstline.packet.parser import IPV4, IPV6, has_ports


def set_flow_key(burst: BurstColumns, i: int, present: int, proto: int, l3: int, l4: int, end: int) -> None:
    """Fill the `key` and `hash` columns of a packet, from what the parser found."""
    burst.hash[i] = write_flow_key(burst.key[i], burst.data[i], present, proto, l3, l4, end)


def write_flow_key(key: int, data: Any, present: int, proto: int, l3: int, l4: int, end: int) -> int:
    """Write the flow key of a packet to an address; returns its hash."""
    ports = 0
    if has_ports(present, proto, l4, end):
        ports = be16(data, l4) << 16 | be16(data, l4 + 2) << 32
    if present & IPV4:
        head = proto | 4 << 8 | ports
        addresses = load64(data + l3 + 12)
        store64(key, head)
        store64(key + 8, addresses)
        store64(key + 16, 0)
        store64(key + 24, 0)
        store64(key + 32, 0)
        return mix(head ^ SECRET_1, addresses ^ SECRET_2)
    elif present & IPV6:
        head = proto | 6 << 8 | ports
        source, source_low = load64(data + l3 + 8), load64(data + l3 + 16)
        target, target_low = load64(data + l3 + 24), load64(data + l3 + 32)
        store64(key, head)
        store64(key + 8, source)
        store64(key + 16, source_low)
        store64(key + 24, target)
        store64(key + 32, target_low)
        return hash_v6(head, source, source_low, target, target_low)
    else:
        head = proto << 16
        store64(key, head)
        store64(key + 8, 0)
        store64(key + 16, 0)
        store64(key + 24, 0)
        store64(key + 32, 0)
        return mix(head ^ SECRET_1, SECRET_2)


def hash_v6(head: int, source: int, source_low: int, target: int, target_low: int) -> int:
    half = mix(head ^ SECRET_1, source ^ SECRET_2) ^ mix(source_low ^ SECRET_3, target ^ SECRET_1)
    return mix(half ^ SECRET_2, target_low ^ SECRET_3)


def hash_flow_key(key: int) -> int:
    """The hash of a flow key at an address, whatever the two bytes in it that are not used."""
    head = load64(key) & 0xFFFFFFFFFFFF
    if head >> 8 & 0xFF == 6:
        return hash_v6(head, load64(key + 8), load64(key + 16), load64(key + 24), load64(key + 32))
    return mix(head ^ SECRET_1, load64(key + 8) ^ SECRET_2)


def owner_of(burst: BurstColumns, i: int, workers: int) -> int:
    """Which worker runs the stages: the same for both directions of a flow, as with symmetric RSS."""
    key = burst.key[i]
    head = load64(key)
    ports = (head >> 16 ^ head >> 32) & 0xFFFF
    if head >> 8 & 0xFF == 4:
        pair = load64(key + 8)
        pair = (pair ^ pair >> 32) & 0xFFFFFFFF
    else:
        pair = load64(key + 8) ^ load64(key + 24) ^ load64(key + 16) ^ load64(key + 32)
    scattered = mix(ports << 8 ^ (head & 0xFF) ^ SECRET_3, pair ^ SECRET_1)
    return (scattered & 0xFFFF) * workers >> 16
