"""The packet as stages see it when they run as plain Python: what `--interpret` and tests of stages hand to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.native.bytes_view import Bytes
from burstline.packet.extension import EXTENSION_PROTO, find_extension
from burstline.packet.fields import FRAGMENT, HEADERS, PACKET_FIELDS, PACKET_METHODS, PRESENT, Header
from burstline.packet.flow_key import flow_key
from burstline.packet.parser import Parsed
from burstline.packet.views import VIEWS, HeaderView, fix_checksums, unknown_attribute

_FIXED = {"eth": 0, "vlan": 14, "inner_vlan": 18}
_L3 = ("arp", "ipv4", "ipv6")


class Packet:
    """One packet: `pkt.<header>` for each header of the table, and the fields below. Only header fields can be written.

    `data` is the captured bytes, writable; `length` is in bytes, `time` in nanoseconds since the epoch; `columns` is
    what the parser found in `data`.
    """

    __slots__ = ("_columns", "_data", "_key", "_length", "_port", "_time")

    _columns: Parsed
    _data: memoryview
    _key: bytes
    _length: int
    _port: int
    _time: int

    def __init__(self, data: memoryview | bytearray, length: int, time: int, port: int, columns: Parsed) -> None:
        put = object.__setattr__
        put(self, "_data", memoryview(data))
        put(self, "_length", length)
        put(self, "_time", time)
        put(self, "_port", port)
        put(self, "_columns", columns)
        put(self, "_key", flow_key(self._data, columns))

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
    def vlan_depth(self) -> int:
        """How many VLAN tags it has."""
        return self._columns.vlan_depth

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

    def fix_checksums(self) -> None:
        """Recompute the IPv4, TCP, UDP, ICMP and ICMPv6 checksums that are present.

        One that cannot be right is left alone: in a fragment, or where the IP or UDP length does not fit the bytes that
        are here; as is a UDP checksum of 0 over IPv4, which means that there is none.
        """
        fix_checksums(self._data, self._columns)

    def __getattr__(self, name: str) -> Any:  # the headers are properties too, made from the table below
        raise AttributeError(unknown_attribute("pkt", name, _NAMES))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in VIEWS:
            raise AttributeError(f"pkt.{name} cannot be written: write its fields, e.g. pkt.{name}.{_example(name)}")
        if name in _NAMES:
            raise AttributeError(f"pkt.{name} cannot be written")
        raise AttributeError(unknown_attribute("pkt", name, _NAMES))

    def __repr__(self) -> str:
        here = [h.name for h in HEADERS if self._columns.present & PRESENT[h.name]]
        size = f"{self.captured} bytes" if self.captured == self.length else f"{self.captured} of {self.length} bytes"
        return f"<packet of {size}: {' '.join(here) or 'no known header'}>"


_NAMES = tuple(dict.fromkeys((*VIEWS, *PACKET_FIELDS, "vlan_depth", *PACKET_METHODS)))


def _example(name: str) -> str:
    return next(f.name for f in VIEWS[name].header.fields if f.writable)


def data_of(packet: Packet) -> memoryview:
    """The packet's bytes. No attribute, because compiled stages have none such."""
    return packet._data


def key_of(packet: Packet) -> bytes:
    """The flow key as it was when the packet came, whatever stages wrote since."""
    return packet._key


def columns_of(packet: Packet) -> Parsed:
    """What the parser found."""
    return packet._columns


def _viewer(header: Header) -> Callable[[Packet], HeaderView]:
    name, bit, view = header.name, PRESENT[header.name], VIEWS[header.name]

    def place(packet: Packet) -> int:
        columns = packet._columns
        if name in _FIXED:
            return _FIXED[name]
        if name in EXTENSION_PROTO:
            return find_extension(packet._data, columns.l3, columns.end, EXTENSION_PROTO[name])
        return columns.l3 if name in _L3 else columns.l4

    def look(packet: Packet) -> HeaderView:
        here = packet._columns.present & bit
        return view(packet._data, place(packet) if here else -1, packet._columns)

    return look


for _header in HEADERS:
    setattr(Packet, _header.name, property(_viewer(_header), doc=VIEWS[_header.name].__doc__))
