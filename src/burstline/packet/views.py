"""The header views of the interpreted packet: one class per header, made from the table in `fields.py`.

They do what the compiled views do: a view of an absent header is falsy, reads as zeros and swallows writes; a number
that is too large for its field loses its upper bits.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address
from typing import Any, ClassVar

from burstline.native.bytes_view import Bytes
from burstline.packet.address import mac_text
from burstline.packet.checksum import fix_ipv4, fix_l4
from burstline.packet.fields import HEADER_METHODS, HEADERS, Field, Header
from burstline.packet.machine import Parsed
from burstline.packet.protocol import Protocol

_ZEROS = memoryview(bytes(64))
_LENGTHS = {"ipv4": "ihl", "tcp": "data_offset"}  # the field that counts the header's 32-bit words


class HeaderView:
    """`pkt.<header>`: its fields as attributes, numbers in host byte order."""

    __slots__ = ("_at", "_columns", "_data", "_here")

    header: ClassVar[Header]
    _data: memoryview
    _at: int
    _columns: Parsed
    _here: bool

    def __init__(self, data: memoryview, at: int, columns: Parsed) -> None:
        """A view of the header at offset `at` of the packet's bytes; it is absent where `at` is negative."""
        here = at >= 0
        _set(self, "_here", here)
        _set(self, "_data", data if here else _ZEROS)
        _set(self, "_at", at if here else 0)
        _set(self, "_columns", columns)

    def __bool__(self) -> bool:
        return self._here

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_unknown(self.header, name))

    def __setattr__(self, name: str, value: Any) -> None:
        header = self.header
        field = header.field(name)
        if field is None:
            known = name in _names(header)
            raise AttributeError(f"{header.name}.{name} cannot be written" if known else _unknown(header, name))
        if not field.writable:
            raise AttributeError(f"{header.name}.{name} cannot be written: where other headers lie depends on it")
        number = _number(header, field, value) & field.mask
        if not self._here:
            return
        start = self._at + field.offset
        word = self._data[start : start + field.width]
        if not field.whole:
            number = int.from_bytes(word, "big") & ~(field.mask << field.shift) | number << field.shift
        word[:] = number.to_bytes(field.width, "big")

    def __repr__(self) -> str:
        name = self.header.name
        return (
            f"<{name} {' '.join(f'{f.name}={self._text(f)}' for f in self.header.fields)}>" if self else f"<no {name}>"
        )

    def _text(self, field: Field) -> str:
        value = getattr(self, field.name)
        return mac_text(value) if field.width == 6 else str(value)


_set = object.__setattr__


def _number(header: Header, field: Field, value: Any) -> int:
    """What is stored for a value that a stage assigns; TypeError for what compiled code refuses."""
    if field.kind == "bool":
        if isinstance(value, int) or hasattr(value, "dtype"):  # NumPy's bool has no __index__
            return int(bool(value))
        wanted = "True or False"
    elif field.kind == "ipv6":
        if isinstance(value, IPv6Address):
            return int(value)
        wanted = "an IPv6 address"
    else:
        if field.kind == "ipv4" and isinstance(value, IPv4Address):
            return int(value)
        if hasattr(value, "__index__"):
            return operator.index(value)
        wanted = "an IPv4 address" if field.kind == "ipv4" else "an integer"
    raise TypeError(f"{header.name}.{field.name} takes {wanted}, not {type(value).__name__}")


def _reader(field: Field) -> Callable[[HeaderView], Any]:
    offset, end, shift, mask = field.offset, field.offset + field.width, field.shift, field.mask
    convert: Callable[[int], Any] = {"bool": bool, "ipv4": IPv4Address, "ipv6": IPv6Address, "int": int}[field.kind]

    def read(view: HeaderView) -> Any:
        at = view._at
        return convert(int.from_bytes(view._data[at + offset : at + end], "big") >> shift & mask)

    return read


def _options(view: HeaderView) -> Bytes:
    """Between the fixed part and the header's end by its own length field, as far as those bytes are here."""
    header, columns = view.header, view._columns
    start = view._at + header.size
    limit = len(view._data) if header.name == "ipv4" else columns.end
    stop = min(view._at + 4 * getattr(view, _LENGTHS[header.name]), limit)
    return Bytes(view._data[start : max(start, stop)] if view else _ZEROS[:0])


def _fix_checksum(view: HeaderView) -> None:
    """Recompute this header's checksum; left alone where it cannot be right: fragments, cut or misdeclared packets."""
    if view:
        fix_checksums(view._data, view._columns, "ipv4" if view.header.name == "ipv4" else "l4")


def fix_checksums(data: memoryview, columns: Parsed, what: str = "all") -> None:
    """Recompute the checksums of the IPv4 header (`what` is ipv4), of what follows IP (l4), or of both (all)."""
    if what != "l4":
        fix_ipv4(data, len(data), columns.present, columns.l3)
    if what != "ipv4":
        fix_l4(data, len(data), columns.present, columns.l3, columns.l4)


def _names(header: Header) -> tuple[str, ...]:
    methods = tuple(name for name, headers in HEADER_METHODS.items() if header.name in headers)
    return header.field_names + (("options",) if header.options else ()) + methods


def _unknown(header: Header, name: str) -> str:
    return unknown_attribute(f"pkt.{header.name}", name, _names(header))


def unknown_attribute(what: str, name: str, names: tuple[str, ...]) -> str:
    """The message for a misspelt attribute: the one that was meant, or all that there are."""
    close = get_close_matches(name, names, 1)
    return f"{what} has no {name!r}; " + (f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names)}")


def _view_class(header: Header) -> type[HeaderView]:
    members: dict[str, Any] = {f.name: property(_reader(f)) for f in header.fields}
    if header.options:
        members["options"] = property(_options)
    if header.name in HEADER_METHODS["fix_checksum"]:
        members["fix_checksum"] = _fix_checksum
    title = "".join(part.capitalize() for part in header.name.split("_"))
    doc = f"`pkt.{header.name}`: {header.source}."
    return type(f"{title}View", (HeaderView,), {"__slots__": (), "__doc__": doc, "header": header, **members})


class ProtocolView(HeaderView):
    """`hello[pkt]`: the header of a protocol of the user's own."""

    __slots__ = ("_after",)

    _after: int

    def __init__(self, data: memoryview, at: int, after: int, columns: Parsed) -> None:
        super().__init__(data, at, columns)
        _set(self, "_after", after)

    @property
    def size(self) -> int:
        """Bytes of the header, fixed and variable part."""
        return self._after - self._at if self._here else 0

    @property
    def options(self) -> Bytes:
        """The bytes between the fixed part and the header's end."""
        return Bytes(self._data[self._at + self.header.size : self._after] if self._here else _ZEROS[:0])


@functools.cache
def protocol_view(protocol: Protocol) -> Callable[..., ProtocolView]:
    """The class of the views of a protocol."""
    members: dict[str, Any] = {f.name: property(_reader(f)) for f in protocol.fields.fields}
    return type(protocol.name, (ProtocolView,), {"__slots__": (), "header": protocol.fields, **members})


VIEWS: dict[str, type[HeaderView]] = {header.name: _view_class(header) for header in HEADERS}
