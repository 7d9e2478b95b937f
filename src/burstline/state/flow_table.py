"""Flow tables: a record per flow, found by the packet."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct, plain_value
from burstline.packet.flow_key import KEY_SIZE as KEY_SIZE
from burstline.packet.packet import Packet, key_of
from burstline.state.base import State
from burstline.state.record import Record
from burstline.state.region import Block, Region

R = TypeVar("R", bound=Record)

RECORD_AT = KEY_SIZE + 8  # in an entry: the key, 4 bytes of its hash, 4 spare bytes, then the record
FIRST_INDEX = 4096  # slots
LINE = 64


class TableHead(Struct):
    """What compiled code works with; `index` is a power of two of 8-byte slots, `hash tag << 32 | entry number + 1`."""

    mask: i64
    index: i64
    entries: i64  # address of entry number -1: slots count from 1
    used: i64
    capacity: i64
    refused: i64
    spare: i64  # the entry that packets get when the table is full
    index_region: i64  # an index of n slots lies n slots into it, so growing needs no memory


class Copy(NamedTuple):
    """One worker's memory."""

    head: Block
    slots: Region
    entries: Region


class FlowTable(State, Generic[R]):
    """`flows = FlowTable(Flow, capacity=1_000_000)`; in a stage `flows[pkt]` is the record of the packet's flow.

    A flow is one direction of a 5-tuple (`packet/flow_key.py`). A new flow's record is all zeros. A full table refuses
    new flows: they share a scratch record that is cleared for every packet, and `refused` counts the packets.
    """

    def __init__(self, record: type[R], capacity: int = 1_000_000) -> None:
        if not (isinstance(record, type) and issubclass(record, Record)):
            raise UsageError(
                f"FlowTable needs a Record class, not {record!r}", "class Flow(bl.Record): packets: bl.u64"
            )
        if not 1 <= capacity < 1 << 31:
            raise UsageError(f"FlowTable capacity {capacity} is out of range", "give 1 to 2,147,483,647 flows")
        self.record = record
        self.capacity = capacity
        self._own: dict[bytes, R] = {}
        self._own_refused = 0
        self._workers: list[Copy] = []

    @property
    def stride(self) -> int:
        """Bytes an entry takes: whole cache lines once it is larger than half of one."""
        size = RECORD_AT + self.record.layout.size
        return -(-size // LINE) * LINE

    def __getitem__(self, packet: Packet) -> R:
        key = key_of(packet)
        if key not in self._own:
            if len(self._own) >= self.capacity:
                self._own_refused += 1
                return self.record()
            self._own[key] = self.record()
        return self._own[key]

    def signature(self) -> tuple[Any, ...]:
        return (self.record.layout, self.stride)

    def attach(self) -> int:
        slots = max(FIRST_INDEX, 1 << (2 * self.capacity - 1).bit_length())
        entries = Region((self.capacity + 1) * self.stride)
        head = Block(TableHead.layout)
        index = Region(2 * slots * 8)
        head.set(
            mask=FIRST_INDEX - 1,
            index=index.address + FIRST_INDEX * 8,
            index_region=index.address,
            entries=entries.address - self.stride,
            capacity=self.capacity,
            spare=entries.address + self.capacity * self.stride,
        )
        self._workers.append(Copy(head, index, entries))
        return head.address

    def addresses(self) -> list[int]:
        return [c.head.address for c in self._workers]

    def adopt(self, old: FlowTable[Any]) -> bool:
        if (self.signature(), self.capacity) != (old.signature(), old.capacity):
            return False
        self._own, self._own_refused, self._workers = old._own, old._own_refused, old._workers
        return True

    def reset(self) -> None:
        self._own = {}
        self._own_refused = 0
        self._workers = []

    @property
    def refused(self) -> int:
        """Packets whose flow found no place."""
        return self._own_refused + sum(c.head.get("refused") for c in self._workers)

    def __len__(self) -> int:
        return len(self._own) + sum(c.head.get("used") for c in self._workers)

    def warnings(self) -> list[str]:
        if not self.refused:
            return []
        return [
            f"flow table of {self.record.__name__} is full: {self.refused:,} packets of new flows were not recorded; "
            f"raise capacity above {self.capacity:,}"
        ]

    def to_numpy(self) -> Any:
        """All workers' flows as one structured array: version, protocol, src, dst (16 raw bytes), ports, the fields."""
        import numpy as np

        layout = self.record.layout
        stored = np.dtype({"names": ["key", *(s.name for s in layout)],
                           "formats": [("u1", KEY_SIZE), *(s.type.numpy for s in layout)],
                           "offsets": [0, *(RECORD_AT + s.offset for s in layout)],
                           "itemsize": self.stride})  # fmt: skip
        parts = [c.entries.numpy(stored, c.head.get("used")) for c in self._workers]
        if self._own:
            own = np.zeros(len(self._own), stored)
            for row, (own_key, record) in zip(own, self._own.items(), strict=True):
                row["key"] = np.frombuffer(own_key, "u1")
                for slot in layout:
                    row[slot.name] = plain_value(record, slot)
            parts.append(own)
        found = np.concatenate(parts) if parts else np.zeros(0, stored)
        shown = np.dtype(
            [
                ("version", "u1"),
                ("protocol", "u1"),
                ("src", "u1", 16),
                ("dst", "u1", 16),
                ("sport", "u2"),
                ("dport", "u2"),
            ]
            + [(s.name, s.type.numpy) for s in layout]
        )
        out = np.zeros(len(found), shown)
        key: Any = found["key"]
        out["protocol"], out["version"] = key[:, 0], key[:, 1]
        out["sport"], out["dport"] = key[:, 2:4].copy().view("<u2")[:, 0], key[:, 4:6].copy().view("<u2")[:, 0]
        is_v6 = key[:, 1] == 6
        out["src"][:, :4], out["dst"][:, :4] = key[:, 8:12], key[:, 12:16]
        out["src"][is_v6], out["dst"][is_v6] = key[is_v6, 8:24], key[is_v6, 24:40]
        for slot in layout:
            out[slot.name] = found[slot.name]
        return out

    def to_arrow(self) -> Any:
        """The flows as a pyarrow.Table; addresses as text, absent ones null. `.to_pandas()` works on it."""
        from burstline.state.arrow import arrow_table

        flows = self.to_numpy()
        text = {name: list(_addresses(flows["version"], flows[name])) for name in ("src", "dst")}
        return arrow_table(flows, self.record.layout, text)


def _addresses(versions: Any, raw: Any) -> Iterator[str | None]:
    for version, address in zip(versions.tolist(), raw, strict=True):
        if version == 4:
            yield socket.inet_ntoa(address[:4].tobytes())
        elif version == 6:
            yield socket.inet_ntop(socket.AF_INET6, address.tobytes())
        else:
            yield None
