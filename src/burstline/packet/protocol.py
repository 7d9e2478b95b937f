"""Protocols of the user's own: a header, where it is found, and a function that says how long it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from types import FunctionType
from typing import TYPE_CHECKING, Any

from burstline.errors import UsageError
from burstline.native.struct import FieldType
from burstline.packet.fields import Field
from burstline.packet.fields import Header as Fields
from burstline.packet.transitions import STATES, TABLES

if TYPE_CHECKING:
    from burstline.packet.packet import Level
    from burstline.packet.views import HeaderView

# After which states a protocol may come, and what the key there is called.
KEYS = {
    "eth": "ethertype",
    "vlan": "ethertype",
    "ipv4": "proto",
    "ipv6": "proto",
    "udp": "port",
    "tcp": "port",
    "sctp": "port",
}
_LIMITS = {"ethertype": range(0x0600, 0x10000), "proto": range(256), "port": range(1, 0x10000), "key": range(1 << 32)}


MOST_BYTES = 64  # of a fixed header: as many zeros stand for an absent one


class Bits:
    """`bits[n]`: a field of n bits, 1 to 32, the next ones of the header, from the most significant on."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __class_getitem__(cls, count: int) -> Bits:
        if not isinstance(count, int) or not 1 <= count <= 32:
            raise UsageError(f"bits[{count}] is no field", "a field has 1 to 32 bits: write bits[4]")
        return cls(count)


class Header:
    """The fixed part of a header, in the order of its bits: `class Hello(bl.Header): version: bl.bits[4] ...`."""

    fields: Fields

    def __init_subclass__(cls) -> None:
        kinds = inspect.get_annotations(cls, eval_str=True)
        sizes = {name: _bits_of(cls, name, kind) for name, kind in kinds.items()}
        total = sum(sizes.values())
        if not total or total % 8 or total > 8 * MOST_BYTES:
            raise UsageError(
                f"{cls.__name__} has {total} bits",
                f"a header has 1 to {MOST_BYTES} whole bytes; fill up with bl.bits[n]",
            )
        found, at = [], 0
        for name, size in sizes.items():
            found.append(_field(cls, name, kinds[name], at, size, total // 8))
            at += size
        cls.fields = Fields(cls.__name__, total // 8, tuple(found), "")


def _bits_of(cls: type, name: str, kind: Any) -> int:
    if isinstance(kind, Bits):
        return kind.count
    if isinstance(kind, FieldType) and kind.kind in ("uint", "ipv4", "ipv6"):
        return 8 * kind.size
    raise UsageError(
        f"{cls.__name__}.{name}: {kind!r} is no field of a header", "use bits[n], u8, u16, u32, u64, ipv4, ipv6"
    )


def _field(cls: type, name: str, kind: Any, at: int, bits: int, total: int) -> Field:
    """The field of `bits` bits from bit `at` on: in a word that lies within the header, whose size is `total`."""
    if name in ("fields", "header", "options", "size"):
        raise UsageError(f"{cls.__name__}.{name}: a field cannot be called {name!r}", "call it otherwise")
    if isinstance(kind, FieldType) and at % 8:
        raise UsageError(f"{cls.__name__}.{name} begins within a byte", "fill up with bl.bits[n] before it")
    if isinstance(kind, FieldType) and kind.kind in ("ipv4", "ipv6"):
        return Field(name, at // 8, kind.size, kind="ipv4" if kind.size == 4 else "ipv6")
    first, last = at // 8, (at + bits - 1) // 8
    width = next(w for w in (1, 2, 4, 8) if w > last - first)
    start = min(first, total - width)
    if start < 0:
        raise UsageError(f"{cls.__name__}.{name} needs {width} bytes to be read", "divide it, or add the next field")
    return Field(name, start, width, 8 * (start + width) - at - bits, bits)


class Protocol:
    """A parser state of the user's own. In a stage, `hello[pkt]` is a view of its header, false where it is not."""

    def __init__(self, function: FunctionType, header: type[Header], after: str | Protocol, key: int) -> None:
        self.function, self.header, self.after, self.key = function, header, after, key
        self.name = function.__name__
        self.fields = header.fields

    @property
    def table(self) -> str:
        """The parser's table that its key stands in."""
        return STATES[self.after].selects if isinstance(self.after, str) else f"key of {self.after.name}"

    def __getitem__(self, packet: Level) -> HeaderView:
        return packet._protocol(self)

    def __repr__(self) -> str:
        return f"<protocol {self.name}>"


def protocol(header: type[Header], *, after: str | Protocol, **key: int) -> Callable[[Callable[[Any], Any]], Protocol]:
    """Decorator: `@bl.protocol(Hello, after="udp", port=5555)` above `def hello(rest):`.

    `rest` is a view of the bytes from where the header would begin to where what it lies in ends. The function returns
    the header's size in bytes, fixed and variable part, or 0 where these bytes are not the protocol's; or a pair of the
    size and the key of what follows, for protocols that are declared `after` this one with `key=`. One that raises an
    exception returns 0.
    """
    if not (isinstance(header, type) and issubclass(header, Header) and header is not Header):
        raise UsageError(f"{header!r} is no header", "class Hello(bl.Header): version: bl.u8")
    if isinstance(after, str) and after not in KEYS:
        close = get_close_matches(after, KEYS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KEYS)}, and protocols of your own"
        raise UsageError(f"a protocol cannot come after {after!r}", hint)
    wanted = KEYS[after] if isinstance(after, str) else "key"
    if set(key) != {wanted} or type(key[wanted]) is not int or key[wanted] not in _LIMITS[wanted]:
        limits = _LIMITS[wanted]
        where = after if isinstance(after, str) else after.name
        raise UsageError(
            f"after {where}, a protocol is found by its {wanted}",
            f"write {wanted}=N, {limits.start} to {limits.stop - 1}",
        )
    number = key[wanted]
    taken = TABLES[STATES[after].selects].get(number) if isinstance(after, str) else None
    if taken:
        raise UsageError(
            f"{wanted} {number} after {after} is {taken}", "a protocol cannot take the place of a built-in one"
        )

    def made(function: Callable[[Any], Any]) -> Protocol:
        if not isinstance(function, FunctionType) or len(inspect.signature(function).parameters) != 1:
            raise UsageError("a protocol is a function of one parameter", "write `def hello(rest):`")
        if function.__name__ in STATES:
            raise UsageError(f"{function.__name__} is a built-in protocol", "give the function another name")
        return Protocol(function, header, after, number)

    return made
