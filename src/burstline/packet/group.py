"""A group of packets as burst stages see it when they run as plain Python: one packet, in the first lane."""

from __future__ import annotations

from typing import Any

from burstline.packet.fields import HEADER
from burstline.packet.group_fields import HEADERS_OF_GROUPS, LANES, NUMBERS, OF_GROUPS, lane_bits
from burstline.packet.packet import Level, Packet
from burstline.packet.views import unknown_attribute
from burstline.simd.vectors import Mask, Vector, mask, vector


def _first(value: int, bits: int = 32) -> Vector:
    return vector(bits, LANES)(value, *[0] * (LANES - 1))


def _flag(value: bool) -> Mask:
    return mask(LANES)(int(value))


class Group:
    """`pkts`: fields of packets as vectors of sixteen lanes, headers as their views; `here` is true for lanes that hold
    a packet. A header that a packet lacks reads as zeros."""

    def __init__(self, packet: Packet) -> None:
        self._level: Level = packet

    @property
    def here(self) -> Mask:
        return _flag(True)

    def __getattr__(self, name: str) -> Any:
        level = self._level
        if name in HEADERS_OF_GROUPS:
            return GroupHeader(name, getattr(level, name))
        if name == "inner":
            return InnerGroup(level.inner)
        if name == "time":
            return _first(level.time, 64)
        if name == "is_fragment":
            return _flag(level.is_fragment)
        if name in NUMBERS:
            return _first(getattr(level, name))
        raise AttributeError(unknown_attribute("pkts", name, (*HEADERS_OF_GROUPS, *OF_GROUPS)))


class InnerGroup(Group):
    """`pkts.inner`: what the packets' tunnels carry."""

    def __init__(self, level: Level) -> None:
        self._level = level

    @property
    def here(self) -> Mask:
        return _flag(bool(self._level))


class GroupHeader:
    """`pkts.tcp`: its fields as vectors, flags as masks; `here` says which packets have it."""

    def __init__(self, name: str, view: Any) -> None:
        self._header, self._view = HEADER[name], view

    @property
    def here(self) -> Mask:
        return _flag(bool(self._view))

    def __getattr__(self, name: str) -> Any:
        field = self._header.field(name)
        bits = lane_bits(field) if field else 0
        if bits == 0:
            names = tuple(f.name for f in self._header.fields if lane_bits(f))
            raise AttributeError(unknown_attribute(self._header.name, name, names))
        value = getattr(self._view, name)
        return _flag(value) if bits == 1 else _first(int(value), bits)
