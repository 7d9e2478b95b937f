"""What makes packets one flow: the 5-tuple, of one direction or both, with VLAN tags or inside tunnels; or any fields.

A key is some 8-byte words. The last two bytes of the first one are the table's own (`flow_head.MARK_AT`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any, Literal

from burstline.errors import UsageError
from burstline.packet.fields import HEADER, Field
from burstline.packet.flow_key import KEY_SIZE, flow_key
from burstline.packet.packet import Packet, columns_of, data_of, key_of

PartKind = Literal["uint", "ipv4", "ipv6"]


@dataclass(frozen=True)
class Part:
    """A column of the read-out: `size` bytes at `at` in the key; an ipv4 is a number of 32 bits, an ipv6 16 bytes as in
    the packet."""

    name: str
    kind: PartKind
    at: int
    size: int

    @property
    def numpy(self) -> Any:
        return ("u1", (16,)) if self.kind == "ipv6" else f"u{self.size}"


class FlowKeys(ABC):
    """Of one table."""

    size: int  # bytes
    both_ways: bool = False

    @abstractmethod
    def of(self, packet: Packet) -> tuple[bytes, bool]:
        """The key of a packet, and whether the packet goes against the direction in which the key is written."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """What of packets the key is made of, by the names that stages have for it."""

    @property
    def is_usual(self) -> bool:
        """Whether it is the flow key that the parser makes."""
        return False

    def writer(self, store: dict[str, Any]) -> FunctionType | None:
        """A function `(pkt, to)` for compiled code that writes what the packet's fields say; None for no field. `store`
        has the functions that write: `put8` to `put64`, `put_ipv4` and `put_ipv6`."""
        lines = self._lines()
        if not lines:
            return None
        source = "def write_key(pkt, to):\n" + "".join(f"    {line}\n" for line in lines)
        space: dict[str, Any] = dict(store)
        exec(compile(source, "<flow key>", "exec"), space)
        made: FunctionType = space["write_key"]
        return made

    @abstractmethod
    def _lines(self) -> list[str]: ...


@dataclass(frozen=True)
class TupleKeys(FlowKeys):
    """IP version, protocol, addresses, ports (`packet/flow_key.py`). With `both_ways`, the end with the lower address,
    then port, comes first. With `vlan`, the outer two tags' ids belong to it. With `tunnel`, it is that of the
    innermost packet where there is one, and the number of the outer tunnel (VNI or TEID) belongs to it."""

    both_ways: bool = False
    vlan: bool = False
    tunnel: bool = False

    @property
    def size(self) -> int:  # type: ignore[override]
        return KEY_SIZE + (8 if self.vlan or self.tunnel else 0)

    @property
    def is_usual(self) -> bool:
        return not (self.both_ways or self.vlan or self.tunnel)

    def of(self, packet: Packet) -> tuple[bytes, bool]:
        key = key_of(packet)
        if self.tunnel and packet.inner:
            key = flow_key(data_of(packet), columns_of(packet.inner))
        flipped = False
        if self.both_ways:
            head, version = key[0:2], key[1]
            half = {4: 4, 6: 16}.get(version, 0)
            src, dst = key[8 : 8 + half], key[8 + half : 8 + 2 * half]
            sport, dport = key[2:4], key[4:6]
            if version and (dst, int.from_bytes(dport, "little")) < (src, int.from_bytes(sport, "little")):
                key = (head + dport + sport + bytes(2) + dst + src).ljust(KEY_SIZE, b"\0")
                flipped = True
        if self.vlan or self.tunnel:
            vlans = (packet.vlan.id, packet.inner_vlan.id) if self.vlan else (0, 0)
            tunnel = packet.vxlan.vni + packet.geneve.vni + packet.gtpu.teid if self.tunnel else 0
            words = [number.to_bytes(2, "little") for number in vlans] + [(tunnel & 0xFFFFFFFF).to_bytes(4, "little")]
            key += b"".join(words)
        return key, flipped

    @property
    def needs(self) -> frozenset[str]:
        vlan = {"vlan", "inner_vlan"} if self.vlan else set[str]()
        inner = {"inner", "proto", "ipv4", "tcp", "payload", "vxlan", "geneve", "gtpu"} if self.tunnel else set[str]()
        return frozenset(vlan | inner)

    def _lines(self) -> list[str]:
        vlan, inner = ("pkt.vlan.id", "pkt.inner_vlan.id") if self.vlan else ("0", "0")
        number = "pkt.vxlan.vni + pkt.geneve.vni + pkt.gtpu.teid" if self.tunnel else "0"
        lines = [f"put16(to + 40, {vlan})", f"put16(to + 42, {inner})", f"put32(to + 44, {number})"]
        return lines if self.vlan or self.tunnel else []


# Fields of the packet itself that can be part of a key: their bytes.
_OF_PACKET = {"proto": 2, "length": 4, "port": 2, "vlan_depth": 2, "mpls_depth": 2}
_PATH = re.compile(r"(inner\.)?(?:(\w+)\.)?(\w+)")


@dataclass(frozen=True)
class FieldKeys(FlowKeys):
    """Any fields, as stages write them behind `pkt.`: "ipv4.src", "inner.udp.dport", "vlan.id", "proto". A field of a
    header that is not there is zero."""

    fields: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.fields or len(self.fields) > 16:
            raise UsageError("a flow key has 1 to 16 fields", 'key=("ipv4.src", "tcp.dport")')
        assert self.parts

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """In the order in which they were named. Small ones fill the first word, which has six bytes for them."""
        taken = [*range(6, 8)]
        found = {}
        for path, (kind, size) in sorted(((p, _kind(p)) for p in self.fields), key=lambda item: -item[1][1]):
            step = min(size, 8)
            at = 8 if size > 2 else 0
            while any(byte in taken for byte in range(at, at + size)):
                at += step
            taken += range(at, at + size)
            found[path] = Part(path, kind, at, size)
        return tuple(found[path] for path in self.fields)

    @cached_property
    def size(self) -> int:  # type: ignore[override]
        return max(16, -(-max(p.at + p.size for p in self.parts) // 8) * 8)

    def of(self, packet: Packet) -> tuple[bytes, bool]:
        key = bytearray(self.size)
        for part in self.parts:
            value: Any = packet
            for name in part.name.split("."):
                value = getattr(value, name)
            order: Literal["little", "big"] = "big" if part.kind == "ipv6" else "little"
            whole = (int(value) & ((1 << 8 * part.size) - 1)).to_bytes(part.size, order)
            key[part.at : part.at + part.size] = whole
        return bytes(key), False

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(name for path in self.fields for name in path.split("."))

    def _lines(self) -> list[str]:
        lines = [f"put64(to + {8 * word}, 0)" for word in range(self.size // 8)]
        for part in self.parts:
            put = f"put_{part.kind}" if part.kind != "uint" else f"put{8 * part.size}"
            lines.append(f"{put}(to + {part.at}, pkt.{part.name})")
        return lines


def _kind(path: str) -> tuple[PartKind, int]:
    """What a field is and its bytes in a key. Raises UsageError for none of the packet's."""
    found = _PATH.fullmatch(path)
    inner, header, name = found.groups() if found else (None, None, "")
    if header is None and name in _OF_PACKET and not (inner and name in ("length", "port")):
        return "uint", _OF_PACKET[name]
    field: Field | None = HEADER[header].field(name) if header in HEADER else None
    if field is None:
        raise UsageError(f"{path!r} is no field of a packet", 'name it as in a stage, without `pkt.`: "ipv4.src"')
    if field.kind in ("ipv4", "ipv6"):
        return field.kind, field.width
    bits = field.bits or 8 * field.width
    return "uint", next(size for size in (1, 2, 4, 8) if bits <= 8 * size)


def keys_of(key: Sequence[str] | None, both_ways: bool, vlan: bool, tunnel: bool) -> FlowKeys:
    """What a table's arguments say."""
    if key is None:
        return TupleKeys(both_ways, vlan, tunnel)
    if both_ways or vlan or tunnel:
        raise UsageError(
            "a key of named fields has no both_ways, vlan or tunnel", 'name the fields: key=("vlan.id", ...)'
        )
    if isinstance(key, str):
        raise UsageError(f"key={key!r} is one string", f'give a tuple of fields: key=("{key}",)')
    return FieldKeys(tuple(key))
