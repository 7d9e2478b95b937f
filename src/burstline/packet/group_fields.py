"""What a group of packets has, for burst stages: which fields, and in lanes of how many bits."""

from __future__ import annotations

from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import HEADER, Field

LANES = 16
NUMBERS = ("length", "captured", "port", "proto", "vlan_depth", "mpls_depth")  # as u32x16
OF_GROUPS = (*NUMBERS, "time", "is_fragment", "here", "inner")
HEADERS_OF_GROUPS = tuple(name for name in HEADER if name not in EXTENSION_PROTO)


def lane_bits(field: Field) -> int:
    """Bits of the lanes that a field is read into; 1 for flags, 0 for what no lane holds."""
    if field.kind == "bool":
        return 1
    if field.kind == "ipv6":
        return 0
    return 32 if (field.bits or 8 * field.width) <= 32 else 64
