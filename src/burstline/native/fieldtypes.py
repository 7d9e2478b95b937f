"""The field types by name. A type checker sees the Python types that the fields read as."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from burstline.native.struct import FIELD_TYPES, _Bytes, _Cold, _Hot, _Line

if TYPE_CHECKING:
    u8: TypeAlias = int
    u16: TypeAlias = int
    u32: TypeAlias = int
    u64: TypeAlias = int
    i8: TypeAlias = int
    i16: TypeAlias = int
    i32: TypeAlias = int
    i64: TypeAlias = int
    f32: TypeAlias = float
    f64: TypeAlias = float
    boolean: TypeAlias = bool
    ipv4: TypeAlias = IPv4Address
    ipv6: TypeAlias = IPv6Address
    bytes_: Any = Any
    cold = Annotated
    hot = Annotated
    line: Any = Any
    shared: TypeAlias = int
    shared_back: TypeAlias = int
else:
    u8, u16, u32, u64 = (FIELD_TYPES[f"u{n}"] for n in (8, 16, 32, 64))
    i8, i16, i32, i64 = (FIELD_TYPES[f"i{n}"] for n in (8, 16, 32, 64))
    f32, f64 = FIELD_TYPES["f32"], FIELD_TYPES["f64"]
    boolean, ipv4, ipv6 = FIELD_TYPES["boolean"], FIELD_TYPES["ipv4"], FIELD_TYPES["ipv6"]
    bytes_, cold, hot, line = _Bytes(), _Cold(), _Hot(), _Line()
    shared = line(0)[i64]  # of a structure of the engine: what others wait for or write, in a line of its own
    shared_back = line(1)[i64]  # the same in a second line: what the other side writes
