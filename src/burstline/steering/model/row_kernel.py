"""A packet's headers in a row, in compiled code: the walk of `headers.py`, byte for byte."""

from __future__ import annotations

from burstline.native.memory import clear, copy, load8, load16, store8, swap16
from burstline.steering.model.headers import GENEVE as GENEVE_PORT
from burstline.steering.model.headers import GTPU as GTPU_PORT
from burstline.steering.model.headers import VXLAN as VXLAN_PORT
from burstline.steering.model.row import (
    ETH,
    GENEVE,
    GRE,
    GRE_KEY,
    GTPU,
    HAS_ETH,
    IP,
    IP_KIND,
    IPV4,
    IPV6,
    MOST_TAGS,
    PROTO,
    SCTP,
    SIZE,
    TAGS,
    TCP,
    TRANSPORT,
    TRANSPORT_KIND,
    TUNNEL,
    TUNNEL_KIND,
    UDP,
    VLAN,
    VXLAN,
)

MOST_BITS = 8  # of TAGS


def word16(at: int) -> int:
    return swap16(load16(at))


def fill_row(row: int, data: int, length: int, tpids: int) -> None:
    """Of a packet of `length` bytes. `tpids`: how many EtherTypes of tags there are, and which, 16 bits each."""
    clear(row, SIZE)
    if length < 14:
        return
    store8(row + HAS_ETH, 1)
    copy(row + ETH, data, 14)
    at, tags = 12, 0
    while at + 6 <= length and is_tpid(word16(data + at), tpids):
        if tags < MOST_TAGS:
            copy(row + VLAN + 4 * tags, data + at + 2, 4)
        tags += 1
        at += 4
    store8(row + TAGS, (1 << min(tags, MOST_BITS)) - 1)
    kind = word16(data + at)
    at += 2
    if kind == 0x0800 and length >= at + 20 and load8(data + at) >> 4 == 4:
        fill_ipv4(row, data + at, length - at)
    elif kind == 0x86DD and length >= at + 40 and load8(data + at) >> 4 == 6:
        fill_ipv6(row, data + at, length - at)


def is_tpid(kind: int, tpids: int) -> bool:
    found = False
    for k in range(load16(tpids)):
        found |= load16(tpids + 2 + 2 * k) == kind
    return found


def fill_ipv4(row: int, ip: int, length: int) -> None:
    store8(row + IP_KIND, IPV4)
    copy(row + IP, ip, 20)
    proto = load8(ip + 9)
    store8(row + PROTO, proto)
    size, total = (load8(ip) & 15) * 4, word16(ip + 2)
    end = min(length, total) if total != 0 else length
    if word16(ip + 6) & 0x3FFF == 0 and size >= 20 and size <= end:
        fill_transport(row, ip + size, end - size, proto)


def fill_ipv6(row: int, ip: int, length: int) -> None:
    store8(row + IP_KIND, IPV6)
    copy(row + IP, ip, 40)
    proto, payload = load8(ip + 6), word16(ip + 4)
    store8(row + PROTO, proto)
    end = min(length, 40 + payload) if payload != 0 else length
    fill_transport(row, ip + 40, end - 40, proto)


def fill_transport(row: int, data: int, length: int, proto: int) -> None:
    if proto == 6 and length >= 20:
        found, size = TCP, 20
    elif proto == 17 and length >= 8:
        found, size = UDP, 8
    elif proto == 132 and length >= 12:
        found, size = SCTP, 12
    elif proto == 47 and length >= 4:
        found, size = GRE, 4
    else:
        return
    store8(row + TRANSPORT_KIND, found)
    copy(row + TRANSPORT, data, size)
    if found == UDP:
        said = word16(data + 4)
        fill_tunnel(row, data, min(length, said) - 8 if said >= 8 else length - 8)
    elif found == GRE:
        words = word16(data)
        key = 8 if words & 0xC000 else 4
        if words & 0x2000 and length >= key + 4:
            store8(row + TUNNEL_KIND, GRE_KEY)
            copy(row + TUNNEL, data + key, 4)


def fill_tunnel(row: int, udp: int, length: int) -> None:
    """Of what a UDP packet carries: `length` bytes."""
    if length < 8:
        return
    port, first = word16(udp + 2), load8(udp + 8)
    found = 0
    if port == VXLAN_PORT and first & 8:
        found = VXLAN
    elif port == GENEVE_PORT and first >> 6 == 0:
        found = GENEVE
    elif port == GTPU_PORT and first & 0xF0 == 0x30:
        found = GTPU
    if found != 0:
        store8(row + TUNNEL_KIND, found)
        copy(row + TUNNEL, udp + 8, 8)
