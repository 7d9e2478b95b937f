"""Packets that stages emit: bytes that are known ahead, with their headers."""

from __future__ import annotations

from typing import Any

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.machine import Levels, Machine, Parsed
from burstline.packet.made import ANYWHERE
from burstline.packet.packet import MadePacket, Packet, emitted
from burstline.packet.parser import LINK_ETHERNET
from burstline.state.base import State
from burstline.state.region import Block, Region

LONGEST = 65535  # bytes: an mbuf's data_len has 16 bits
_FOUND = ("present", "l2", "l3", "l4", "payload", "end", "proto", "vlan_depth", "mpls_depth")


class TemplateBlock(Struct):
    """The bytes, and what the parser finds in them; of what a tunnel carries, too."""

    data: i64  # address
    size: i64
    present: i64
    l2: i64
    l3: i64
    l4: i64
    payload: i64
    end: i64
    proto: i64
    vlan_depth: i64
    mpls_depth: i64
    inner_present: i64
    inner_l2: i64
    inner_l3: i64
    inner_l4: i64
    inner_payload: i64
    inner_end: i64
    inner_proto: i64
    inner_vlan_depth: i64
    inner_mpls_depth: i64


class Template(State):
    """`probe = Template(frame)`; in a stage `packet = probe.emit(pkt, 1)` is a packet with these bytes, whose header
    fields can be read and written before it leaves behind `pkt`, by port 1, or without a number where packets go that
    come through. Where no buffer is free it is false, as a clone is (`pkt.clone`).

    `frame` is an Ethernet frame of at most 65,535 bytes, in which tunnels are found at their usual ports. Raises
    UsageError.
    """

    def __init__(self, frame: bytes) -> None:
        self.frame = bytes(frame)
        if not 14 <= len(self.frame) <= LONGEST:
            raise UsageError(
                f"a frame of {len(self.frame)} bytes", f"give one of 14 to {LONGEST:,} bytes, with Ethernet"
            )
        self._levels: Levels = Machine(True).parse(memoryview(self.frame), len(self.frame), LINK_ETHERNET)
        self._block: Block | None = None
        self._bytes: Region | None = None

    def emit(self, pkt: Packet, port: int = ANYWHERE, /) -> MadePacket:
        """A packet with these bytes, at the time of `pkt` and behind it."""
        return emitted(pkt, self.frame, self._levels, port)

    def __repr__(self) -> str:
        return f"Template({self.about()})"

    def about(self) -> str:
        return f"{len(self.frame)} bytes"

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        if self._block is None:
            self._bytes = Region(len(self.frame))
            self._bytes.write(0, self.frame)
            self._block = Block(TemplateBlock.layout)
            self._block.set(data=self._bytes.address, size=len(self.frame))
            for prefix, found in (("", self._levels.outer), ("inner_", self._levels.inner)):
                if found is not None:
                    self._block.set(**{prefix + name: value for name, value in _columns(found).items()})
        return self._block.address

    def addresses(self) -> list[int]:
        return []  # all workers have the same, which nobody writes

    def address(self, worker: int) -> int:
        return self.attach()

    def reset(self) -> None:
        return None


def _columns(found: Parsed) -> dict[str, int]:
    return {name: int(getattr(found, name)) for name in _FOUND}
