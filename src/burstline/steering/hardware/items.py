"""Items of an rte_flow pattern: their fields, and where these lie in DPDK's structures.

Structures are those of DPDK 22.11's rte_flow.h. Each begins with the header as it is on the wire, so that the bytes of
`spec` and `mask` can be laid over a packet's; what follows (`has_vlan`, ...) is none of the packet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Of a field in its structure; in the mask are the bits of a big-endian word of `width` bytes."""

    offset: int
    width: int
    mask: int


@dataclass(frozen=True)
class Layout:
    """`wire`: bytes of the header; `size`: of the structure."""

    wire: int
    size: int
    fields: Mapping[str, Place]


def _whole(offset: int, width: int) -> Place:
    return Place(offset, width, (1 << 8 * width) - 1)


_PORTS = {"sport": _whole(0, 2), "dport": _whole(2, 2)}
MORE = "more"  # of VLAN: another tag follows (has_more_vlan)
LAYOUTS: dict[str, Layout] = {
    "ETH": Layout(14, 20, {"dst": _whole(0, 6), "src": _whole(6, 6), "type": _whole(12, 2)}),
    "VLAN": Layout(4, 8, {"vid": Place(0, 2, 0xFFF), MORE: Place(4, 1, 1)}),
    "IPV4": Layout(20, 20, {"proto": _whole(9, 1), "src": _whole(12, 4), "dst": _whole(16, 4)}),
    "IPV6": Layout(40, 44, {"proto": _whole(6, 1), "src": _whole(8, 16), "dst": _whole(24, 16)}),
    "UDP": Layout(8, 8, _PORTS),
    "TCP": Layout(20, 20, {**_PORTS, "flags": _whole(13, 1)}),
    "SCTP": Layout(12, 12, _PORTS),
    "VXLAN": Layout(8, 8, {"vni": _whole(4, 3)}),
    "GENEVE": Layout(8, 8, {"vni": _whole(4, 3)}),
    "GTPU": Layout(8, 8, {"teid": _whole(4, 4)}),
    "GRE": Layout(4, 4, {"key_bit": Place(0, 2, 0x2000)}),
    "GRE_KEY": Layout(4, 4, {"key": _whole(0, 4)}),
}
# The field of a rule that an item, or a field of it, stands for.
RULE_FIELD = {
    "ETH": "src_mac", "ETH.src": "src_mac", "ETH.dst": "dst_mac", "VLAN": "vlan", "IPV4": "src", "IPV6": "src",
    "TCP": "proto", "UDP": "proto", "SCTP": "proto", "VXLAN": "tunnel", "GENEVE": "tunnel", "GTPU": "tunnel",
    "GRE": "tunnel", "GRE_KEY": "tunnel_id", "vid": "vlan", MORE: "vlan", "vni": "tunnel_id", "teid": "tunnel_id",
    "key": "tunnel_id", "key_bit": "tunnel_id",
}  # fmt: skip


def rule_field(item: str, field: str = "") -> str:
    """The field of a rule that is to blame where a driver lacks this."""
    return RULE_FIELD.get(f"{item}.{field}" if field else item) or RULE_FIELD.get(field, field)


@dataclass(frozen=True)
class Part:
    """What a field must be: `value` in the bits of `mask`, or with `last` a number from value to last."""

    value: int
    mask: int
    last: int | None = None


@dataclass(frozen=True)
class Item:
    """One item, as DPDK takes it; no bytes at all match any header of the kind."""

    kind: str
    spec: bytes = b""
    mask: bytes = b""
    last: bytes = b""


def item(kind: str, parts: Mapping[str, Part]) -> Item:
    """An item whose fields must be so."""
    if not parts:
        return Item(kind)
    layout = LAYOUTS[kind]
    spec, mask, last = (bytearray(layout.size) for _ in range(3))
    for name, part in parts.items():
        place = layout.fields[name]
        for into, number in (
            (spec, part.value),
            (mask, part.mask),
            (last, part.value if part.last is None else part.last),
        ):
            _put(into, place, number)
    ranged = any(part.last is not None for part in parts.values())
    return Item(kind, bytes(spec), bytes(mask), bytes(last) if ranged else b"")


def parts_of(one: Item) -> dict[str, Part]:
    """The fields that an item has bits of in spec or mask."""
    layout, made = LAYOUTS[one.kind], {}
    for name, place in layout.fields.items():
        value, mask = (_get(data, place) if data else 0 for data in (one.spec, one.mask))
        if value or mask:
            made[name] = Part(value, mask, _get(one.last, place) if one.last else None)
    return made


def _put(into: bytearray, place: Place, number: int) -> None:
    at = slice(place.offset, place.offset + place.width)
    into[at] = (int.from_bytes(into[at], "big") | number & place.mask).to_bytes(place.width, "big")


def _get(data: bytes, place: Place) -> int:
    return int.from_bytes(data[place.offset : place.offset + place.width], "big") & place.mask
