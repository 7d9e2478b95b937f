"""The field types by name. A type checker sees the Python types that the fields read as."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Annotated, Any

from burstline.native.struct import FIELD_TYPES, _Bytes, _Cold

if TYPE_CHECKING:
    u8 = u16 = u32 = u64 = i8 = i16 = i32 = i64 = int
    f32 = f64 = float
    boolean = bool
    ipv4 = IPv4Address
    ipv6 = IPv6Address
    bytes_: Any = Any
    cold = Annotated
else:
    u8, u16, u32, u64 = (FIELD_TYPES[f"u{n}"] for n in (8, 16, 32, 64))
    i8, i16, i32, i64 = (FIELD_TYPES[f"i{n}"] for n in (8, 16, 32, 64))
    f32, f64 = FIELD_TYPES["f32"], FIELD_TYPES["f64"]
    boolean, ipv4, ipv6 = FIELD_TYPES["boolean"], FIELD_TYPES["ipv4"], FIELD_TYPES["ipv6"]
    bytes_, cold = _Bytes(), _Cold()
