"""The hash by which GRO finds what it holds of a flow: of addresses, ports, the source MAC, VLAN tags and the VNI."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import load32, load64, mix, wrapping_add

K1, K2, K3 = 0x2D358DCCAA6C78A5, 0x0BB67AE8584CAA73, 0x1F83D9ABFB41BD6B


def addresses6(at: int) -> int:
    """Of IPv6, to be mixed with the rest."""
    return wrapping_add(mix(load64(at) ^ K1, load64(at + 8) ^ K3), mix(load64(at + 16) ^ K3, load64(at + 24) ^ K1))


def hash_other(data: Any, six: int, l3: int, l4: int, tags: int, outer_l4: int, vlan: int) -> int:
    """As the short way has it; with it the tags that a port took off, the `vlan` bytes of tags in the frame, and the
    VNI of a tunnel."""
    path = load64(data + 4)
    if tags != 0:
        path ^= mix(tags ^ K3, K1)
    if vlan != 0:
        path ^= mix(load64(data + 14) & (1 << 8 * min(vlan, 7)) - 1, K3)
    if outer_l4 != 0:
        path ^= mix(load64(data + outer_l4 + 8) ^ K1, K3)
    addresses = addresses6(data + l3 + 8) if six else load64(data + l3 + 12) ^ K1
    return mix(addresses, load32(data + l4) ^ path ^ K2)
