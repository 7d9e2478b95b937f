"""The packet as stages see it when they run as plain Python: what `--interpret` and tests of stages hand to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from burstline.native.bytes_view import Bytes
from burstline.packet.checksum import checksums_wrong
from burstline.packet.fields import (
    FRAGMENT,
    HEADERS,
    LEVELS,
    OF_INNER,
    PACKET_FIELDS,
    PACKET_METHODS,
    PRESENT,
    WRITABLE,
    Header,
)
from burstline.packet.flow_key import flow_key
from burstline.packet.machine import Levels, Parsed
from burstline.packet.made import ANYWHERE
from burstline.packet.parser import LINK_ETHERNET
from burstline.packet.place import place_of
from burstline.packet.protocol import Protocol
from burstline.packet.views import VIEWS, HeaderView, fix_checksums, protocol_view, unknown_attribute

_NOTHING = Parsed(0, 0, 0, 0, 0, 0, 0, 0, 0)


class Came(NamedTuple):
    """What a port says of a packet: how many of the wire it was merged of, with so many bytes of payload in each;
    whether its checksums are right; whether its transport's is left out, to be filled in by who sends it; and by what
    number a rule marked it."""

    segments: int = 1
    segment_size: int = 0
    checked: bool = False
    partial: bool = False
    mark: int = 0


AS_IT_IS = Came()


class Level:
    """The headers of a packet, or of what its tunnel carries: `<level>.<header>` for each header of the table."""

    __slots__ = ("_columns", "_data")

    _columns: Parsed
    _data: memoryview

    def __init__(self, data: memoryview, columns: Parsed) -> None:
        object.__setattr__(self, "_data", data)
        object.__setattr__(self, "_columns", columns)

    @property
    def vlan_depth(self) -> int:
        """How many VLAN tags it has."""
        return self._columns.vlan_depth

    @property
    def mpls_depth(self) -> int:
        """How many MPLS labels it has."""
        return self._columns.mpls_depth

    @property
    def payload(self) -> Bytes:
        """The bytes after the last header that was understood, without Ethernet's padding."""
        columns = self._columns
        return Bytes(self._data[columns.payload : max(columns.payload, columns.end)])

    @property
    def proto(self) -> int:
        """The IP protocol of what follows IP and its extension headers; 0 without IP."""
        columns = self._columns
        return columns.proto if columns.present & (PRESENT["ipv4"] | PRESENT["ipv6"]) else 0

    @property
    def is_fragment(self) -> bool:
        """It is an IP fragment, the first one included."""
        return self._columns.present & FRAGMENT != 0

    def _protocol(self, protocol: Protocol) -> HeaderView:
        """The view of a protocol of the user's own."""
        found = [(at, after) for name, at, after in self._columns.protocols if name == protocol.name]
        return protocol_view(protocol)(self._data, *(found[-1] if found else (-1, 0)), self._columns)

    def __getattr__(self, name: str) -> Any:  # the headers are properties too, made from the table below
        raise AttributeError(unknown_attribute("pkt", name, self._names()))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in VIEWS:
            raise AttributeError(f"pkt.{name} cannot be written: write its fields, e.g. pkt.{name}.{_example(name)}")
        if name in self._names():
            raise AttributeError(f"pkt.{name} cannot be written")
        raise AttributeError(unknown_attribute("pkt", name, self._names()))

    def _names(self) -> tuple[str, ...]:
        return _INNER_NAMES

    def _headers(self) -> str:
        return " ".join(h.name for h in HEADERS if self._columns.present & PRESENT[h.name]) or "no known header"


class Inner(Level):
    """`pkt.inner`: the innermost packet that tunnels carry; false where there is none, and all its headers then too."""

    __slots__ = ("_here",)

    _here: bool

    def __init__(self, data: memoryview, columns: Parsed | None) -> None:
        super().__init__(data, columns or _NOTHING)
        object.__setattr__(self, "_here", columns is not None)

    def __bool__(self) -> bool:
        return self._here

    def __repr__(self) -> str:
        return f"<inner packet: {self._headers()}>" if self else "<no inner packet>"


class Packet(Level):
    """One packet: its outermost headers, what its tunnel carries, and the fields below. Only header fields can be
    written.

    `data` is the captured bytes, writable; `length` is in bytes, `time` in nanoseconds since the epoch; `levels` is
    what the parser found in `data`, which starts with the link layer `link`.
    """

    __slots__ = (
        "_came",
        "_inner",
        "_key",
        "_length",
        "_levels",
        "_link",
        "_made",
        "_mark",
        "_port",
        "_segment_size",
        "_time",
    )

    _came: Came

    _inner: Inner
    _key: bytes
    _length: int
    _levels: Levels
    _link: int
    _made: list[MadePacket]
    _mark: int
    _port: int
    _segment_size: int
    _time: int

    def __init__(
        self,
        data: memoryview | bytearray,
        length: int,
        time: int,
        port: int,
        levels: Levels | Parsed,
        link: int = LINK_ETHERNET,
    ) -> None:
        outer, inner = levels if isinstance(levels, Levels) else (levels, None)
        super().__init__(memoryview(data), outer)
        put = object.__setattr__
        put(self, "_inner", Inner(self._data, inner))
        put(self, "_length", length)
        put(self, "_time", time)
        put(self, "_link", link)
        put(self, "_port", port)
        put(self, "_key", flow_key(self._data, outer))
        put(self, "_levels", Levels(outer, inner))
        put(self, "_made", [])
        put(self, "_came", AS_IT_IS)
        put(self, "_segment_size", 0)
        put(self, "_mark", 0)

    @property
    def outer(self) -> Packet:
        """The packet itself: what its outermost headers say."""
        return self

    @property
    def inner(self) -> Inner:
        """What its tunnel carries."""
        return self._inner

    @property
    def length(self) -> int:
        """Bytes on the wire."""
        return self._length

    @property
    def captured(self) -> int:
        """Bytes that are here to read; less than `length` when the capture cut the packet."""
        return len(self._data)

    @property
    def time(self) -> int:
        """Nanoseconds since the epoch."""
        return self._time

    @property
    def port(self) -> int:
        """The number of the port or source that it came from."""
        return self._port

    @property
    def segments(self) -> int:
        """How many packets of the wire it was merged of, by its port or in software: 1 where it is as it came."""
        return self._came.segments

    @property
    def segment_size(self) -> int:
        """Bytes of payload that each of its segments has. Set, the packet is cut into such segments when it is sent; 0
        leaves it whole."""
        return self._segment_size

    @property
    def mark(self) -> int:
        """The number that a steering rule, or a stage before, gave it; 0 for none."""
        return self._mark

    def __setattr__(self, name: str, value: Any) -> None:
        if name in WRITABLE:
            object.__setattr__(self, f"_{name}", int(value) & WRITABLE[name])
        else:
            super().__setattr__(name, value)

    def fix_checksums(self) -> None:
        """Recompute the IPv4, TCP, UDP, ICMP and ICMPv6 checksums that are present.

        One that cannot be right is left alone: in a fragment, or where the IP or UDP length does not fit the bytes that
        are here; as is a UDP checksum of 0 over IPv4, which means that there is none.
        """
        fix_checksums(self._data, self._columns)

    def checksums_ok(self) -> bool:
        """Whether none of the IPv4, TCP, UDP, ICMP and ICMPv6 checksums is wrong. Those that `fix_checksums` leaves
        alone are not; a UDP checksum of 0 over IPv6 is."""
        columns = self._columns
        return self._came.checked or not checksums_wrong(
            self._data, len(self._data), columns.present, columns.l3, columns.l4
        )

    def clone(self, port: int = ANYWHERE, /) -> MadePacket:
        """A packet of its own with the same bytes, as they are now. It goes through no stage and leaves behind this
        one, whatever becomes of that: by the port of that number, or without one where packets go that come through.

        Its header fields can be read and written as those of any packet; state is not asked for it. Where there is no
        buffer for it, it is false and has no headers, and counts as dropped: "no buffer".
        """
        made = _make(self, bytearray(self._data), self._length, self._levels, self._link, port)
        came_as(made, self._came._replace(mark=0))
        object.__setattr__(made, "_segment_size", self._segment_size)
        return made

    def _names(self) -> tuple[str, ...]:
        return _NAMES

    def __repr__(self) -> str:
        size = f"{self.captured} bytes" if self.captured == self.length else f"{self.captured} of {self.length} bytes"
        inside = f", in a tunnel {self._inner._headers()}" if self._inner else ""
        return f"<packet of {size}: {self._headers()}{inside}>"


class MadePacket(Packet):
    """A packet that a stage made. There always is a buffer for it when stages run as plain Python."""

    __slots__ = ("_leaves_by",)

    _leaves_by: int

    def clone(self, port: int = ANYWHERE, /) -> MadePacket:
        raise TypeError("a packet that a stage made is not cloned: clone the one that the stage was given")


def came_as(packet: Packet, came: Came) -> None:
    """What a port, or software in its place, said of a packet."""
    object.__setattr__(packet, "_came", came)
    object.__setattr__(packet, "_segment_size", came.segment_size)
    object.__setattr__(packet, "_mark", came.mark)


def came(packet: Packet) -> Came:
    """What a port said of it, or of the one that it is a clone of."""
    return packet._came


def emitted(packet: Packet, frame: bytes, levels: Levels, port: int) -> MadePacket:
    """An Ethernet frame that leaves behind a packet, as a clone of it would."""
    return _make(packet, bytearray(frame), len(frame), levels, LINK_ETHERNET, port)


def _make(packet: Packet, data: bytearray, length: int, levels: Levels, link: int, port: int) -> MadePacket:
    made = MadePacket(data, length, packet._time, packet._port, levels, link)
    object.__setattr__(made, "_leaves_by", port if port == ANYWHERE else port & 0xFFFF)
    packet._made.append(made)
    return made


def made_of(packet: Packet) -> list[MadePacket]:
    """What stages made of a packet, in order."""
    return packet._made


def leaves_by(packet: MadePacket) -> int:
    """The number of its port, or ANYWHERE."""
    return packet._leaves_by


_NAMES = tuple(dict.fromkeys((*VIEWS, *LEVELS, *PACKET_FIELDS, *PACKET_METHODS)))
_INNER_NAMES = (*VIEWS, *OF_INNER)


def _example(name: str) -> str:
    return next(f.name for f in VIEWS[name].header.fields if f.writable)


def data_of(packet: Packet) -> memoryview:
    """The packet's bytes. No attribute, because compiled stages have none such."""
    return packet._data


def link_of(packet: Packet) -> int:
    """The link layer that its bytes start with, a LINK_ number of the parser."""
    return packet._link


def key_of(packet: Packet) -> bytes:
    """The flow key as it was when the packet came, whatever stages wrote since."""
    return packet._key


def columns_of(packet: Level) -> Parsed:
    """What the parser found of a packet, or of its inner one."""
    return packet._columns


def _viewer(header: Header) -> Callable[[Level], HeaderView]:
    name, bit, view = header.name, PRESENT[header.name], VIEWS[header.name]

    def look(level: Level) -> HeaderView:
        here = level._columns.present & bit
        return view(level._data, place_of(name, level._data, level._columns) if here else -1, level._columns)

    return look


for _header in HEADERS:
    setattr(Level, _header.name, property(_viewer(_header), doc=VIEWS[_header.name].__doc__))
