"""Writing down what the parser found of a packet: only the columns that somebody reads."""

from __future__ import annotations

from collections.abc import Callable

from burstline.packet.burst import BurstColumns
from burstline.packet.flow_key_kernel import set_flow_key

# Above the 32 bits of headers in the parser's register `found`: counts of tags and labels, and which packet it is.
VLAN_SHIFT, MPLS_SHIFT = 32, 48
MPLS_MOST = 0x7FFF  # labels counted; the bit above says that it is the inner packet
HERE = 1 << 31  # in the `inner_present` column: there is an inner packet

Found = Callable[[BurstColumns, int, int, int, int, int, int, int, int], int]


def found_writer(columns: tuple[str, ...], keys: bool) -> Found:
    """`(burst, packet, at, end, found, l3, l4, payload, proto)` for the outer packet. Parsing ended at `at`, where
    what was not found lies: an offset of -1."""
    present, lower3, lower4, payloads, ends, protos, vlans, labels = (
        name in columns for name in ("present", "l3", "l4", "payload", "end", "proto", "vlan_depth", "mpls_depth")
    )

    def outer(
        burst: BurstColumns, i: int, at: int, end: int, found: int, l3: int, l4: int, payload: int, proto: int
    ) -> int:
        l3 = at if l3 < 0 else l3
        l4 = at if l4 < 0 else l4
        if present:
            burst.present[i] = found
        if lower3:
            burst.l3[i] = l3
        if lower4:
            burst.l4[i] = l4
        if payloads:
            burst.payload[i] = at if payload < 0 else payload
        if ends:
            burst.end[i] = end
        if protos:
            burst.proto[i] = proto
        if vlans:
            burst.vlan_depth[i] = found >> VLAN_SHIFT
        if labels:
            burst.mpls_depth[i] = found >> MPLS_SHIFT & MPLS_MOST
        if keys:
            set_flow_key(burst, i, found, proto, l3, l4, end)
        return 0

    return outer


def inner_writer(columns: tuple[str, ...]) -> Found:
    """The same for an inner packet, which has no flow key."""
    lower3, lower4, payloads, ends, protos, vlans, labels = (
        name in columns for name in ("l3", "l4", "payload", "end", "proto", "vlan_depth", "mpls_depth")
    )

    def inner(
        burst: BurstColumns, i: int, at: int, end: int, found: int, l3: int, l4: int, payload: int, proto: int
    ) -> int:
        burst.inner_present[i] = found | HERE
        if lower3:
            burst.inner_l3[i] = at if l3 < 0 else l3
        if lower4:
            burst.inner_l4[i] = at if l4 < 0 else l4
        if payloads:
            burst.inner_payload[i] = at if payload < 0 else payload
        if ends:
            burst.inner_end[i] = end
        if protos:
            burst.inner_proto[i] = proto
        if vlans:
            burst.inner_vlan_depth[i] = found >> VLAN_SHIFT
        if labels:
            burst.inner_mpls_depth[i] = found >> MPLS_SHIFT & MPLS_MOST
        return 0

    return inner
