"""Structures in memory that Python, compiled code and NumPy agree on: fields with types, laid out without padding.

`Record` (what flow tables hold) and the engine's own contexts are both declared this way:

    class Flow(Record):
        packets: u64
        first_seen: cold[u64]
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any, ClassVar, Literal

from burstline.errors import UsageError
from burstline.native.bytes_view import Bytes

FieldKind = Literal["uint", "int", "float", "bool", "ipv4", "ipv6", "bytes"]
LINE = 64  # bytes of a cache line


@dataclass(frozen=True)
class FieldType:
    """The type of a field: its kind, its size in bytes, and where the user wants it: in the hot half, in the cold one,
    or in one line with the other fields of that number."""

    name: str
    kind: FieldKind
    size: int
    is_cold: bool = False
    is_hot: bool = False
    line: int | None = None

    @property
    def align(self) -> int:
        return 8 if self.kind == "ipv6" else 1 if self.kind == "bytes" else self.size

    @property
    def numpy(self) -> Any:
        code = {"uint": "u", "int": "i", "float": "f"}.get(self.kind)
        if code:
            return f"{code}{self.size}"
        return {"bool": "?", "ipv4": "u4", "ipv6": ("u1", (16,)), "bytes": f"S{self.size}"}[self.kind]

    @property
    def zero(self) -> Any:
        return bytearray(self.size) if self.kind == "bytes" else _ZEROS.get(self.kind, 0)

    def stored(self, value: Any) -> Any:
        """What a field of this type holds after `value` was assigned to it: truncated as memory would. TypeError for
        what compiled code refuses."""
        if not isinstance(value, _TAKES[self.kind]) and not (self.kind in _NUMBERS and hasattr(value, "__index__")):
            raise TypeError(f"a field {self.name} takes no {type(value).__name__}")
        if self.kind in ("uint", "int"):
            return _wrapped(operator.index(value), 8 * self.size, self.kind == "int")
        if self.kind == "float":
            return float(value) if self.size == 8 else ctypes.c_float(value).value
        if self.kind == "bool":
            return bool(value)
        if self.kind == "ipv4":
            return IPv4Address(int(value) & 0xFFFFFFFF)
        if self.kind == "ipv6":
            return IPv6Address(int(value))
        return bytes(value)[: self.size].ljust(self.size, b"\0")

    def shown(self, stored: Any) -> Any:
        """What the field reads as in a stage: numbers are 64 bits with a sign there, also those of a u64."""
        if self.kind == "uint":
            return _wrapped(stored, 64, True)
        return Bytes(memoryview(stored)) if self.kind == "bytes" else stored

    def plain(self, stored: Any) -> Any:
        """What NumPy takes for the field."""
        if self.kind == "ipv4":
            return int(stored)
        return list(stored.packed) if self.kind == "ipv6" else bytes(stored) if self.kind == "bytes" else stored


_ZEROS = {"float": 0.0, "bool": False, "ipv4": IPv4Address(0), "ipv6": IPv6Address(0)}
_NUMBERS = ("uint", "int", "bool", "float", "ipv4")  # kinds of fields that an integer can be assigned to
_TAKES: dict[str, tuple[type, ...]] = {
    "uint": (),
    "int": (),
    "float": (float,),
    "bool": (),
    "ipv4": (IPv4Address,),
    "ipv6": (IPv6Address,),
    "bytes": (Bytes, bytes, bytearray),
}


def _wrapped(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


class _Bytes:
    """`bytes_[n]`: up to n bytes, zero-padded."""

    def __getitem__(self, size: int) -> FieldType:
        if not isinstance(size, int) or not 1 <= size <= 4096:
            raise UsageError(f"bytes_[{size!r}] is not a field type", "give a size from 1 to 4096 bytes")
        return FieldType(f"bytes_[{size}]", "bytes", size)


class _Cold:
    """`cold[u64]`: a field seldom touched, laid out after all hot ones, and in a table away from them."""

    def __getitem__(self, kind: FieldType) -> FieldType:
        return replace(_free(kind, "cold"), name=f"cold[{kind.name}]", is_cold=True)


class _Hot:
    """`hot[u64]`: a field that stays in the hot half, whatever the stages' code says."""

    def __getitem__(self, kind: FieldType) -> FieldType:
        return replace(_free(kind, "hot"), name=f"hot[{kind.name}]", is_hot=True)


class _Line:
    """`line(n)`: `line(1)[u64]` is a field that shares a cache line with the others of line 1. Line 0 is the first."""

    def __call__(self, number: int) -> _Line:
        return _Numbered(number)

    def __getitem__(self, kind: FieldType) -> FieldType:
        raise UsageError(f"line[{kind.name}] has no number", f"write line(1)[{kind.name}]")


class _Numbered(_Line):
    def __init__(self, number: int) -> None:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 64:
            raise UsageError(f"line({number!r}) is no line of a record", "give a number from 0, the first line, to 63")
        self.number = number

    def __getitem__(self, kind: FieldType) -> FieldType:
        return replace(_free(kind, "line"), name=f"line({self.number})[{kind.name}]", line=self.number)


def _free(kind: FieldType, wanted: str) -> FieldType:
    """A type that nothing was said of yet."""
    if kind.is_cold or kind.is_hot or kind.line is not None:
        raise UsageError(
            f"{wanted}[{kind.name}]: a field has one place", "write one of hot[...], cold[...], line(n)[...]"
        )
    return kind


FIELD_TYPES = {
    field.name: field
    for field in (
        *(FieldType(f"u{8 * n}", "uint", n) for n in (1, 2, 4, 8)),
        *(FieldType(f"i{8 * n}", "int", n) for n in (1, 2, 4, 8)),
        FieldType("f32", "float", 4),
        FieldType("f64", "float", 8),
        FieldType("boolean", "bool", 1),
        FieldType("ipv4", "ipv4", 4),
        FieldType("ipv6", "ipv6", 16),
    )
}


@dataclass(frozen=True)
class Slot:
    """A field with its place: `offset` bytes into its half, 0 the hot and 1 the cold one."""

    name: str
    type: FieldType
    offset: int
    half: int = 0


@dataclass(frozen=True)
class Layout:
    """Fields in memory order, the hot half first. `size` and `align` are of that one, `cold_size` of the other,
    which is 0 where all fields lie together. `size` is a multiple of `align`."""

    name: str
    slots: tuple[Slot, ...]
    size: int
    align: int
    cold_size: int = 0

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.slots)

    @functools.cached_property
    def _by_name(self) -> dict[str, Slot]:
        return {slot.name: slot for slot in self.slots}

    def slot(self, name: str) -> Slot | None:
        return self._by_name.get(name)

    def offset(self, name: str) -> int:
        slot = self.slot(name)
        if slot is None:
            raise KeyError(name)
        return slot.offset

    def half(self, number: int) -> tuple[Slot, ...]:
        """The fields of one half."""
        return tuple(s for s in self.slots if s.half == number)

    def numpy(self, itemsize: int | None = None, base: int = 0, half: int = 0) -> dict[str, Any]:
        """What `numpy.dtype` takes for a half, with its fields `base` bytes into an item."""
        slots = self.half(half)
        return {
            "names": [s.name for s in slots],
            "formats": [s.type.numpy for s in slots],
            "offsets": [s.offset + base for s in slots],
            "itemsize": itemsize or (self.cold_size if half else self.size),
        }


def lay_out(name: str, fields: dict[str, FieldType]) -> Layout:
    """All in one half. Hot fields first, and by falling alignment among hot and cold ones, so that no padding lies
    between any two. Before them come lines of `line(n)`, in which nothing else lies: what other cores write."""
    slots = []
    at, line = 0, -1
    most = max((kind.line for kind in fields.values() if kind.line is not None), default=-1)

    def place(item: tuple[str, FieldType]) -> tuple[int, bool, int]:
        kind = item[1]
        return most + 1 if kind.line is None else kind.line, kind.is_cold, -kind.align

    for field, kind in sorted(fields.items(), key=place):
        own = most + 1 if kind.line is None else kind.line
        align = LINE if own != line and most >= 0 else kind.align
        line = own
        at = -(-at // align) * align
        slots.append(Slot(field, kind, at))
        at += kind.size
    align = LINE if most >= 0 else max((s.type.align for s in slots), default=1)
    return Layout(name, tuple(slots), -(-at // align) * align, align)


class Struct:
    """Base of declared structures; subclasses get `layout` from their annotations. In plain Python an instance holds
    its values, truncated as memory would truncate them."""

    layout: ClassVar[Layout]
    _declared: ClassVar[dict[str, FieldType]]

    def __init_subclass__(cls) -> None:
        fields: dict[str, FieldType] = {}
        for base in reversed(cls.__mro__):
            if base in (object, Struct):
                continue
            for name, kind in inspect.get_annotations(base, eval_str=True).items():
                if isinstance(kind, FieldType):
                    if name in ("layout", "_values", "_declared"):
                        raise UsageError(
                            f"{cls.__name__}.{name}: a field cannot be called {name!r}", "call it otherwise"
                        )
                    fields[name] = kind
                elif name not in ("layout", "_declared") and "ClassVar" not in str(kind):
                    raise UsageError(
                        f"{cls.__name__}.{name}: {kind!r} is not a field type",
                        f"use one of {', '.join(FIELD_TYPES)}, bytes_[n], cold[...], hot[...], line(n)[...]",
                    )
        cls._declared = fields
        cls.layout = lay_out(cls.__name__, fields)
        for slot in cls.layout:
            setattr(cls, slot.name, _Value(slot))

    def __init__(self) -> None:
        self._values: dict[str, Any] = {s.name: s.type.zero for s in self.layout}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self._values.items())})"

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_values" and self.layout.slot(name) is None:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        super().__setattr__(name, value)


def declared(struct: type[Struct]) -> dict[str, FieldType]:
    """The fields in the order of declaration."""
    return struct._declared


def plain_value(record: Struct, slot: Slot) -> Any:
    """A field of an interpreted structure, as NumPy takes it."""
    return slot.type.plain(record._values[slot.name])


class _Value:
    """One field of an interpreted structure."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    def __get__(self, instance: Struct | None, owner: type) -> Any:
        return self if instance is None else self.slot.type.shown(instance._values[self.slot.name])

    def __set__(self, instance: Struct, value: Any) -> None:
        stored = self.slot.type.stored(value)
        if self.slot.type.kind == "bytes":
            instance._values[self.slot.name][:] = stored  # views of the field show what is written to it
        else:
            instance._values[self.slot.name] = stored
