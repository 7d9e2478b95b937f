"""What a flow table takes over from one that lays its records out otherwise, after a swap: each field by its name.

The old table's memory stays what it is. The worker that runs by the new code moves a record when a packet of its flow
comes, and some more with every burst, until none is left: nobody waits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from burstline.native.fieldtypes import i64
from burstline.native.struct import Layout, Slot, Struct
from burstline.state.flow_head import Geometry
from burstline.state.flow_read import Copy, Rows, read_flows
from burstline.state.region import Block, Region


class Inherited(Struct):
    """Of one worker: the table before, where things lie in its entries, and which fields go where."""

    table: i64  # address of its TableHead
    stride: i64
    record_at: i64
    cold_stride: i64
    times: i64
    moves: i64  # address of `Move`s
    count: i64
    next_entry: i64  # the first one that was not looked at yet
    next: i64  # the address of another Inherited, of a table before that one that is not empty yet either; or 0


class Move(Struct):
    """A field: from which half of a record and which place in it, to which; how many bytes."""

    from_half: i64
    from_at: i64
    to_half: i64
    to_at: i64
    size: i64


class Heritage(NamedTuple):
    """What keeps the old memory, and reads it while there are records in it."""

    block: Block
    moves: Region
    copy: Copy
    geometry: Geometry

    @property
    def is_left(self) -> bool:
        return self.copy.head.get("live") > 0

    def read(self) -> Rows:
        return read_flows(self.copy, self.geometry)


def shared_fields(old: Layout, new: Layout) -> list[tuple[Slot, Slot]]:
    """Fields that both have, each in the old and in the new one: of the same type but for hints of where they lie; an
    unsigned number may get more or fewer bits."""
    pairs = [(a, b) for b in new if (a := old.slot(b.name)) is not None and a.type.kind == b.type.kind]
    return [(a, b) for a, b in pairs if a.type.size == b.type.size or a.type.kind == "uint"]


def inherit(copy: Copy, old: Geometry, new: Geometry, following: int) -> Heritage:
    """What the new table of a worker is to know of its old one; `following` is another Inherited's address, or 0."""
    moves = shared_fields(old.record, new.record)
    size = Move.layout.size
    region = Region(len(moves) * size)
    for k, (before, after) in enumerate(moves):
        move = {"from_half": before.half, "from_at": before.offset, "to_half": after.half, "to_at": after.offset,
                "size": min(before.type.size, after.type.size)}  # fmt: skip
        for name, value in move.items():
            region.set_i64(k * size + Move.layout.offset(name), value)
    block = Block(Inherited.layout)
    block.set(table=copy.address, stride=old.stride, record_at=old.record_at, cold_stride=old.cold_stride,
              times=int(old.times), moves=region.address, count=len(moves), next_entry=1, next=following)  # fmt: skip
    return Heritage(block, region, copy, old)


def copy_values(record: Any, to: Any) -> Any:
    """The same for an interpreted record: returns `to`."""
    for _, slot in shared_fields(record.layout, to.layout):
        value = record._values[slot.name]
        to._values[slot.name] = slot.type.stored(value) if slot.type.kind == "uint" else value
    return to
