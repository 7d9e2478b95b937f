"""The flow key: 40 bytes that say which flow a packet belongs to; one direction of a 5-tuple.

    byte 0       protocol        1  IP version, 0 without IP       2, 4  ports, little-endian
    byte 8       IPv4: source, destination (4 bytes each); IPv6: 16 bytes each, from the packet as they are
Without IP the source port is the EtherType, so that such packets count as one flow per EtherType.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from burstline.packet.machine import Parsed
from burstline.packet.parser import IPV4, IPV6, has_ports

KEY_SIZE = 40
WORD = (1 << 64) - 1
# Odd numbers with as many ones as zeros, as Wang Yi's wyhash uses them.
SECRET_1 = -0x5F89E29B87429BD1
SECRET_2 = 0x1D8E4E27C47D124F
SECRET_3 = -0x14C4CC4CB0A7C4CB


def flow_key(data: bytes | bytearray | memoryview, parsed: Parsed) -> bytes:
    """The key of a packet in plain Python; `flow_key_kernel.py` is the compiled one."""
    proto, l3 = parsed.proto, parsed.l3
    sport = dport = 0
    if has_ports(parsed.present, proto, parsed.l4, parsed.end):
        sport = int.from_bytes(data[parsed.l4 : parsed.l4 + 2], "big")
        dport = int.from_bytes(data[parsed.l4 + 2 : parsed.l4 + 4], "big")
    if parsed.present & IPV4:
        version, addresses = 4, bytes(data[l3 + 12 : l3 + 20])
    elif parsed.present & IPV6:
        version, addresses = 6, bytes(data[l3 + 8 : l3 + 40])
    else:
        version, addresses, sport, proto = 0, b"", proto, 0
    head = bytes((proto, version)) + sport.to_bytes(2, "little") + dport.to_bytes(2, "little") + b"\0\0"
    return (head + addresses).ljust(KEY_SIZE, b"\0")


class Tuple5(NamedTuple):
    """What a key says; addresses are None without IP, and then the source port is the EtherType."""

    proto: int
    src: IPv4Address | IPv6Address | None
    dst: IPv4Address | IPv6Address | None
    sport: int
    dport: int


def tuple_of(key: bytes) -> Tuple5:
    """The fields of a flow key."""
    size = {4: 4, 6: 16}.get(key[1], 0)
    src, dst = (ip_address(key[8 + at : 8 + at + size]) if size else None for at in (0, size))
    return Tuple5(key[0], src, dst, int.from_bytes(key[2:4], "little"), int.from_bytes(key[4:6], "little"))


def flow_hash(key: bytes) -> int:
    """The hash of a key, 64 bits, in plain Python."""
    head, *addresses = (int.from_bytes(key[at : at + 8], "little") for at in range(0, KEY_SIZE, 8))
    if key[1] != 6:
        return mix(head ^ SECRET_1, addresses[0] ^ SECRET_2)
    half = mix(head ^ SECRET_1, addresses[0] ^ SECRET_2) ^ mix(addresses[1] ^ SECRET_3, addresses[2] ^ SECRET_1)
    return mix(half ^ SECRET_2, addresses[3] ^ SECRET_3)


def mix(x: int, y: int) -> int:
    """Both halves of the 128-bit product of two words, folded."""
    product = (x & WORD) * (y & WORD)
    return product & WORD ^ product >> 64
